"""The ``input`` statement: an Input layer, and how images are converted (``transform_param``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.diagnostics import NetcError, did_you_mean
from netc.language.fields import FieldExpander, scalar, string_field
from netc.language.frame import Frame
from netc.language.tree import FieldOf, Input
from netc.language.values import BlobRef
from netc.syntax.ast import Block, Field, ListValue, Scalar

_NAMES = {
    "scale": "scale",
    "order": "channel_order",
    "resize": "resize",
    "crop": "crops",
    "range": "range",
    "layout": "layout",
}
"""What the block calls it -> what ``transform_param`` does."""

KNOWN = ("mean", *_NAMES)


def input_fields(
    expander: FieldExpander,
    statement: Input,
    blob: BlobRef,
    sizes: Sequence[int | None],
    frame: Frame,
) -> list[Field]:
    """The fields of the Input layer of a statement; where a size is None it has no shape."""
    place = frame.place(statement.span)
    fields = [
        string_field("name", blob.name, place),
        string_field("type", "Input", place),
        string_field("top", blob.name, place),
    ]
    if None not in sizes:
        at = frame.place(statement.shape.span)
        dims = tuple(Field("dim", scalar(size, at, None), at) for size in sizes)
        shape = Field("shape", Block(dims, at), at)
        fields.append(Field("input_param", Block((shape,), at), at))
    if statement.body:
        inner = _transform(expander, statement, frame)
        _check_mean(inner, sizes, frame)
        at = frame.place(statement.body.span)
        fields.append(Field("transform_param", Block(tuple(inner), at), at))
    return fields


def _transform(expander: FieldExpander, statement: Input, frame: Frame) -> list[Field]:
    assert statement.body is not None
    layer = expander.net.fields["layer"].message
    type = layer.fields["transform_param"].message if layer else None
    found: dict[str, list[Field]] = {}
    for written in expander.controlled(statement.body.statements, frame):
        if written.name not in KNOWN:
            raise _unknown(written, frame)
        if written.name in found:
            raise frame.error("repeated-field", f"`{written.name}` is given twice", written.span)
        renamed = replace(written, name=_NAMES.get(written.name, "mean_value"))
        found[written.name] = _single(expander.plain(renamed, type, frame))
        _check_count(written, len(found[written.name]), frame)
    return [_file_or_values(field) for fields in found.values() for field in fields]


def _single(fields: Sequence[Field]) -> list[Field]:
    """Fields of one value each."""
    return [
        field._replace(value=value)
        for field in fields
        for value in (field.value.items if isinstance(field.value, ListValue) else (field.value,))
    ]


def _check_count(written: FieldOf, count: int, frame: Frame) -> None:
    allowed = {"range": (2,), "resize": (1, 2)}.get(written.name, range(1, 1 << 20))
    if count not in allowed:
        listed = " or ".join(map(str, allowed))
        message = f"`{written.name}` has {listed} values, and {count} are given"
        raise frame.error("expression", message, written.span)


def _check_mean(fields: Sequence[Field], sizes: Sequence[int | None], frame: Frame) -> None:
    """Refuse a mean that is neither one number nor one for each channel."""
    means = [field for field in fields if field.name == "mean_value"]
    channels = sizes[1] if len(sizes) == 4 else None
    if channels is not None and len(means) not in (0, 1, channels):
        message = f"`mean` has {len(means)} values, and the input has {channels} channels"
        raise frame.error("expression", message, means[0].span, "give one, or one a channel")


def _file_or_values(field: Field) -> Field:
    """A mean in quotes is a file's."""
    text = isinstance(field.value, Scalar) and field.value.kind == "string"
    return field._replace(name="mean_file") if text and field.name == "mean_value" else field


def _unknown(written: FieldOf, frame: Frame) -> NetcError:
    listed = ", ".join(f"`{name}`" for name in KNOWN)
    message = f"an input has no `{written.name}`"
    help = did_you_mean(written.name, KNOWN) or (f"it has {listed}",)
    return frame.error("unknown-field", message, written.span, *help)
