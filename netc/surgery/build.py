"""Building messages from plain values, and small edits of a net's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from netc.diagnostics import Span
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.schema.message import Entry, Message, MessageType

Plain = Mapping[str, object]
"""Field -> a scalar, a mapping for a message, or a list of these for a repeated field."""


def message_of(type: MessageType, fields: Plain, span: Span | None = None) -> Message:
    """A message from plain values, with ``span`` as its place; its fields have no spans."""
    entries = {
        name: tuple(_entries(type, name, value, span))
        for name, value in fields.items()
        if value is not None
    }
    return Message(type, {name: found for name, found in entries.items() if found}, span)


def _entries(type: MessageType, name: str, value: object, span: Span | None) -> Iterator[Entry]:
    inner = type.fields[name].message
    for one in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(one, Mapping) and inner is not None:
            yield Entry(message_of(inner, one, span))
        else:
            yield Entry(one)


def layer_type(net: Message) -> MessageType:
    """The message type of a net's layers (LayerParameter)."""
    found = net.type.fields["layer"].message
    assert found is not None
    return found


def with_layers(net: Message, layers: Iterable[Message]) -> Message:
    """The net with these layers; layers that it already had keep their spans."""
    old = {id(entry.value): entry for entry in net.entries.get("layer", ())}
    kept = tuple(old.get(id(layer)) or _entry(layer) for layer in layers)
    return net.with_entries(layer=kept)


def _entry(layer: Message) -> Entry:
    return Entry(layer, layer.span, layer.span)


def with_texts(message: Message, name: str, values: Iterable[object]) -> Message:
    """A copy with a repeated scalar field's values replaced; each keeps the old value's span."""
    old = message.entries.get(name, ())
    end = _end(message.span)
    place = Entry(None, end, end)
    entries = tuple(
        (old[min(at, len(old) - 1)] if old else place)._replace(value=value)
        for at, value in enumerate(values)
    )
    return message.with_entries(**{name: entries})


def with_scalar(message: Message, path: tuple[str, ...], value: object) -> Message:
    """A copy with a singular field set; messages missing on the way are created.

    The value ``None`` removes the field.
    """
    name, *rest = path
    if rest:
        inner = with_scalar(message.get(name), tuple(rest), value)
        old = message.entries.get(name)
        end = _end(message.span)
        entry = old[-1]._replace(value=inner) if old else Entry(inner, end, end)
        return message.with_entries(**{name: (entry,)})
    return message.without(name) if value is None else with_texts(message, name, (value,))


def _end(span: Span | None) -> Span | None:
    """Where a field stands that is added to a block: before its closing bracket."""
    return span._replace(start=max(span.start, span.end - 1)) if span else None


def map_params(layer: Message, change: Callable[[Message], Message]) -> Message:
    """A copy of a layer with ``change`` applied to each of its messages (convolution_param ...)."""
    entries: dict[str, tuple[Entry, ...]] = {}
    for name, found in layer.entries.items():
        if isinstance(found[-1].value, Message):
            entries[name] = tuple(e._replace(value=change(e.value)) for e in found)
    return layer.with_entries(**entries)


def with_input_shapes(net: Message, shapes: Mapping[str, tuple[int, ...]]) -> Message:
    """The net with these shapes (input blob -> shape) written in its Input layers."""
    layers = []
    for layer in net.get("layer"):
        tops = layer.get("top")
        if has_role(layer.get("type"), Role.FED) and shapes.keys() & set(tops):
            old = layer.get("input_param").get("shape")
            told = [
                tuple(old[at if len(old) > 1 else 0].get("dim")) if old else ()
                for at in range(len(tops))
            ]
            dims = [{"dim": list(shapes.get(top, told[at]))} for at, top in enumerate(tops)]
            param = message_of(layer.get("input_param").type, {"shape": dims}, layer.span)
            entry = layer.entries.get("input_param", (_entry(layer),))[-1]._replace(value=param)
            layer = layer.with_entries(input_param=(entry,))
        layers.append(layer)
    return with_layers(net, layers)


def dropped_spans(before: Message, after: Message) -> tuple[Span, ...]:
    """The spans of the layers that were removed; their comments are removed with them."""
    places = {layer.span for layer in after.get("layer")}
    return tuple(
        layer.span
        for layer in before.get("layer")
        if layer.span is not None and layer.span not in places
    )
