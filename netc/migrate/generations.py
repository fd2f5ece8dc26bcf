"""Layers written half in one format and half in another: what the binder's complaint means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError, Span, did_you_mean
from netc.migrate.names import V0_TO_V1, V1_TO_V2, current_type, v0_type, v2_type
from netc.schema.bind import bind
from netc.schema.message import Message, MessageType
from netc.syntax.ast import Block, Document, Scalar

_V2_TO_V1: Mapping[str, str] = {new: old for old, new in V1_TO_V2.items()}
_QUOTED = "a type in quotes belongs to `layer { }`: write `layer` for `layers`"
_BLOCK = (
    "`param { }` belongs to the newer `layer { }`; in `layers { }` write `blobs_lr: ...` and "
    "`weight_decay: ...`, one for each blob"
)
_Place = tuple[int, int]


def bind_net(document: Document, type: MessageType) -> Message:
    """The document as a NetParameter; complaints about the formats of layers say what to write.

    Raises:
        NetcError: what ``bind`` raises, with help where a layer's type is in another format than
            the layer.
    """
    try:
        return bind(document, type)
    except NetcError as error:
        hints = _hints(document)
        raise NetcError(_explained(d, hints) for d in error.diagnostics) from None


def _explained(diagnostic: Diagnostic, hints: Mapping[_Place, tuple[str, ...]]) -> Diagnostic:
    span = diagnostic.span
    help = hints.get((span.start, span.end)) if span else None
    return replace(diagnostic, help=help) if help else diagnostic


def _hints(document: Document) -> dict[_Place, tuple[str, ...]]:
    """Help for each `type` of a layer that its format does not take, by place."""
    found: dict[_Place, tuple[str, ...]] = {}
    for layer in document.fields:
        if isinstance(layer.value, Block) and layer.name in ("layer", "layers"):
            for span, help in _layer_hints(layer.name, layer.value):
                found[span.start, span.end] = help
    return found


def _layer_hints(name: str, layer: Block) -> Iterator[tuple[Span, tuple[str, ...]]]:
    written = _type_of(layer)
    for field in layer.fields:
        if field.name == "type" and isinstance(field.value, Scalar):
            help = _type_help(name, field.value)
            if help:
                yield field.value.span, help
        elif written in V0_TO_V1 and field.name not in _OUTSIDE:
            yield field.span, _v0_field_help(name, written, field.name)
        if name == "layers" and field.name == "layer" and isinstance(field.value, Block):
            yield from _v0_hints(field.value)
        if name == "layer" and field.name == "layer" and isinstance(field.value, Block):
            yield field.span, ("layers of the V0 format are `layers { layer { ... } }`",)
        if name == "layers" and field.name == "param" and isinstance(field.value, Block):
            at = field.value.span
            yield at._replace(end=at.start + 1), (_BLOCK,)


_OUTSIDE = ("name", "bottom", "top", "layer", "include", "exclude", "blobs_lr", "weight_decay")


def _type_of(layer: Block) -> str:
    """A layer's type where it is a string, which V1 has not."""
    for field in layer.fields:
        if field.name == "type" and isinstance(field.value, Scalar):
            value = field.value.value
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
    return ""


def _v0_field_help(name: str, type: str, field: str) -> tuple[str, ...]:
    """What to do with a field of a layer that has V0's type and not V0's two levels."""
    if name == "layers":
        return (f"it stands one level further down: `layers {{ layer {{ {field}: ... }} }}`",)
    today = current_type(type)
    return (
        f'`type: "{type}"` is V0\'s, whose layers are `layers {{ layer {{ ... }} bottom: ... }}`',
        f'or write today\'s `type: "{today}"`, with its fields in its own block',
    )


def _v0_hints(inner: Block) -> Iterator[tuple[Span, tuple[str, ...]]]:
    """Help within `layers { layer { } }`."""
    for field in inner.fields:
        if field.name.endswith("_param") and isinstance(field.value, Block):
            help = f"V0 has no `{field.name}`: write its fields in `layer {{ }}` itself"
            yield field.span, (help,)
        value = field.value.value if isinstance(field.value, Scalar) else None
        if field.name == "type" and isinstance(value, str):
            yield (
                field.value.span,
                (f'in V0 types are strings: write `type: "{v0_type(value) or value}"`',),
            )


def _type_help(name: str, type: Scalar) -> tuple[str, ...]:
    value = type.value
    if name == "layers" and isinstance(value, bytes):
        return _string_in_layers(value.decode("utf-8", "replace"))
    if name == "layers" and isinstance(value, str) and value in V0_TO_V1:
        return (f"V1 calls it {V0_TO_V1[value]}: write `type: {V0_TO_V1[value]}`",)
    if name == "layer" and isinstance(value, str):
        known = v2_type(value) if value.isupper() else value
        return (f'in `layer {{ }}` types are strings: write `type: "{known}"`',)
    return ()


def _string_in_layers(value: str) -> tuple[str, ...]:
    if value in V0_TO_V1:
        return (f'V0 layers have one more level: `layers {{ layer {{ type: "{value}" }} }}`',)
    old = _V2_TO_V1.get(value)
    if old is None:
        return (_QUOTED, *did_you_mean(value, V1_TO_V2.values()))
    return (_QUOTED, f"or keep `layers {{ }}` and write `type: {old}`")
