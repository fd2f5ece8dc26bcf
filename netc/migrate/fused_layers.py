"""Layers that BVLC's OpenCL branch fuses by `fuse_type`, taken apart again.

conv_layer_spatial.cpp and lrn_layer.cpp there: a convolution with a ReLU behind it, or with another
bottom added first; a normalization across channels with a max pooling behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netc.diagnostics import NetcError
from netc.migrate.change import Change, Upgraded, submessage
from netc.schema.message import Entry, Message

_RELU, _SUM_RELU, _POOL = "FUSED_CONV_RELU", "FUSED_CONV_ELTWISE_RELU", "FUSED_POOL_MAX"
_PARAMS: Mapping[str, str] = {"Convolution": "convolution_param", "LRN": "lrn_param"}


def split_fused(net: Message) -> Upgraded:
    """A layer with a `fuse_type` becomes layers of BVLC Caffe; the last makes its top.

    Raises:
        NetcError: ``bottom-count`` where a sum is fused and there are not two bottoms.
    """
    entries = net.entries.get("layer", ())
    fused = {id(e.value): _fusion(e.value) for e in entries}
    if not any(fused.values()):
        return Upgraded(net)
    made, changes = list[Entry](), list[Change]()
    for entry in entries:
        kind = fused[id(entry.value)]
        parts = list(_parts(entry.value, kind)) if kind else [entry.value]
        made += [entry._replace(value=part) for part in parts]
        changes += [_told(entry.value, kind, parts)] if kind else []
    return Upgraded(net.with_entries(layer=tuple(made)), tuple(changes))


def _fusion(layer: Message) -> str:
    """What is fused: one of the kinds that can be taken apart, or ""."""
    name = _PARAMS.get(layer.get("type"), "")
    param = submessage(layer, name) if name in layer.entries else None
    if param is None or "fuse_type" not in param.entries:
        return ""
    kind: str = param.get("fuse_type")
    return kind if kind in (_RELU, _SUM_RELU, _POOL) and len(layer.get("top")) == 1 else ""


def _parts(layer: Message, kind: str) -> Iterator[Message]:
    name = _PARAMS[layer.get("type")]
    param = submessage(layer, name)
    plain = param.without("fuse_type", "relu_param", "eltwise_param", "pooling_param",
                          "unit_test_mode", "unit_test_fuse_kernel")  # fmt: skip
    alone = layer.with_entries(**{name: (layer.entries[name][-1]._replace(value=plain),)})
    if kind == _RELU:
        yield alone
        yield _relu(layer, param)
        return
    bottoms = layer.entries.get("bottom", ())
    if len(bottoms) != (2 if kind == _SUM_RELU else 1):
        raise _bottoms_fault(layer, kind)
    between = (Entry(f"{layer.get('name')}_{'sum' if kind == _SUM_RELU else 'norm'}"),)
    yield alone.with_entries(bottom=bottoms[:1], top=between)
    if kind == _POOL:
        pooling = param.entries.get("pooling_param", ())
        yield _next(layer, "pool", "Pooling", bottom=between, pooling_param=pooling)
        return
    yield _next(layer, "sum", "Eltwise", bottom=(*between, bottoms[1]))
    yield _relu(layer, param)


def _bottoms_fault(layer: Message, kind: str) -> NetcError:
    wanted = 2 if kind == _SUM_RELU else 1
    return layer.error(
        "bottom",
        "bottom-count",
        f"layer `{layer.get('name')}` with `fuse_type: {kind}` takes {wanted} "
        f"bottom{'s' * (wanted > 1)}, it has {layer.count('bottom')}",
    )


def _relu(layer: Message, param: Message) -> Message:
    top = layer.entries["top"]
    return _next(layer, "relu", "ReLU", bottom=top, relu_param=param.entries.get("relu_param", ()))


def _next(layer: Message, suffix: str, kind: str, **fields: tuple[Entry, ...]) -> Message:
    """A layer behind, that makes the same top; it is left out where the fused one is."""
    rules = {n: layer.entries[n] for n in ("include", "exclude", "phase") if n in layer.entries}
    named = {
        "name": (Entry(f"{layer.get('name')}_{suffix}", layer.span_of("name")),),
        "type": (Entry(kind, layer.span_of("type")),),
        "top": layer.entries["top"],
    }
    given = {name: entries for name, entries in fields.items() if entries}
    return Message(layer.type, {**named, **rules, **given}, layer.span)


def _told(layer: Message, kind: str, parts: list[Message]) -> Change:
    kinds = " and ".join(f"`{part.get('type')}`" for part in parts)
    where = submessage(layer, _PARAMS[layer.get("type")]).name_span_of("fuse_type")
    return Change("fused", f"`fuse_type: {kind}` became {kinds}", where)
