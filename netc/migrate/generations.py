"""Layers written half in one format and half in another: what the binder's complaint means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError, Span, did_you_mean
from netc.migrate.names import V0_TO_V1, V1_TO_V2, v2_type
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
    for field in layer.fields:
        if field.name == "type" and isinstance(field.value, Scalar):
            help = _type_help(name, field.value)
            if help:
                yield field.value.span, help
        if name == "layer" and field.name == "layer" and isinstance(field.value, Block):
            yield field.span, ("layers of the V0 format are `layers { layer { ... } }`",)
        if name == "layers" and field.name == "param" and isinstance(field.value, Block):
            at = field.value.span
            yield at._replace(end=at.start + 1), (_BLOCK,)


def _type_help(name: str, type: Scalar) -> tuple[str, ...]:
    value = type.value
    if name == "layers" and isinstance(value, bytes):
        return _string_in_layers(value.decode("utf-8", "replace"))
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
