"""How ``netc run`` prints a net's outputs: the best scores with labels, or shapes and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.cli.boxes import box_lines
from netc.cli.output import say
from netc.cli.texts import source_of
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import show
from netc.language.read import read_document
from netc.predict.boxes import DetectedBox
from netc.schema.bind import bind
from netc.schema.load import load_schema
from netc.syntax.reader import unreadable

_VALUES = 1000  # of an output, at most, that --json prints in full
_BLOCK = 1 << 20  # elements of a blob that are looked at at once, so that it is not copied
_ITEMS = 20  # of a batch, at most, whose scores are printed for a person


def read_labels(path: str | None) -> list[str]:
    """Labels by class: the lines of a file, or the items of a LabelMap; none without a path.

    Raises:
        NetcError: the file cannot be read.
    """
    if path is None:
        return []
    if path.endswith((".prototxt", ".pbtxt")):
        return _label_map(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise NetcError(unreadable(path, error)) from None
    if "\0" in text:
        raise NetcError(Diagnostic("input-format", f"`{path}` is no text of one label a line"))
    return text.splitlines()


_CLASSES = 100_000  # of a label map, at most


def _label_map(path: str) -> list[str]:
    schema = load_schema(())
    message = bind(read_document(source_of(path), schema, {}, None), schema.message("LabelMap"))
    names = {
        item.get("label"): item.get("display_name") or item.get("name")
        for item in message.get("item")
        if 0 <= item.get("label") < _CLASSES
    }
    return [names.get(index, "") for index in range(max(names, default=-1) + 1)]


class PrintOptions(NamedTuple):
    """How outputs are printed.

    Attributes:
        labels: by class.
        number: of the best scores.
        items: what the items are called; empty where that is not known.
        boxes: output -> the boxes in it, for outputs that are rows of boxes.
        least: the smallest score of a box that is shown.
    """

    labels: Sequence[str] = ()
    number: int = 5
    items: Sequence[str] = ()
    boxes: Mapping[str, Sequence[DetectedBox]] = MappingProxyType({})
    least: float = 0.0


def as_json(
    net: str, results: Mapping[str, Array], how: PrintOptions, found: Sequence[Diagnostic]
) -> dict[str, object]:
    """The outputs, and what was found on the way, as plain values."""
    outputs = {name: _output(array, how.labels, how.number) for name, array in results.items()}
    for name, boxes in how.boxes.items():
        outputs[name]["boxes"] = [box.to_json() for box in boxes]
    return {
        "net": net,
        **({"items": list(how.items)} if how.items else {}),
        "outputs": outputs,
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    }


def _output(array: Array, labels: Sequence[str], number: int) -> dict[str, object]:
    out: dict[str, object] = {"shape": list(array.shape)}
    scores = _scores(array)
    if scores is not None:
        out["top"] = [_top(row, labels, number) for row in scores]
    if array.size <= _VALUES:
        out["values"] = array.tolist()
    return out


def print_results(results: Mapping[str, Array], how: PrintOptions) -> None:
    """Print each output as text."""
    for name, array in results.items():
        if name in how.boxes:
            items = how.items if len(how.items) > 1 else ()
            for line in box_lines(name, how.boxes[name], items, how.least):
                say(line)
            continue
        scores = _scores(array)
        if scores is None or how.number < 1:
            say(f"{name}: {_summary(array)}")
            continue
        names = how.items if len(how.items) == len(scores) else ()
        for index, row in enumerate(scores[:_ITEMS]):
            say(f"{name}{_of(index, len(scores), names)}:")
            for entry in _top(row, how.labels, how.number):
                say(_line(entry))
        if len(scores) > _ITEMS:
            say(f"{name}: and {len(scores) - _ITEMS} more items; --save or --json has them all")


def _of(index: int, number: int, names: Sequence[str]) -> str:
    if number == 1:
        return ""
    return f" of {names[index]}" if names else f" of item {index}"


def _line(entry: Mapping[str, object]) -> str:
    return f"  {entry['score']:9.4f}  {entry['index']:4}  {entry.get('label', '')}".rstrip()


def _summary(array: Array) -> str:
    if array.size == 1:
        return f"{array.item():g}"
    if array.size == 0:
        return f"{show(array.shape)}, empty"
    flat = array.reshape(-1)
    wrong = sum(
        int(np.count_nonzero(~np.isfinite(flat[at : at + _BLOCK])))
        for at in range(0, flat.size, _BLOCK)
    )
    least, most = np.min(array), np.max(array)
    return f"{show(array.shape)}, from {least:g} to {most:g}" + (
        f", {wrong:,} not finite" if wrong else ""
    )


def _scores(array: Array) -> Array | None:
    """An output as (items, classes), None where it is no such thing."""
    if array.ndim < 2 or array.size < 2 or any(size != 1 for size in array.shape[2:]):
        return None
    return array.reshape(array.shape[:2])


def _top(row: Array, labels: Sequence[str], number: int) -> list[dict[str, object]]:
    return [
        {
            "index": int(i),
            **({"label": labels[i]} if i < len(labels) else {}),
            "score": float(row[i]),
        }
        for i in _best(row, number)
    ]


def _best(row: Array, number: int) -> NDArray[np.intp]:
    """The places of the largest scores, of equal ones the first; NaN comes last."""
    best: NDArray[np.intp] = np.zeros(0, np.intp)
    for start in range(0, len(row), _BLOCK):
        order = np.argsort(-row[start : start + _BLOCK], kind="stable")[:number]
        found = np.concatenate([best, start + order])
        best = found[np.argsort(-row[found], kind="stable")[:number]]
    return best
