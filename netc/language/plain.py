"""An expanded document as prototxt that Caffe can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.syntax.ast import Block, Document, Field, Scalar
from netc.syntax.printer import print_document, print_value

OWN_TRANSFORM = ("channel_order", "resize", "crops", "range", "layout")
"""Fields of ``transform_param`` that are netc's own."""


def plain_text(document: Document) -> str:
    """The document's text. What only netc knows is in comments at the top, in place of fields:
    ``expect``, and netc's own fields of ``transform_param``.
    """
    fields = [f for f in document.fields if f.name != "expected_shape"]
    notes = [_expected(f.value) for f in document.fields if f not in fields]
    kept = []
    for field in fields:
        plain, own = _without_own(field)
        kept.append(plain)
        if own:
            notes.append(f"{_name(plain)}: {' '.join(own)}")
    if not notes:
        return print_document(document)
    text = print_document(document._replace(fields=tuple(kept)), comments=False)
    return "".join(f"# {note}\n" for note in sorted(notes)) + text


def _expected(value: object) -> str:
    """The comment of an ``expect``."""
    fields = value.fields if isinstance(value, Block) else ()
    sizes = [_size(f.value) for f in fields if f.name == "dim"]
    blob = next((_text(f) for f in fields if f.name == "blob"), "")
    return f'expect "{blob}": [{", ".join(sizes)}]'


def _size(value: object) -> str:
    size = value.value if isinstance(value, Scalar) else ""
    return "_" if size == -1 else str(size)


def _without_own(field: Field) -> tuple[Field, Sequence[str]]:
    """A layer without netc's own fields in ``transform_param``, and those as text."""
    if field.name != "layer" or not isinstance(field.value, Block):
        return field, ()
    inner, own = [], []
    for each in field.value.fields:
        if each.name == "transform_param" and isinstance(each.value, Block):
            own += list(_own(each.value))
            left = tuple(f for f in each.value.fields if f.name not in OWN_TRANSFORM)
            each = each._replace(value=each.value._replace(fields=left))
            if not left:
                continue
        inner.append(each)
    if not own:
        return field, ()
    return field._replace(value=field.value._replace(fields=tuple(inner))), own


def _own(block: Block) -> Iterator[str]:
    for field in block.fields:
        if field.name in OWN_TRANSFORM and isinstance(field.value, Scalar):
            yield f"{field.name}: {print_value(field.value)}"


def _name(layer: Field) -> str:
    assert isinstance(layer.value, Block)
    return next((_text(f) for f in layer.value.fields if f.name == "name"), "")


def _text(field: Field) -> str:
    value = field.value.value if isinstance(field.value, Scalar) else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
