"""Replaces data layers by Input layers, and determines the shapes of their blobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from netc.analysis.source_layers import source_op
from netc.diagnostics import Diagnostic, NetcError, first_of
from netc.frontend import build
from netc.ir.types import Shape, show
from netc.migrate.change import Change
from netc.ops.catalog import LAYERS, has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.define import ErasedOp, LayerContext
from netc.ops.role import Role
from netc.ops.source_layer import PartialShape, SourceParams
from netc.schema.message import Message
from netc.surgery.build import message_of, with_layers
from netc.surgery.examples import example
from netc.surgery.heads import learns
from netc.surgery.sizes import COMMON, square_sizes
from netc.weights.model import Weights

_COLOURS = 3


class Sources(NamedTuple):
    """What is known about a net's inputs besides its text.

    ``batch`` is the batch size wanted; None for the text's own.
    """

    shapes: Mapping[str, Shape]
    batch: int | None
    weights: Weights | None


class Fed(NamedTuple):
    """A net with Input layers; ``shapes`` are given shapes of inputs that were left unchanged."""

    message: Message
    changes: tuple[Change, ...]
    shapes: Mapping[str, Shape]
    batch: int
    diagnostics: tuple[Diagnostic, ...] = ()


def with_inputs(net: Message, body: Message, sources: Sources) -> Fed:
    """Replace each data layer in ``body`` by an Input layer.

    Args:
        net: the training net with all phases; a blob that no layer of the body makes is searched
            for among the data layers of the other phase.
        body: the layers that are left, data layers included.
        sources: given shapes, batch size and weights.

    Raises:
        NetcError: unknown-input-shape, where nothing determines an image's size.
    """
    layers = body.get("layer")
    needed = _needed(layers)
    made: list[Message] = []
    changes: list[Change] = []
    batches: list[int] = []
    assumed: list[Diagnostic] = []
    found = (*_elsewhere(net, layers, needed), *layers)
    constants = _constants(found, needed)
    for layer in found:
        tops = {top: at for at, top in enumerate(layer.get("top")) if top in needed}
        if _stays(layer, tops, constants):
            made.append(layer)
            continue
        partial = _partial(layer)
        shapes = {}
        if not tops.keys() <= sources.shapes.keys():
            partial = _with_other_phases(net, layer, partial, assumed)
        for top, at in tops.items():
            shapes[top] = _shape(net, layer, top, partial[at], found, sources, assumed)
        batches += [shape[0] for shape in shapes.values() if shape][:1]
        if shapes:
            made.append(_input(layer, shapes))
        changes.append(_sizes_change(layer, shapes))
    given = {name: shape for name, shape in sources.shapes.items() if name in _fed_tops(made)}
    return Fed(
        with_layers(body, made), tuple(changes), given, batches[0] if batches else 0, tuple(assumed)
    )


def _needed(layers: Sequence[Message]) -> frozenset[str]:
    return frozenset(blob for layer in layers for blob in layer.get("bottom"))


def _constants(layers: Sequence[Message], needed: frozenset[str]) -> bool:
    """Whether DummyData layers hold constants, as they do beside other inputs that are read."""
    return any(
        source_op(x) is not None and not has_role(x.get("type"), Role.FILLED)
        for x in layers
        if needed.intersection(x.get("top"))
    )


def _stays(layer: Message, needed: Mapping[str, int], constants: bool) -> bool:
    """Whether a layer is no data layer, or one that inference has too."""
    kind = layer.get("type")
    if source_op(layer) is None:
        return True
    kept = has_role(kind, Role.FED) or (has_role(kind, Role.FILLED) and constants)
    return kept and len(needed) == len(layer.get("top"))


def _fed_tops(layers: Sequence[Message]) -> frozenset[str]:
    return frozenset(top for x in layers if source_op(x) is not None for top in x.get("top"))


def _elsewhere(
    net: Message, layers: Sequence[Message], needed: frozenset[str]
) -> Iterator[Message]:
    """Data layers of another phase, for blobs that no layer of this one makes."""
    made = {top for layer in layers for top in layer.get("top")}
    for layer in net.get("layer"):
        lacking = needed.intersection(layer.get("top")) - made
        if lacking and source_op(layer) is not None:
            made |= lacking
            yield layer.without("include", "exclude", "phase")


def _partial(layer: Message) -> Sequence[PartialShape | None]:
    """The tops' shapes as far as the text tells them.

    Raises:
        NetcError: a field of the layer is wrong.
    """
    op = source_op(layer)
    assert op is not None
    params = _params(op, layer)
    assert isinstance(params, SourceParams)
    known = params.completed(params.shapes, partly=True)
    return [*known, *(None,) * (len(layer.get("top")) - len(known))]


def _with_other_phases(
    net: Message,
    layer: Message,
    partial: Sequence[PartialShape | None],
    assumed: list[Diagnostic],
) -> Sequence[PartialShape | None]:
    """The tops' shapes, with the sizes of images that a layer of another phase alone tells.

    A net is trained on crops of a size, and often tested on whole images, which are no larger.
    """
    found = list(partial)
    for at, top in enumerate(layer.get("top")):
        for other in net.get("layer") if _is_open(found[at]) else ():
            if source_op(other) is None or top not in other.get("top"):
                continue
            there = _partial(other)[list(other.get("top")).index(top)]
            if there is not None and not _is_open(there):
                own = (found[at] or there[:1])[:1]
                found[at] = (*own, *there[1:])
                assumed.append(_assumed_phase(layer, top, there, other))
                break
    return found


def _is_open(shape: PartialShape | None) -> bool:
    """Whether the sizes of images are not known."""
    return shape is None or None in shape[2:]


def _assumed_phase(layer: Message, top: str, shape: PartialShape, other: Message) -> Diagnostic:
    line = "" if other.span is None else f" in line {other.span.line}"
    return Diagnostic(
        "assumed-size",
        f"layer `{layer.get('name')}` does not tell the size of `{top}`; the data layer of another "
        f"phase{line} does: {show(shape[1:])}",
        layer.span_of("name"),
        "note",
        help=(f"--input-shape {top}=1,CHANNELS,HEIGHT,WIDTH says another",),
    )


def _params(op: ErasedOp, layer: Message) -> object:
    """A layer's parameters as its op reads them.

    Raises:
        NetcError: a field of the layer is wrong.
    """
    context = LayerContext("TEST", len(layer.get("bottom")), len(layer.get("top")))
    return op.params(layer, context)


def _shape(
    net: Message,
    layer: Message,
    top: str,
    partial: PartialShape | None,
    layers: Sequence[Message],
    sources: Sources,
    assumed: list[Diagnostic],
) -> Shape:
    """A top's whole shape; of an image whose channels nothing tells, as if it had colours.

    Raises:
        NetcError: unknown-input-shape.
    """
    if top in sources.shapes:
        return sources.shapes[top]
    if partial is not None and len(partial) == 4 and partial[1] is None:
        partial = (partial[0], _channels(top, layers, sources.weights), *partial[2:])
    if partial and has_role(layer.get("type"), Role.FED):
        pass
    elif partial and (sources.batch is not None or partial[0] is None):
        partial = (sources.batch or 1, *partial[1:])
    fitting = _fitting(net, top, partial, layers, sources.weights)
    if fitting and partial is not None:
        common = [size for size in COMMON if size in fitting]
        if len(fitting) == 1 or len(common) == 1:
            side = fitting[0] if len(fitting) == 1 else common[0]
            partial = (*partial[:2], side, side)
            assumed.append(_assumed_size(layer, top, side, fitting))
    if partial is not None and len(partial) == 4 and None not in (partial[0], *partial[2:]):
        if partial[1] is None:
            assumed.append(_assumed(layer, top))
            partial = (partial[0], _COLOURS, *partial[2:])
    if partial is None or None in partial:
        raise _unknown(net, layer, top, partial, layers, sources, fitting)
    return tuple(size for size in partial if size is not None)


def _channels(blob: str, layers: Sequence[Message], weights: Weights | None) -> int | None:
    """The channels that the weights of the first convolution of a blob take."""
    reached = {blob}
    for layer in layers:
        if not reached.intersection(layer.get("bottom")):
            continue
        if has_role(layer.get("type"), Role.CONVOLUTION):
            arrays = () if weights is None else weights.get(layer.get("name"), ())
            params = _params(LAYERS[layer.get("type")], layer)
            assert isinstance(params, ConvolutionParams)
            return arrays[0].shape[1] * params.group if arrays and arrays[0].ndim == 4 else None
        if not learns(layer) or has_role(layer.get("type"), Role.CHANNEL_MAP):
            reached.update(layer.get("top"))
    return None


def _assumed(layer: Message, top: str) -> Diagnostic:
    return Diagnostic(
        "assumed-channels",
        f"layer `{layer.get('name')}`: the text does not tell the channels of `{top}`, which the "
        f"database knows; {_COLOURS} are taken",
        layer.span_of("name"),
        "warning",
        help=("--input-shape says others, and so do the trained weights",),
    )


def _fitting(
    net: Message,
    top: str,
    partial: PartialShape | None,
    layers: Sequence[Message],
    weights: Weights | None,
) -> range:
    """The sides of square images that the weights fit, where the text tells none."""
    if weights is None or partial is None or partial[2:] != (None, None) or partial[1] is None:
        return range(0)
    return square_sizes(net, top, partial[1], layers, weights)


def _assumed_size(layer: Message, top: str, side: int, fitting: range) -> Diagnostic:
    others = "" if len(fitting) == 1 else f", as {fitting[0]} to {fitting[-1]} do"
    return Diagnostic(
        "assumed-size",
        f"layer `{layer.get('name')}`: the text does not tell the size of `{top}`; {side}x{side} "
        f"fits the weights{others}",
        layer.span_of("name"),
        "note" if len(fitting) == 1 else "warning",
        help=(f"--input-shape {top}=1,CHANNELS,HEIGHT,WIDTH says another",),
    )


def _unknown(
    net: Message,
    layer: Message,
    top: str,
    partial: PartialShape | None,
    layers: Sequence[Message],
    sources: Sources,
    fitting: range,
) -> NetcError:
    """The error that asks for a shape, or what is wrong with the net whatever its sizes are."""
    wrong = [d for d in build(with_layers(net, layers)).diagnostics if d.severity == "error"]
    if wrong:
        return NetcError(first_of(wrong))
    listed = show(partial)
    shape = "1,CHANNELS,HEIGHT,WIDTH"
    if partial is not None:
        words = ("1", "CHANNELS", "HEIGHT", "WIDTH")
        names = words if len(partial) == len(words) else tuple("?" * len(partial))
        sizes = (n if s is None else str(s) for n, s in zip(names, partial, strict=True))
        shape = ",".join(sizes)
    message = (
        f"layer `{layer.get('name')}`: the text tells of `{top}` only that its shape is {listed}"
    )
    help = [f"give it with --input-shape {top}={shape}, or inputs={{'{top}': (...)}}"]
    if not fitting:
        help += example(net, layer, layers, sources.shapes)
    else:
        help.append(f"square images of {fitting[0]} to {fitting[-1]} pixels fit the weights")
    return NetcError(
        Diagnostic("unknown-input-shape", message, layer.span_of("name"), help=tuple(help))
    )


def _input(layer: Message, shapes: Mapping[str, Shape]) -> Message:
    fields = {
        "name": layer.get("name"),
        "type": "Input",
        "top": list(shapes),
        "input_param": {"shape": [{"dim": list(shape)} for shape in shapes.values()]},
    }
    return message_of(layer.type, fields, layer.span)


def _sizes_change(layer: Message, shapes: Mapping[str, Shape]) -> Change:
    name, kind = layer.get("name"), layer.get("type")
    if not shapes:
        return Change("deploy", f"layer `{name}` ({kind}) went: nothing needs its tops", layer.span)
    listed = ", ".join(f"`{top}` of {show(s)}" for top, s in shapes.items())
    return Change("deploy", f"layer `{name}` ({kind}) became an Input: {listed}", layer.span)
