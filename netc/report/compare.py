"""Compares two nets: which layers were added, removed, changed, or only renamed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

from netc.analysis.profile import LayerProfile, NetProfile
from netc.ir.text import dump_params
from netc.ir.types import Shape
from netc.report.figures import UNKNOWN, blob_text, exact, short, size
from netc.report.summary import SummaryLine, image_shape, line_json, lines
from netc.report.table import Column, Row, Table

_LONGEST = 40  # characters of a field's value

Status = Literal["same", "changed", "renamed", "added", "removed"]


class ComparedLayer(NamedTuple):
    """What is compared of a layer: its summary line, shapes without the batch, and its fields."""

    line: SummaryLine
    shapes: tuple[Shape | None, ...]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A layer of the first net and its counterpart in the second; None where it is missing.

    ``differences`` says in words what changed.
    """

    status: Status
    first: SummaryLine | None
    second: SummaryLine | None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The layers of two nets in pairs, in the order of the second."""

    first: NetProfile
    second: NetProfile
    pairs: tuple[LayerPair, ...]

    def count(self, status: Status) -> int:
        """The number of pairs with this status."""
        return sum(pair.status == status for pair in self.pairs)

    @property
    def equal(self) -> bool:
        """Whether the nets have equal layers with equal names."""
        return all(pair.status == "same" for pair in self.pairs)


def compare(first: NetProfile, second: NetProfile) -> Comparison:
    """Pair the layers by name; the rest are paired if they differ in their names only."""
    return Comparison(first, second, tuple(_pairs(_entries(first), _entries(second))))


def _entries(profile: NetProfile) -> dict[str, ComparedLayer]:
    fields = {layer.name: _fields(layer) for layer in profile.layers}
    shown = (line for line in lines(profile) if not line.module)
    return {
        line.path: ComparedLayer(
            line, tuple(_unbatched(s, profile.batch) for s in line.shapes), fields[line.path]
        )
        for line in shown
    }


def _fields(layer: LayerProfile) -> Mapping[str, Any]:
    """What a layer's text says of it, defaults left out, also those that are written."""
    if layer.node is None:
        return {}
    return _plainly(json.loads(dump_params(layer.node.params)) or {})


_DEFAULTS = {"stride": [1], "pad": [0], "dilation": [1]}


def _plainly(fields: Mapping[str, Any]) -> dict[str, object]:
    """Fields without their types, and however windows were written, as one number for all axes."""
    found = {}
    for name, value in fields.items():
        inner = isinstance(value, dict) and name == "window"
        shown = {name: value} if not inner else _plainly(value)
        found.update({n: _for_all_axes(v) for n, v in shown.items()})
    return {n: v for n, v in found.items() if n not in ("", "planar") and _DEFAULTS.get(n) != v}


def _for_all_axes(value: Any) -> object:
    alike = isinstance(value, list) and len(value) == 2 and value[0] == value[1]
    return value[:1] if alike else value


def _unbatched(shape: Shape | None, batch: int | None) -> Shape | None:
    return shape[1:] if shape and len(shape) > 1 and shape[0] == batch else shape


def _pairs(
    first: dict[str, ComparedLayer], second: dict[str, ComparedLayer]
) -> Iterator[LayerPair]:
    renamed = _renamed(
        [entry for name, entry in first.items() if name not in second],
        [entry for name, entry in second.items() if name not in first],
    )
    gone = {name for name in first if name not in second} - set(renamed.values())
    pending = list(first)
    for name, entry in second.items():
        old = name if name in first else renamed.get(name)
        if old is None:
            yield LayerPair("added", None, entry.line)
            continue
        yield from (LayerPair("removed", first[n].line, None) for n in _before(pending, old, gone))
        yield _matched(first[old], entry)
    yield from (LayerPair("removed", first[n].line, None) for n in pending if n in gone)


def _before(pending: list[str], name: str, gone: set[str]) -> list[str]:
    """The removed layers that stood before a layer of the first net, taken off the list."""
    if name not in pending:
        return []
    at = pending.index(name)
    passed = [other for other in pending[:at] if other in gone]
    del pending[: at + 1]
    return passed


def _renamed(first: Sequence[ComparedLayer], second: Sequence[ComparedLayer]) -> dict[str, str]:
    """Name in the second net -> name in the first, of layers alike in all but the name.

    In the nets' order: difflib's longest runs of equal layers.
    """
    old, new = (list(map(_signature, entries)) for entries in (first, second))
    match = SequenceMatcher(None, old, new, autojunk=False)
    return {
        second[block.b + at].line.path: first[block.a + at].line.path
        for block in match.get_matching_blocks()
        for at in range(block.size)
    }


def _signature(entry: ComparedLayer) -> tuple[object, ...]:
    return (entry.line.type, entry.shapes, entry.line.weights, json.dumps(entry.fields))


def _matched(old: ComparedLayer, new: ComparedLayer) -> LayerPair:
    if old.line.path != new.line.path:
        return LayerPair("renamed", old.line, new.line, (f"in A: {old.line.path}",))
    differences = tuple(_differences(old, new))
    return LayerPair("changed" if differences else "same", old.line, new.line, differences)


def _differences(old: ComparedLayer, new: ComparedLayer) -> Iterator[str]:
    before, after = old.line, new.line
    if before.type != after.type:
        yield f"type {before.type} -> {after.type}"
    if old.shapes != new.shapes:
        yield f"output {_shapes(old.shapes)} -> {_shapes(new.shapes)}"
    if before.weights != after.weights:
        yield f"parameters {exact(before.weights) or 0} -> {exact(after.weights) or 0}"
    if before.type == after.type:
        yield from _field_differences(old.fields, new.fields)


def _shapes(shapes: Sequence[Shape | None]) -> str:
    return ", ".join(map(blob_text, shapes)) or UNKNOWN


def _field_differences(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _field_differences(before, after)
        elif before != after:
            yield f"{name} {_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    text = "default" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


# As a table

MARKS: dict[Status, str] = {
    "same": " ", "changed": "~", "renamed": "=", "added": "+", "removed": "-",
}  # fmt: skip


def table(comparison: Comparison, every: bool = False) -> Table:
    """A table of the layers that differ, or of ``every`` one.

    Marks: + added, - removed, ~ changed, = renamed.
    """
    columns = (Column("  layer"), Column("type"), Column("output"), Column("params", True))
    shown = (pair for pair in comparison.pairs if every or pair.status != "same")
    return Table(columns, tuple(row for pair in shown for row in _rows(pair)))


def _rows(pair: LayerPair) -> Iterator[Row]:
    shown = pair.second or pair.first
    assert shown is not None
    cells = (
        f"{MARKS[pair.status]} {shown.path}",
        shown.type,
        ", ".join(map(image_shape, shown.shapes)),
        exact(shown.weights),
    )
    yield Row(cells, "" if pair.status == "same" else "module")
    for difference in pair.differences:
        yield Row((f"    {difference}", "", "", ""), "note")


def totals(comparison: Comparison, names: tuple[str, str]) -> Table:
    """A table of both nets' totals, with the ratio of the second to the first."""
    columns = (
        Column("total"), Column(names[0], True), Column(names[1], True), Column("B / A", True),
    )  # fmt: skip
    a, b = comparison.first, comparison.second
    one, two = a.cost.total, b.cost.total
    images = ((a.batch or 1), (b.batch or 1))
    numbers = (
        ("layers", len(a.layers), len(b.layers), exact),
        ("parameters", one.parameters, two.parameters, exact),
        ("statistics", one.statistics, two.statistics, exact),
        ("MACs an image", one.macs // images[0], two.macs // images[1], short),
        ("memory an image", a.blob_bytes // images[0], b.blob_bytes // images[1], size),
        ("batch", images[0], images[1], exact),
    )
    rows = (
        Row((name, show(left) or "0", show(right) or "0", _ratio(left, right)))
        for name, left, right, show in numbers
    )
    return Table(columns, tuple(rows))


def _ratio(left: int, right: int) -> str:
    return f"{right / left:.2f}" if left else ""


def to_json(comparison: Comparison) -> dict[str, object]:
    """Everything as plain values; layers that are the same are counted, not listed."""
    statuses: tuple[Status, ...] = ("same", "changed", "renamed", "added", "removed")
    return {
        "equal": comparison.equal,
        "counts": {status: comparison.count(status) for status in statuses},
        "totals": [_total(comparison.first), _total(comparison.second)],
        "layers": [_pair_json(pair) for pair in comparison.pairs if pair.status != "same"],
    }


def _total(profile: NetProfile) -> dict[str, object]:
    total = profile.cost.total
    return {
        "net": profile.graph.name,
        "batch": profile.batch,
        "layers": len(profile.layers),
        "parameters": total.parameters,
        "statistics": total.statistics,
        "macs": total.macs,
        "activation_bytes": profile.blob_bytes,
        "complete": profile.complete,
    }


def _pair_json(pair: LayerPair) -> dict[str, object]:
    return {
        "status": pair.status,
        "first": line_json(pair.first) if pair.first else None,
        "second": line_json(pair.second) if pair.second else None,
        "differences": list(pair.differences),
    }
