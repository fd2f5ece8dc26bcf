"""Bottoms of pull requests of BVLC: named by a field, or that hold trained arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from netc.migrate.change import Change, Upgraded, each, submessage
from netc.schema.message import Entry, Message


def name_cropped_sizes(net: Message) -> Upgraded:
    """SimpleCrop of pull request 2539 becomes Crop: `blob_name` becomes its second bottom.

    It crops the last two axes to the blob's size and takes off the end (simple_crop_layer.cpp).
    """
    return each(net, "layer", _crop)


def _crop(layer: Message) -> Upgraded:
    if layer.get("type") != "SimpleCrop":
        return Upgraded(layer)
    param = submessage(layer, "crop_param")
    if not param.has("blob_name"):
        return Upgraded(layer)
    named = param.entries["blob_name"][-1]
    (*_, written) = layer.entries["type"]
    bottoms = (*layer.entries.get("bottom", ()), named)
    change = Change("bottoms", f"`blob_name` became bottom `{named.value}` of Crop", named.span)
    from_the_start = Message(param.type, {"offset": (Entry(0),)}, param.span)
    renamed = layer.with_entries(
        type=(written._replace(value="Crop"),),
        bottom=bottoms,
        crop_param=(layer.entries["crop_param"][-1]._replace(value=from_the_start),),
    )
    return Upgraded(renamed, (change,))


def share_parameters(net: Message) -> Upgraded:
    """Last bottoms that `param_bottoms` counts become parameters shared by name.

    In pull request 2219 tops of Parameter layers are the trained arrays of a layer (layer.hpp).
    Layers of which that is not all are left as they are. The tops are read by a Silence.
    """
    layers = [entry.value for entry in net.entries.get("layer", ())]
    made = {_only_top(layer) for layer in layers if layer.get("type") == "Parameter"} - {""}
    chosen = [layer for layer in layers if _parameters(layer, made)]
    names = [name for layer in chosen for name in _parameters(layer, made)]
    if not names:
        return Upgraded(net)
    after = [_shared(layer, made, set(names)) for layer in layers]
    entries = [e._replace(value=v) for e, v in zip(net.entries["layer"], after, strict=True)]
    read = Counter(name for layer in after for name in layer.get("bottom"))
    unread = [name for name in dict.fromkeys(names) if not read[name]]
    entries += [Entry(_silence(net, unread))] if unread else []
    return Upgraded(net.with_entries(layer=tuple(entries)), tuple(map(_told, chosen)))


def _only_top(layer: Message) -> str:
    """The top of a Parameter layer that names no parameter; "" for others."""
    named = any(spec.get("name") for spec in layer.get("param"))
    tops: Sequence[str] = layer.get("top")
    return tops[0] if len(tops) == 1 and not named else ""


def _parameters(layer: Message, made: set[str]) -> Sequence[str]:
    """The bottoms of a layer that are its trained arrays."""
    number = layer.get("param_bottoms") if "param_bottoms" in layer.type.fields else 0
    bottoms: Sequence[str] = layer.get("bottom")
    found = bottoms[len(bottoms) - number :] if 0 < number < len(bottoms) else ()
    return found if not layer.has("param") and made.issuperset(found) else ()


def _shared(layer: Message, made: set[str], names: set[str]) -> Message:
    found = _parameters(layer, made)
    if found:
        left = layer.entries["bottom"][: -len(found)]
        shared = tuple(_spec(layer, layer.entries["bottom"][len(left) :]))
        return layer.without("param_bottoms").with_entries(bottom=left, param=shared)
    if layer.get("type") == "Parameter" and _only_top(layer) in names:
        (spec,) = _spec(layer, layer.entries["top"])
        written = layer.entries.get("param", ())
        if written:
            spec = written[0]._replace(value=written[0].value.with_entries(**spec.value.entries))
        return layer.with_entries(param=(spec, *written[1:]))
    return layer


def _spec(layer: Message, named: Sequence[Entry]) -> Iterator[Entry]:
    """A `param { name: ... }` for each blob."""
    type = layer.type.fields["param"].message
    assert type is not None
    for entry in named:
        yield Entry(Message(type, {"name": (entry,)}, entry.span), entry.span, entry.span)


def _silence(net: Message, blobs: Sequence[str]) -> Message:
    type = net.type.fields["layer"].message
    assert type is not None
    fields = {
        "name": (Entry("parameters"),),
        "type": (Entry("Silence"),),
        "bottom": tuple(Entry(blob) for blob in blobs),
    }
    return Message(type, fields)


def _told(layer: Message) -> Change:
    text = f"`param_bottoms` of layer `{layer.get('name')}` became parameters shared by name"
    return Change("bottoms", text, layer.name_span_of("param_bottoms"))
