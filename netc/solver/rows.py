"""A run as rows of what was displayed and tested, for tables, files and plots."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netc.files import replacing
from netc.ir.graph import Array
from netc.printable import csv_cell
from netc.solver import events

Value = float | int | str


@dataclass
class EventRows:
    """Gathers a run's events; a listener of a solver.

    A row has ``net`` ("train", "test 0" ...), ``iteration``, ``seconds`` since the first event,
    for "train" ``smoothed_loss`` and ``rate``, and each output by its name; an output of several
    elements has ``name[0]``, ``name[1]`` ... With `show_per_class_result` a detector's classes
    follow, ``name class1`` and so on.
    """

    clock: Callable[[], float] = time.monotonic
    rows: list[dict[str, Value]] = field(default_factory=list)
    _start: float | None = None

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        if self._start is None:
            self._start = self.clock()
        if isinstance(event, events.Displayed):
            row = self._row("train", event.iteration, event.outputs)
            row["smoothed_loss"] = event.loss
        elif isinstance(event, events.RateUsed) and self.rows:
            self.rows[-1]["rate"] = float(event.rate)
        elif isinstance(event, events.Tested):
            row = self._row(f"test {event.net}", event.iteration, event.scores)
            for name, classes in event.classes.items() if event.shows_classes else ():
                row.update({f"{name} class{i}": value or 0.0 for i, value in classes.items()})

    def _row(self, net: str, iteration: int, arrays: Mapping[str, Array]) -> dict[str, Value]:
        seconds = self.clock() - (self._start or 0.0)
        row: dict[str, Value] = {"net": net, "iteration": iteration, "seconds": round(seconds, 3)}
        row.update(flattened(arrays))
        self.rows.append(row)
        return row

    def write_csv(self, path: Path) -> None:
        """All rows as CSV, a column for each name that any row has.

        Raises:
            NetcError: cannot-write.
        """
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(map(csv_cell, names))
        table.writerows([csv_cell(row.get(name, "")) for name in names] for row in self.rows)
        _write(path, text.getvalue())

    def write_json(self, path: Path) -> None:
        """All rows as a JSON list.

        Raises:
            NetcError: cannot-write.
        """
        _write(path, json.dumps(self.rows, indent=1) + "\n")


def flattened(arrays: Mapping[str, Array]) -> dict[str, Value]:
    """Name -> value, for each element of each array: ``name``, or ``name[0]``, ``name[1]`` ..."""
    found: dict[str, Value] = {}
    for name, array in arrays.items():
        if array.size == 1:
            found[name] = float(array.reshape(-1)[0])
        else:
            found |= {f"{name}[{i}]": float(v) for i, v in enumerate(array.reshape(-1))}
    return found


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
