"""How ``netc run`` tells a net's outputs: the best scores with labels, or sizes and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netc.cli.output import say
from netc.diagnostics import Diagnostic, NetcError
from netc.infer import show
from netc.ir.graph import Array
from netc.syntax.reader import unreadable

_VALUES = 1000  # of an output, at most, that --json prints in full
_ITEMS = 20  # of a batch, at most, whose scores are printed for a person


def read_labels(path: str | None) -> list[str]:
    """The lines of a file, none where there is no path.

    Raises:
        NetcError: the file cannot be read.
    """
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise NetcError(unreadable(path, error)) from None


def as_json(
    net: str,
    results: Mapping[str, Array],
    labels: Sequence[str],
    number: int,
    found: Sequence[Diagnostic],
) -> dict[str, Any]:
    """The outputs, and what was found on the way, as plain values."""
    return {
        "net": net,
        "outputs": {name: _output(array, labels, number) for name, array in results.items()},
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    }


def _output(array: Array, labels: Sequence[str], number: int) -> dict[str, Any]:
    out: dict[str, Any] = {"shape": list(array.shape)}
    scores = _scores(array)
    if scores is not None:
        out["top"] = [_top(row, labels, number) for row in scores]
    if array.size <= _VALUES:
        out["values"] = array.tolist()
    return out


def print_results(results: Mapping[str, Array], labels: Sequence[str], number: int) -> None:
    """Each output for a person."""
    for name, array in results.items():
        scores = _scores(array)
        if scores is None or number < 1:
            say(f"{name}: {_summary(array)}")
            continue
        for index, row in enumerate(scores[:_ITEMS]):
            item = f" of item {index}" if len(scores) > 1 else ""
            say(f"{name}{item}:")
            for entry in _top(row, labels, number):
                say(_line(entry))
        if len(scores) > _ITEMS:
            say(f"{name}: and {len(scores) - _ITEMS} more items; --save or --json has them all")


def _line(entry: Mapping[str, Any]) -> str:
    return f"  {entry['score']:9.4f}  {entry['index']:4}  {entry.get('label', '')}".rstrip()


def _summary(array: Array) -> str:
    if array.size == 1:
        return f"{array.item():g}"
    if array.size == 0:
        return f"{show(array.shape)}, empty"
    wrong = array.size - int(np.isfinite(array).sum())
    least, most = np.min(array), np.max(array)
    return f"{show(array.shape)}, from {least:g} to {most:g}" + (
        f", {wrong:,} not finite" if wrong else ""
    )


def _scores(array: Array) -> Array | None:
    """An output as (items, classes), None where it is no such thing."""
    if array.ndim < 2 or array.size < 2 or any(size != 1 for size in array.shape[2:]):
        return None
    return array.reshape(array.shape[:2])


def _top(row: Array, labels: Sequence[str], number: int) -> list[dict[str, Any]]:
    best = np.argsort(-row, kind="stable")[:number]
    return [
        {
            "index": int(i),
            **({"label": labels[i]} if i < len(labels) else {}),
            "score": float(row[i]),
        }
        for i in best
    ]
