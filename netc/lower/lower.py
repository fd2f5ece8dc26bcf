"""Lowering: a NetParameter's layers, walked in order, become the nodes of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import netc.lower.blobs as blobs
from netc.diagnostics import (
    HINTED,
    Collector,
    Diagnostic,
    NetcError,
    Note,
    did_you_mean,
)
from netc.ir.graph import Graph, Node, ParamSpec
from netc.ir.types import Shape
from netc.lower.blobs import NamePool
from netc.lower.complaints import check_arity, check_each, passed_over, unknown_type, unlisted
from netc.lower.losses import counted
from netc.lower.parsed import Parsed
from netc.lower.readings import meant
from netc.lower.rules import NetState, exclusion, filter_layers, merged_state
from netc.ops.catalog import LAYERS
from netc.ops.define import ErasedOp, LayerContext, ShapeError
from netc.ops.filler import Filler
from netc.ops.source_layer import SourceParams
from netc.schema.message import Message

Shapes = Mapping[str, Shape]


class LoweredNet(NamedTuple):
    """A graph without inferred shapes, and the diagnostics of making it.

    ``layers`` are those left after the phase rules, sources included, as they were written;
    ``messages`` has each node's layer as it was written, so that diagnostics can point at fields.
    Where ``diagnostics`` holds errors the graph lacks the layers they are about.
    """

    graph: Graph
    layers: tuple[Message, ...]
    diagnostics: tuple[Diagnostic, ...]
    messages: Mapping[str, Message]


@dataclass(slots=True)
class _LayerWalk:
    """What is gathered while the layers are walked in order."""

    net: Message
    state: NetState
    given: Shapes
    catalog: Mapping[str, ErasedOp]
    collector: Collector = field(default_factory=lambda: Collector(limit=1000))
    blobs: blobs.Blobs = field(default_factory=blobs.Blobs)
    names: NamePool = field(default_factory=NamePool)
    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, Shape | None] = field(default_factory=dict)
    fillers: dict[str, Filler] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    messages: dict[str, Message] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    unwritten_losses: set[str] = field(default_factory=set)
    parsed: Parsed = field(default_factory=Parsed)

    @property
    def hints(self) -> bool:
        """True if near names are looked for: of many complaints the first alone are read."""
        return len(self.collector.diagnostics) < HINTED


def lower(
    net: Message,
    *,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Shapes | None = None,
    catalog: Mapping[str, ErasedOp] = LAYERS,
) -> LoweredNet:
    """The graph of an upgraded NetParameter in a NetState.

    Layers that read data become inputs of the graph. Errors in the net are collected in the
    result's diagnostics; nothing is raised for them.

    Args:
        net: a bound NetParameter in the current format.
        phase: "TEST" or "TRAIN".
        level: of the NetState.
        stages: of the NetState.
        inputs: shapes, by blob, that replace or supply those of inputs and data layers.
        catalog: the layer types there are.
    """
    walk = _LayerWalk(
        net, merged_state(net, NetState(phase, level, tuple(stages))), dict(inputs or {}), catalog
    )
    layers = filter_layers(net, walk.state, walk.collector)
    for layer in layers:
        _walk_layer(walk, layer)
    _check_given(walk)
    graph = _graph(walk)
    return LoweredNet(graph, layers, tuple(walk.collector.diagnostics), walk.messages)


def _walk_layer(walk: _LayerWalk, layer: Message) -> None:
    walk.collector.extend(passed_over(layer))
    op = _op(walk, layer)
    bottoms = _read_bottoms(walk, layer)
    params = None if op is None else _params(walk, layer, op)
    tops = _produce_tops(walk, layer, op)
    if op is None or params is _FAULTY:
        return
    if op.source:
        _add_inputs(walk, layer, op, params, tops)
    elif None not in bottoms:
        walk.nodes.append(_node(walk, layer, op, params, [b for b in bottoms if b], tops))
        _count_losses(walk, layer, op, tops)


_FAULTY = object()


def _params(walk: _LayerWalk, layer: Message, op: ErasedOp) -> object:
    """The op's parameters; _FAULTY where they are none, which the collector then knows."""
    try:
        check_arity(op, layer)
        check_each(op, layer)
        return walk.parsed.params(op, layer, _context(walk, layer))
    except NetcError as error:
        name = f"layer `{layer.get('name')}`"
        walk.collector.extend(
            d
            if d.message.startswith(name)
            else replace(d, message=f"{name} ({op.name}): {d.message}")
            for d in error.diagnostics
        )
    except (ArithmeticError, ValueError) as error:  # of numbers that no rule had in mind
        text = f"layer `{layer.get('name')}` ({op.name}): a number is out of range: {error}"
        walk.collector.add(Diagnostic("out-of-range", text, layer.span))
    return _FAULTY


def _op(walk: _LayerWalk, layer: Message) -> ErasedOp | None:
    kind = layer.get("type")
    op = walk.catalog.get(kind)
    if op is not None:
        return meant(layer, op, walk.collector)
    data = _unlisted_data_layer(layer)
    if data is None:
        walk.collector.add(unknown_type(layer, kind, walk.catalog if walk.hints else ()))
    else:
        walk.collector.add(unlisted(layer, kind, walk.catalog if walk.hints else ()))
    return data


def _unlisted_data_layer(layer: Message) -> ErasedOp | None:
    """What reads data by its name; forks' data layers are imported where one may be meant."""
    from netc.ops.forks.inputs import unlisted_data_layer

    return unlisted_data_layer(layer)


def _context(walk: _LayerWalk, layer: Message) -> LayerContext:
    phase = layer.get("phase") if layer.has("phase") else walk.state.phase
    return LayerContext(phase, layer.count("bottom"), layer.count("top"))


def _read_bottoms(walk: _LayerWalk, layer: Message) -> list[str | None]:
    """Provisional value names of the bottoms; None for one that is unknown (reported)."""
    values = []
    for index, blob in enumerate(layer.get("bottom")):
        value = walk.blobs.read(blob)
        if value is None:
            walk.collector.add(
                blobs.unknown_bottom(
                    layer.get("name"),
                    blob,
                    layer.span_of("bottom", index),
                    list(walk.blobs.current) if walk.hints else (),
                    _elsewhere(walk, layer, blob) if walk.hints else None,
                )
            )
            # Known from here on, so that one mistake is told once.
            walk.hidden.add(walk.blobs.produce(blob, layer.get("name"), None))
        else:
            walk.read.add(value)
        values.append(value)
    return values


def _elsewhere(walk: _LayerWalk, reader: Message, blob: str) -> blobs.Elsewhere | None:
    """Where a blob that is missing here is produced after all: later, or in another state."""
    for layer in walk.net.get("layer"):
        if blob not in layer.get("top"):
            continue
        span = layer.span_of("top", layer.get("top").index(blob))
        name, why = layer.get("name"), exclusion(layer, walk.state)
        if why is None:
            return blobs.Elsewhere(
                Note(f"layer `{name}` produces `{blob}` only later", span),
                f"move layer `{name}` before layer `{reader.get('name')}`",
            )
        phase = walk.state.phase
        text = f"layer `{name}` produces `{blob}` but is left out in phase {phase}: {why}"
        return blobs.Elsewhere(
            Note(text, span),
            f"keep layer `{name}` here too, or leave layer `{reader.get('name')}` out as well, by "
            "`include { }` or `exclude { }`",
        )
    return None


def _produce_tops(walk: _LayerWalk, layer: Message, op: ErasedOp | None) -> list[str]:
    name, bottoms = layer.get("name"), layer.get("bottom")
    values = []
    for index, blob in enumerate(layer.get("top")):
        span = layer.span_of("top", index)
        in_place = index < len(bottoms) and bottoms[index] == blob
        first = walk.blobs.current.get(blob)
        if first is not None and not in_place and str(first.serial) not in walk.hidden:
            walk.collector.add(blobs.duplicate_top(name, blob, span, first))
        values.append(walk.blobs.produce(blob, name, span))
    if op is not None and op.arity.optional_top and not values:
        value = walk.blobs.produce(blobs.AUTOMATIC, name, layer.span_of("type"))
        walk.hidden.add(value)
        values.append(value)
    return values


def _node(
    walk: _LayerWalk,
    layer: Message,
    op: ErasedOp,
    params: object,
    bottoms: list[str],
    tops: list[str],
) -> Node:
    name = walk.names.take(layer.get("name"))
    walk.messages[name] = layer
    span = layer.span_of("name") if layer.has("name") else layer.span
    return Node(
        name,
        op.name,
        params,
        tuple(bottoms),
        tuple(tops),
        spans=(span,) if span else (),
        param_specs=tuple(map(_param_spec, layer.get("param"))),
        propagate_down=layer.get("propagate_down"),
    )


def _count_losses(walk: _LayerWalk, layer: Message, op: ErasedOp, tops: Sequence[str]) -> None:
    """The tops that count in the net's loss, with their weights (Layer::SetLossWeights).

    A loss layer's first top counts 1 unless a weight is written; one of weight 0 is an output.
    """
    written: Sequence[float] = layer.get("loss_weight")
    walk.losses.update({top: w for top, w in zip(tops, written, strict=False) if w})
    if op.loss and not written:
        walk.unwritten_losses.update(tops[:1])


def _param_spec(spec: Message) -> ParamSpec:
    name = spec.get("name")
    return ParamSpec(
        name,
        spec.optional("lr_mult"),
        spec.optional("decay_mult"),
        spec.get("share_mode") == "PERMISSIVE",
        spec.span_of("name"),
    )


def _add_inputs(
    walk: _LayerWalk, layer: Message, op: ErasedOp, params: object, tops: list[str]
) -> None:
    names = layer.get("top")
    shapes: Sequence[Shape | None] = [walk.given.get(blob) for blob in names]
    if None in shapes:
        shapes = _declared(walk, layer, op, params, shapes)
    walk.inputs.update(zip(tops, shapes, strict=False))
    if isinstance(params, SourceParams):
        walk.fillers.update(zip(tops, params.fillers, strict=False))


def _declared(
    walk: _LayerWalk, layer: Message, op: ErasedOp, params: object, given: Sequence[Shape | None]
) -> Sequence[Shape | None]:
    """The tops' shapes: those given, else as the text says them or as they follow from these."""
    error = None
    try:
        said: Sequence[Shape | None] = op.shape(params, ())
    except ShapeError as caught:
        error, said = caught, getattr(caught, "partial", None) or [None] * len(given)
    known: list[Any] = [g if g is not None else d for g, d in zip(given, said, strict=False)]
    if isinstance(params, SourceParams):
        known = list(params.completed(known))
    if error is not None:
        unknown = _unknown(layer.get("top"), known)
        if unknown or error.code != "unknown-input-shape":
            walk.collector.add(_unknown_shape(layer, error, unknown))
    return known


def _unknown(names: Sequence[str], shapes: Sequence[Shape | None]) -> dict[str, Shape | None]:
    """The blobs whose shape neither the caller nor the text tells, and what is known of it."""
    return {
        blob: shape
        for blob, shape in zip(names, shapes, strict=False)
        if shape is None or None in shape
    }


def _unknown_shape(
    layer: Message, error: ShapeError, unknown: Mapping[str, Shape | None]
) -> Diagnostic:
    asked = " ".join(f"--input-shape {blob}={_asked(said)}" for blob, said in unknown.items())
    return Diagnostic(
        error.code,
        f"layer `{layer.get('name')}`: {error.message}",
        layer.span_of("type"),
        severity="note" if error.code == "unknown-input-shape" else "error",
        help=(
            *error.help,
            f"give it with {asked}, or inputs={{{next(iter(unknown))!r}: (...)}} in compile()",
        )
        if unknown
        else error.help,
    )


_AXES = ("NUM", "CHANNELS", "HEIGHT", "WIDTH")


def _asked(said: Sequence[int | None] | None) -> str:
    """How a shape is written, with what is known of it: ``64,CHANNELS,227,227``."""
    sizes = [None] * 4 if said is None else list(said)
    names = _AXES if len(sizes) == 4 else tuple(f"SIZE{i}" for i in range(len(sizes)))
    return ",".join(name if s is None else str(s) for s, name in zip(sizes, names, strict=True))


def _check_given(walk: _LayerWalk) -> None:
    """Each shape the caller gave must be of an input of the net."""
    known = [walk.blobs.versions[int(v)].blob for v in walk.inputs]
    for blob in walk.given:
        if blob not in known:
            listed = ", ".join(f"`{b}`" for b in known) or "none"
            walk.collector.add(
                Diagnostic(
                    "unknown-input",
                    f"a shape is given for input `{blob}`; the net's inputs are: {listed}",
                    help=did_you_mean(blob, known),
                )
            )


def _graph(walk: _LayerWalk) -> Graph:
    names = walk.blobs.final_names()
    values = walk.blobs.values(names)
    for value, shape in walk.inputs.items():
        known = shape if shape is not None and None not in shape else None
        old = values[names[value]]
        values[names[value]] = replace(old, shape=known, filler=walk.fillers.get(value))
    unread = [
        v
        for v in (str(version.serial) for version in walk.blobs.versions)
        if v not in walk.read and v not in walk.hidden
    ]
    phase = walk.state.phase
    losses, reported = counted(walk.nodes, walk.losses, walk.unwritten_losses, phase)
    walk.collector.extend(reported)
    return Graph(
        walk.net.get("name"),
        blobs.renamed(walk.nodes, names),
        tuple(names[v] for v in walk.inputs),
        tuple(sorted(names[v] for v in unread)),
        values,
        {},
        phase,
        losses={names[v]: weight for v, weight in losses.items()},
    )
