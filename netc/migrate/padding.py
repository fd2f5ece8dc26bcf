"""V0 padding layers: folded into the convolution or pooling that reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

from netc.diagnostics import Collector, Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded, put, submessage
from netc.schema.message import Entry, Message

_TAKES_PAD = ("conv", "pool")


@dataclass(slots=True)
class _PaddingWalk:
    """Who made each blob last, and which padding layers have been read, in textual order."""

    producer: dict[str, Message] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    collector: Collector = field(default_factory=Collector)
    changes: list[Change] = field(default_factory=list)


def fold_padding(net: Message) -> Upgraded:
    """V0 layers of type "padding" become the ``pad`` of their readers.

    As Caffe's UpgradeV0PaddingLayers: a reader is a convolution or a pooling with one bottom, the
    padding layer has one bottom and one top. The reader's own ``pad`` is replaced.

    Raises:
        NetcError: ``padding-layer`` where a padding layer cannot be folded.
    """
    layers: tuple[Message, ...] = net.get("layers")
    if not any(_is_padding(layer) for layer in layers):
        return Upgraded(net)
    walk = _PaddingWalk()
    after: list[Entry] = []
    for entry in net.entries["layers"]:
        folded = _read_padding(walk, entry.value)
        if not _is_padding(entry.value):
            after.append(entry._replace(value=folded))
        walk.producer.update(dict.fromkeys(entry.value.get("top"), entry.value))
    walk.collector.check()
    unread = [x for x in layers if _is_padding(x) and id(x) not in walk.read]
    walk.changes += [_unread(layer) for layer in unread]
    return Upgraded(net.with_entries(layers=tuple(after)), tuple(walk.changes))


def _read_padding(walk: _PaddingWalk, layer: Message) -> Message:
    """The layer with the padding layers that it reads folded into it."""
    sources = [walk.producer[blob] for blob in layer.get("bottom") if blob in walk.producer]
    for padding in filter(_is_padding, sources):
        walk.read.add(id(padding))
        with walk.collector.catching():
            _check_foldable(layer, padding)
            layer = _fold(layer, padding)
            walk.changes.append(_folded(layer, padding))
    return layer


def _v0(layer: Message) -> Message:
    return submessage(layer, "layer")


def _is_padding(layer: Message) -> bool:
    return bool(_v0(layer).get("type") == "padding")


def _name(layer: Message) -> str:
    return str(_v0(layer).get("name"))


def _check_foldable(layer: Message, padding: Message) -> None:
    kind, bottoms = _v0(layer).get("type"), len(layer.get("bottom"))
    shape = (len(padding.get("bottom")), len(padding.get("top")))
    if kind not in _TAKES_PAD:
        fact = f"only `conv` and `pool` layers can read padding, and `{_name(layer)}` is `{kind}`"
    elif bottoms != 1:
        fact = f"a layer that reads padding has 1 bottom, and `{_name(layer)}` has {bottoms}"
    elif shape != (1, 1):
        fact = (
            f"a padding layer has 1 bottom and 1 top, and `{_name(padding)}` has "
            f"{shape[0]} and {shape[1]}"
        )
    else:
        return
    note = Note(f"padding layer `{_name(padding)}`", padding.span)
    raise NetcError(Diagnostic("padding-layer", fact, layer.span_of("bottom"), notes=(note,)))


def _fold(layer: Message, padding: Message) -> Message:
    amount = _v0(padding).entries.get("pad", ())
    if amount or _v0(layer).has("pad"):
        layer = put(layer, ("layer", "pad"), amount)
    return layer.with_entries(bottom=padding.entries["bottom"])


def _folded(layer: Message, padding: Message) -> Change:
    pad = _v0(padding).get("pad")
    text = f"padding layer `{_name(padding)}` became `pad: {pad}` of `{_name(layer)}`"
    return Change("v0", text, padding.span)


def _unread(padding: Message) -> Change:
    text = f"padding layer `{_name(padding)}`, which no layer reads, was left out"
    return Change("v0", text, padding.span, lossy=True)
