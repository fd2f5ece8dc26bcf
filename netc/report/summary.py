"""A net as a table: a row for each layer, one with the sums for each module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netc.analysis.chain import LayerChain
from netc.analysis.cost import FLOAT_BYTES
from netc.analysis.profile import LayerProfile, NetProfile
from netc.analysis.receptive import ReceptiveField
from netc.analysis.structure import ModuleGroup, own_name, structure
from netc.ir.types import Shape, show
from netc.report.figures import UNKNOWN, blob_text, exact, field_text, short, size
from netc.report.table import Column, Row, Table

CONVENTION = (
    "1 MAC is 1 multiply-add; bytes are of float32, 1 MB is 1,000,000 bytes",
    "field: size/stride, padding of the receptive field in the input",
)


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """The figures of one layer, or the sums of a module.

    Figures are for the whole batch; None where unknown. ``incomplete`` is set where the sums lack
    layers whose shapes are unknown. ``macs`` are multiply-adds.
    """

    name: str
    type: str
    depth: int
    shapes: tuple[Shape | None, ...]
    parameters: int | None = 0
    statistics: int | None = 0
    macs: int | None = 0
    operations: int | None = 0
    bytes: int | None = 0
    field: ReceptiveField | None = None
    module: bool = False
    layers: int = 1
    incomplete: bool = False
    path: str = ""

    @property
    def weights(self) -> int | None:
        """Parameters and statistics together."""
        if self.parameters is None or self.statistics is None:
            return None
        return self.parameters + self.statistics


def lines(profile: NetProfile, depth: int | None = None) -> list[SummaryLine]:
    """The table's lines, modules before what is in them.

    Args:
        profile: the net's profile.
        depth: modules at this depth are shown as one line, without their contents; None shows all.
    """
    return list(_lines_of(profile, structure(profile), 0, depth, ""))


def _lines_of(
    profile: NetProfile, module: ModuleGroup, depth: int, limit: int | None, path: str
) -> Iterator[SummaryLine]:
    for part in module.parts:
        if isinstance(part, LayerChain):
            for layer in part.layers:
                yield _layer_line(profile, layer, depth, path)
            continue
        yield module_line(profile, part, depth)
        if limit is None or depth + 1 < limit:
            yield from _lines_of(profile, part, depth + 1, limit, part.path)


def _layer_line(profile: NetProfile, layer: LayerProfile, depth: int, path: str) -> SummaryLine:
    cost = layer.cost
    own = own_name(layer.name, path) or "(no name)"
    shapes = tuple(profile.shape(name) for name in layer.outputs)
    if layer.source or cost is None:
        nothing = 0 if layer.source else None
        return SummaryLine(
            own, layer.type, depth, shapes, nothing, nothing, nothing, nothing,
            profile.bytes(layer), _field(profile, layer), path=layer.name,
        )  # fmt: skip
    return SummaryLine(
        own, layer.type, depth, shapes, cost.parameters, cost.statistics, cost.macs,
        cost.operations, profile.bytes(layer), _field(profile, layer), path=layer.name,
    )  # fmt: skip


def _field(profile: NetProfile, layer: LayerProfile) -> ReceptiveField | None:
    return next((profile.fields[n] for n in layer.outputs if n in profile.fields), None)


def module_line(profile: NetProfile, module: ModuleGroup, depth: int = 0) -> SummaryLine:
    """The sums of a module; shapes and field are those of its last layer."""
    inner = [_layer_line(profile, layer, depth, "") for layer in module.layers()]
    last = inner[-1]
    return SummaryLine(
        module.name,
        f"{len(inner)} layers",
        depth,
        last.shapes,
        _sum(line.parameters for line in inner),
        _sum(line.statistics for line in inner),
        _sum(line.macs for line in inner),
        _sum(line.operations for line in inner),
        _sum(line.bytes for line in inner),
        last.field,
        True,
        len(inner),
        any(line.parameters is None or line.bytes is None for line in inner),
        module.path,
    )


def _sum(values: Iterable[int | None]) -> int:
    return sum(value or 0 for value in values)


# As a table

COLUMNS = (
    Column("layer"),
    Column("type"),
    Column("output"),
    Column("params", True),
    Column("MACs", True),
    Column("memory", True),
    Column("field"),
)


def table(profile: NetProfile, depth: int | None = None) -> Table:
    """Exact parameters, three digits of the rest; blobs without their batch axis."""
    rows = [Row(_cells(line), "module" if line.module else "") for line in lines(profile, depth)]
    total = profile.cost.total
    cells = (
        "total",
        f"{len(profile.layers)} layers",
        "",
        _partly(exact(total.parameters + total.statistics), not profile.complete),
        _partly(short(total.macs), not profile.complete),
        _partly(size(profile.blob_bytes), not profile.complete),
        "",
    )
    return Table(COLUMNS, (*rows, Row(cells, "total")))


def _cells(line: SummaryLine) -> tuple[str, ...]:
    name = "  " * line.depth + line.name
    return (
        name,
        line.type,
        ", ".join(image_shape(shape) for shape in line.shapes),
        _partly(exact(line.weights), line.incomplete),
        _partly(short(line.macs), line.incomplete),
        _partly(size(line.bytes), line.incomplete),
        field_text(line.field),
    )


def _partly(text: str, incomplete: bool) -> str:
    return f"{text or 0} + {UNKNOWN}" if incomplete else text


def image_shape(shape: Shape | None) -> str:
    """A shape as text without its first axis, the batch."""
    return blob_text(shape[1:] if shape and len(shape) > 1 else shape)


# The totals under it


def totals(profile: NetProfile) -> list[str]:
    """The totals of the whole net, one sentence per line."""
    cost, batch = profile.cost.total, profile.batch or 1
    forward = profile.blob_bytes
    both = forward + max(forward - profile.cost.input_bytes, 0)  # inputs have no gradients
    each = " an image" if batch > 1 else ""
    out = [f"parameters   {cost.parameters:,} trained{_kept(cost.statistics)}"]
    out.append(f"             {_bytes(cost.weight_bytes)}")
    out.append(f"MACs         {cost.macs // batch:,}{each}{_of_batch(short(cost.macs), batch)}")
    out.append(
        f"memory       {_bytes(forward // batch)}{each} forward{_of_batch(size(forward), batch)}"
    )
    out.append(
        f"             {_bytes(both // batch)}{each} forward and backward"
        f"{_of_batch(size(both), batch)}"
    )
    if not profile.complete:
        out.append(f"             (without the {_missing(profile)} layers marked {UNKNOWN})")
    return [*out, "", *CONVENTION]


def _bytes(number: int) -> str:
    return size(number) or "0 B"


def _kept(statistics: int) -> str:
    return f", and {statistics:,} of statistics" if statistics else ""


def _of_batch(text: str, batch: int) -> str:
    return f", {text} for the batch" if batch > 1 else ""


def _missing(profile: NetProfile) -> int:
    return sum(not layer.source and layer.cost is None for layer in profile.layers)


# As plain values


def to_json(profile: NetProfile, depth: int | None = None) -> dict[str, object]:
    """Everything as plain values; figures are of the whole batch."""
    cost = profile.cost.total
    return {
        "net": profile.graph.name,
        "phase": profile.graph.phase,
        "batch": profile.batch,
        "complete": profile.complete,
        "convention": {"mac": 1, "element_bytes": FLOAT_BYTES},
        "inputs": {
            blob: _plain(profile.shape(name)) for blob, name in profile.graph.input_blobs.items()
        },
        "outputs": {name: _plain(profile.shape(name)) for name in profile.graph.outputs},
        "total": {
            "layers": len(profile.layers),
            "parameters": cost.parameters,
            "statistics": cost.statistics,
            "weight_bytes": cost.weight_bytes,
            "macs": cost.macs,
            "operations": cost.operations,
            "activation_bytes": profile.blob_bytes,
            "activation_and_gradient_bytes": 2 * profile.blob_bytes - profile.cost.input_bytes,
            "caffe_data_bytes": profile.cost.caffe_data_bytes,
        },
        "layers": [line_json(line) for line in lines(profile, depth)],
    }


def _plain(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def line_json(line: SummaryLine) -> dict[str, object]:
    """One line as plain values; a module's has ``layers``, the number it sums over."""
    out: dict[str, object] = {
        "name": line.path,
        "type": line.type,
        "outputs": [_plain(shape) for shape in line.shapes],
        "parameters": line.parameters,
        "statistics": line.statistics,
        "macs": line.macs,
        "operations": line.operations,
        "activation_bytes": line.bytes,
        "receptive_field": field_json(line.field),
    }
    if line.module:
        out |= {
            "type": None,
            "module": True,
            "layers": line.layers,
            "complete": not line.incomplete,
        }
    return out


def field_json(field: ReceptiveField | None) -> dict[str, object] | None:
    """A receptive field as plain values; strides may be fractions of an element."""
    if field is None:
        return None
    return {
        "size": list(field.size),
        "stride": [float(value) for value in field.stride],
        "padding": list(field.padding),
    }


CSV_NAMES = (
    "name type module output parameters statistics macs operations activation_bytes field stride "
    "padding"
).split()


def csv_rows(profile: NetProfile, depth: int | None = None) -> list[tuple[object, ...]]:
    """A row for each line, numbers exact and of the whole batch; empty where unknown."""
    return [
        (
            line.path,
            "" if line.module else line.type,
            int(line.module),
            " ".join(blob_text(shape) for shape in line.shapes),
            line.parameters,
            line.statistics,
            line.macs,
            line.operations,
            line.bytes,
            *_field_cells(line.field),
        )
        for line in lines(profile, depth)
    ]


def _field_cells(field: ReceptiveField | None) -> tuple[str, str, str]:
    if field is None:
        return ("", "", "")
    parts = (field.size, field.stride, field.padding)
    return tuple(show(part, "") for part in parts)  # type: ignore[return-value]
