"""Reads runs back as rows: from netc's CSV and JSON, and from Caffe's logs.

The rows are those of :class:`netc.solver.rows.EventRows`. A log may be of any Caffe: read are only
the lines "Iteration N ... loss = x", "Iteration N, lr = x", "Iteration N, Testing net (#k)" and
"... net output #i: name = x", and what `netc train` prints, which has no times. Unlike
parse_log.py, a row has the rate of its own iteration.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.solver.rows import Value
from netc.syntax.reader import unreadable

Row = dict[str, Value]

# Patterns take time in proportion to a line: no two of their parts can match the same characters,
# and what may be anything is of bounded length.
_NUMBER = r"([-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf))"
_STAMP = re.compile(r"[IWEF](?:\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d(?:\.\d+)?)")
_LOSS = re.compile(rf"Iteration (\d+)(?: \([^)]{{0,200}}\))?, loss = {_NUMBER}")
_RATE = re.compile(rf"Iteration (\d+), lr = {_NUMBER}")
_TEST = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
_OUTPUT = re.compile(rf"(Train|Test) net output #\d+: ([^#]{{1,1000}}?) = {_NUMBER}")
_SHOWN = re.compile(rf"iteration (\d+) +loss {_NUMBER} +rate {_NUMBER}")
_SHOWN_TEST = re.compile(r"iteration (\d+) +test (\d+): (.+)")
_SCORE = re.compile(rf"(?<!\S)(\S+) {_NUMBER}(?:  |$)")
_DAY = 86400.0
_SUFFIXES = (".log", ".csv", ".json")


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a run from a file.

    Args:
        path: netc's CSV (.csv) or JSON (.json), or a log.

    Raises:
        NetcError: missing-file and the like; not-a-log, where it has no line of a run.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise NetcError(unreadable(str(path), error, _SUFFIXES)) from None
    with strangers_bytes(lambda error: _bad(path, reason(error))):
        rows = list(_rows(path))
    if not rows:
        raise _bad(path, "no displayed iteration and no test of a run stands in it")
    return rows


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        if path.suffix.lower() == ".json":
            yield from _of_json(json.load(file))
        elif path.suffix.lower() == ".csv":
            yield from (_typed(row) for row in csv.DictReader(file))
        else:
            yield from log_rows(file)


def _of_json(found: object) -> Iterator[Row]:
    for row in found if isinstance(found, list) else ():
        if isinstance(row, dict) and {"net", "iteration"} <= set(row):
            yield {str(k): v for k, v in row.items() if isinstance(v, (int, float, str))}


def _typed(row: dict[str, Any]) -> Row:
    """A CSV's texts as numbers; what is empty is left out."""
    typed: Row = {"net": str(row["net"]), "iteration": int(row["iteration"])}
    for name, text in row.items():
        if name not in typed and isinstance(name, str) and text:
            typed[name] = float(text)
    return typed


def log_rows(lines: Iterable[str]) -> list[Row]:
    """The rows of a log's lines."""
    rows: list[Row] = []
    train: Row = {}
    test: Row = {}
    elements: Counter[tuple[str, str]] = Counter()
    clock = _Clock()
    for line in lines:
        seconds = clock.seconds(line)
        if found := _LOSS.search(line):
            train = _row("train", found[1], seconds)
            train["smoothed_loss"] = float(found[2])
            rows.append(train)
        elif found := _TEST.search(line):
            test = _row(f"test {found[2]}", found[1], seconds)
            rows.append(test)
        elif found := _OUTPUT.search(line):
            row = train if found[1] == "Train" else test
            _put(row, found[2], float(found[3]), elements)
        elif found := _SHOWN.match(line):
            shown: Row = {"smoothed_loss": float(found[2]), "rate": float(found[3])}
            rows.append(_row("train", found[1], seconds) | shown)
        elif found := _SHOWN_TEST.match(line):
            scores: Row = {name: float(value) for name, value in _SCORE.findall(found[3].strip())}
            rows.append(_row(f"test {found[2]}", found[1], seconds) | scores)
        elif (found := _RATE.search(line)) and train.get("iteration") == int(found[1]):
            train["rate"] = float(found[2])
    return rows


def _row(net: str, iteration: str, seconds: float) -> Row:
    return {"net": net, "iteration": int(iteration), "seconds": round(seconds, 3)}


def _put(row: Row, name: str, value: float, elements: Counter[tuple[str, str]]) -> None:
    """One element of an output; a second one of the name makes them ``name[0]``, ``name[1]``.

    ``elements`` counts those of each net's outputs.
    """
    if name in row:
        row[f"{name}[0]"] = row.pop(name)
        elements[str(row.get("net")), name] = 1
    if f"{name}[0]" in row:
        number = elements[str(row.get("net")), name]
        elements[str(row.get("net")), name] += 1
        name = f"{name}[{number}]"
    row[name] = value


class _Clock:
    """Seconds since a log's first line; lines without a time have that of the line before."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._now = 0.0

    def seconds(self, line: str) -> float:
        found = _STAMP.match(line)
        if found:
            hours, minutes, seconds = int(found[3]), int(found[4]), float(found[5])
            now = hours * 3600.0 + minutes * 60.0 + seconds
            self._first = now if self._first is None else self._first
            while now - self._first < self._now - _DAY / 2:  # over midnight
                now += _DAY
            self._now = now - self._first
        return self._now


def _bad(path: Path, why: str) -> NetcError:
    help = ("give a log of caffe, or what `netc train` writes by --log, --csv or --json",)
    return NetcError(Diagnostic("not-a-log", f"`{path}`: {why}", help=help))
