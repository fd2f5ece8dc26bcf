"""V0 layers, ``layers { layer { type: "conv" kernelsize: 3 } }``, to V1 (upgrade_proto.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Note, did_you_mean
from netc.migrate.change import Change, Upgraded, carry, each, put, submessage
from netc.migrate.names import V0_TO_V1, v0_type
from netc.migrate.padding import fold_padding
from netc.schema.message import Entry, Message

_PARAM_OF: Mapping[str, str] = MappingProxyType(
    {
        "concat": "concat_param",
        "conv": "convolution_param",
        "data": "data_param",
        "dropout": "dropout_param",
        "hdf5_data": "hdf5_data_param",
        "hdf5_output": "hdf5_output_param",
        "images": "image_data_param",
        "infogain_loss": "infogain_loss_param",
        "innerproduct": "inner_product_param",
        "locally_connected": "convolution_param",
        "lrn": "lrn_param",
        "pool": "pooling_param",
        "window_data": "window_data_param",
    }
)


class _Move(NamedTuple):
    """Where a V0 field goes: to ``field`` of the type's parameter, for the types that have it."""

    field: str
    types: tuple[str, ...]


_WEIGHTED = ("conv", "innerproduct", "locally_connected")
_SLIDING = ("conv", "locally_connected", "pool")
_READS_BATCHES = ("data", "hdf5_data", "images", "window_data")
_MOVES: Mapping[str, _Move] = MappingProxyType(
    {
        "num_output": _Move("num_output", _WEIGHTED),
        "biasterm": _Move("bias_term", _WEIGHTED),
        "weight_filler": _Move("weight_filler", _WEIGHTED),
        "bias_filler": _Move("bias_filler", _WEIGHTED),
        "pad": _Move("pad", _SLIDING),
        "kernelsize": _Move("kernel_size", _SLIDING),
        "group": _Move("group", ("conv", "locally_connected")),
        "stride": _Move("stride", _SLIDING),
        "pool": _Move("pool", ("pool",)),
        "dropout_ratio": _Move("dropout_ratio", ("dropout",)),
        "local_size": _Move("local_size", ("lrn",)),
        "alpha": _Move("alpha", ("lrn",)),
        "beta": _Move("beta", ("lrn",)),
        "k": _Move("k", ("lrn",)),
        "source": _Move("source", (*_READS_BATCHES, "infogain_loss")),
        "batchsize": _Move("batch_size", _READS_BATCHES),
        "rand_skip": _Move("rand_skip", ("data", "images")),
        "shuffle_images": _Move("shuffle", ("images",)),
        "new_height": _Move("new_height", ("images",)),
        "new_width": _Move("new_width", ("images",)),
        "concat_dim": _Move("concat_dim", ("concat",)),
        "det_fg_threshold": _Move("fg_threshold", ("window_data",)),
        "det_bg_threshold": _Move("bg_threshold", ("window_data",)),
        "det_fg_fraction": _Move("fg_fraction", ("window_data",)),
        "det_context_pad": _Move("context_pad", ("window_data",)),
        "det_crop_mode": _Move("crop_mode", ("window_data",)),
        "new_num": _Move("", ()),
        "new_channels": _Move("", ()),
    }
)
_MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "conv_param": "convolution_param",
        "pool_param": "pooling_param",
        **{
            name: name
            for name in (
                "lrn_param",
                "dropout_param",
                "inner_product_param",
                "data_param",
                "image_data_param",
                "concat_param",
            )
        },
    }
)
"""Messages of V1 that a fork (ShaoqingRen/SPP_net) has inside of V0 layers."""
_TRANSFORMS: Mapping[str, str] = MappingProxyType(
    {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
)
_OTHER_TYPES = ('only the current format can name types that Caffe lacks: `layer { type: "..." }`',)
_SAME = frozenset({"name", "blobs", "blobs_lr", "weight_decay"})
_CONNECTION = frozenset({"bottom", "top", "layer"})


def upgrade_v0(net: Message) -> Upgraded:
    """Nets of V0 layers become nets of V1 layers; all others are returned as they are.

    A parameter that its layer's type does not have is left out, as Caffe leaves it out, and told
    in the changes.

    Raises:
        NetcError: ``padding-layer``, ``unknown-layer-type``, ``missing-layer-type``,
            ``mixed-layers`` for V0 and V1 layers in one net, ``no-counterpart`` for a
            fork's field that the current format lacks.
    """
    layers: tuple[Message, ...] = net.get("layers")
    first = next((layer for layer in layers if layer.has("layer")), None)
    if first is None:
        return Upgraded(net)
    _check_connections(layers, first)
    folded = fold_padding(net)
    upgraded = each(folded.message, "layers", _upgrade_layer)
    return Upgraded(upgraded.message, folded.changes + upgraded.changes)


def _check_connections(layers: tuple[Message, ...], first: Message) -> None:
    """Refuse what Caffe drops in silence: V1 layers, and V1 fields, beside V0 layers."""
    for layer in layers:
        foreign = next((name for name in layer.entries if name not in _CONNECTION), None)
        if foreign is None and layer.has("layer"):
            continue
        at = layer.name_span_of(foreign) if foreign else layer.span
        note = Note("the first V0 layer, `layers { layer { ... } }`", first.name_span_of("layer"))
        raise NetcError(
            Diagnostic(
                "mixed-layers",
                f"`{foreign or 'layers'}` here is of the V1 format, in a net of V0 layers; Caffe "
                "would drop it",
                at,
                notes=(note,),
                help=("write all layers in one format, best the current `layer { ... }`",),
            )
        )


def _upgrade_layer(connection: Message) -> Upgraded:
    v0 = submessage(connection, "layer")
    kind = _known_type(v0)
    result = Message(connection.type, connection.without("layer").entries, connection.span)
    lost: list[Change] = []
    for name, entries in sorted(v0.entries.items(), key=lambda entry: entry[0] not in _MESSAGES):
        if name == "type":
            entries = (entries[-1]._replace(value=V0_TO_V1[kind]),)
        moved = _move(result, v0, name, entries)
        if moved is None:
            lost.append(_left_out(v0, name))
        else:
            result = moved
    text = f"V0 layer `{v0.get('name')}` of type `{kind}` became V1 `{V0_TO_V1[kind]}`"
    return Upgraded(result, (Change("v0", text, connection.span), *lost))


def _v0_name(kind: str) -> tuple[str, ...]:
    """Help for a later format's name of a type that V0 has too."""
    name = v0_type(kind)
    return (f'V0 calls it "{name}": write `type: "{name}"`',) if name else ()


def _known_type(v0: Message) -> str:
    kind = v0.get("type") or ""
    if kind in V0_TO_V1:
        return str(kind)
    name = v0.get("name")
    if not v0.has("type"):
        raise v0.error("name", "missing-layer-type", f"V0 layer `{name}` has no `type`")
    raise v0.error(
        "type",
        "unknown-layer-type",
        f"V0 layer `{name}` has type `{kind}`, which Caffe does not know",
        *(_v0_name(str(kind)) or did_you_mean(kind, V0_TO_V1) or _OTHER_TYPES),
    )


def _move(result: Message, v0: Message, name: str, entries: tuple[Entry, ...]) -> Message | None:
    """The V1 layer with a V0 field moved into it; None if the layer's type has no use for it."""
    if name in _SAME or name == "type":
        return result.with_entries(**{name: entries})
    if name in _TRANSFORMS:
        return put(result, ("transform_param", _TRANSFORMS[name]), entries)
    if name in _MESSAGES:
        return result.with_entries(**{_MESSAGES[name]: entries})
    kind = v0.get("type")
    if name == "hdf5_output_param":
        return result.with_entries(**{name: entries}) if kind == "hdf5_output" else None
    move = _MOVES.get(name)
    if move is not None:
        path = (_PARAM_OF.get(kind, ""), move.field)
        return put(result, path, entries) if kind in move.types else None
    return carry(result, v0, name)


def _left_out(v0: Message, name: str) -> Change:
    text = f"`{name}`, which a V0 `{v0.get('type')}` layer does not use, was left out"
    return Change("v0", text, v0.name_span_of(name), lossy=True)
