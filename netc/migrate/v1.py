"""V1 layers, ``layers { type: CONVOLUTION blobs_lr: 1 }``, to V2 (upgrade_proto.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded, carry, each
from netc.migrate.names import v2_type
from netc.schema.message import Entry, Message, MessageType

_SPEC_OF: Mapping[str, str] = MappingProxyType(
    {
        "param": "name",
        "blob_share_mode": "share_mode",
        "blobs_lr": "lr_mult",
        "weight_decay": "decay_mult",
    }
)
"""Lists of V1, an item a parameter, to fields of V2's ParamSpec."""


def upgrade_v1(net: Message) -> Upgraded:
    """Nets of V1 ``layers`` become nets of V2 ``layer``; all others are returned as they are.

    Raises:
        NetcError: ``mixed-layers`` for a net with both, ``no-counterpart`` for a fork's field
            that the current format lacks.
    """
    check_not_mixed(net)
    if not net.has("layers"):
        return Upgraded(net)
    target = net.type.fields["layer"].message
    assert target is not None
    upgraded = each(net, "layers", lambda layer: _upgrade_layer(layer, target))
    layers = upgraded.message.entries["layers"]
    return Upgraded(net.without("layers").with_entries(layer=layers), upgraded.changes)


def check_not_mixed(net: Message) -> None:
    """Refuse a net with both ``layer`` and ``layers``, of which Caffe drops the former.

    Raises:
        NetcError: ``mixed-layers``, with the first place of both.
    """
    if not (net.has("layer") and net.has("layers")):
        return
    new, old = len(net.entries["layer"]), len(net.entries["layers"])
    raise NetcError(
        Diagnostic(
            "mixed-layers",
            f"the net has {_count(new, 'layer')} and {_count(old, 'layers')}: two formats, of "
            f"which Caffe would drop {'the' if new == 1 else 'all'} `layer`",
            net.name_span_of("layer", 0),
            notes=(Note("the first `layers`, of the older format", net.name_span_of("layers", 0)),),
            help=(
                'write all in one format, best the current one: `layer { type: "ReLU" ... }`',
                "the older one is `layers { type: RELU ... }`",
            ),
        )
    )


def _count(number: int, name: str) -> str:
    return f"{number} `{name}`"


def _upgrade_layer(old: Message, target: MessageType) -> Upgraded:
    layer = Message(target, {}, old.span)
    for name, entries in old.entries.items():
        if name == "type":
            layer = layer.with_entries(type=(_type(entries[-1]),))
        elif name not in _SPEC_OF:
            layer = carry(layer, old, name)
    specs = _param_specs(old, target)
    kind = f"of type `{layer.get('type')}`" if layer.get("type") else "without a type"
    change = Change("v1", f"V1 layer `{old.get('name')}` became `layer` {kind}", old.span)
    return Upgraded(layer.with_entries(param=specs), (change,))


def _type(entry: Entry) -> Entry:
    return entry._replace(value=v2_type(entry.value))


def _param_specs(old: Message, target: MessageType) -> tuple[Entry, ...]:
    """``param { name share_mode lr_mult decay_mult }``, one for each parameter that V1 names."""
    spec = target.fields["param"].message
    assert spec is not None
    columns = [old.entries.get(name, ()) for name in _SPEC_OF]
    return tuple(_param_spec(spec, row) for row in zip_longest(*columns))


def _param_spec(spec: MessageType, row: tuple[Entry | None, ...]) -> Entry:
    given = {name: (entry,) for name, entry in zip(_SPEC_OF.values(), row, strict=True) if entry}
    place = next(iter(given.values()))[0]
    return Entry(Message(spec, given, place.name_span or place.span), place.span, place.name_span)
