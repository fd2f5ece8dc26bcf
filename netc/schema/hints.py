"""Help lines for an unknown field: what its author may have meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.diagnostics import did_you_mean
from netc.schema.message import FieldType, MessageType
from netc.syntax.ast import Field, Scalar

_MAX_SUGGESTIONS = 3  # suggestions shown


def unknown_field_help(
    name: str,
    type: MessageType,
    field: str,
    around: Sequence[MessageType],
    siblings: Sequence[Field] = (),
) -> tuple[str, ...]:
    """Help lines for a field that its message type does not have.

    Args:
        name: the unknown field.
        type: the message type it is written in, the value of ``field`` (empty at the top level).
        around: the enclosing message types, innermost first.
        siblings: the other fields in the message; a layer's ``type`` among them determines which
            parameters it can have.
    """
    return (
        _flat(name, type)
        or _current_spelling(name, type)
        or _inside(name, type, siblings)
        or _outside(name, field, around)
        or _renamed(name, type, siblings)
        or _own_block(name, type, siblings)
        or did_you_mean(name, type.fields) + _own_schema(name)
        or _beside(name, around)
        or (OWN_SCHEMA,)
    )


def _flat(name: str, type: MessageType) -> tuple[str, ...]:
    """V0's layers have their fields side by side: a near one comes before any block's."""
    return did_you_mean(name, type.fields) if type.name == "V0LayerParameter" else ()


def _renamed(name: str, type: MessageType, siblings: Sequence[Field]) -> tuple[str, ...]:
    """The field is one of a block of this message but for `_` and capitals: `kernelsize`."""
    owners = [
        (owner, inner)
        for owner in type.fields.values()
        if owner.message
        for inner in owner.message.fields
        if inner != name and _folded(inner) == _folded(name)
    ]
    fitting = _fitting([owner for owner, _ in owners], siblings)[:_MAX_SUGGESTIONS]
    return tuple(_put_in(inner, owner) for owner, inner in owners if owner in fitting)


def _own_block(name: str, type: MessageType, siblings: Sequence[Field]) -> tuple[str, ...]:
    """The block in which a layer's type has its parameters, where another is written."""
    kind = next(_strings("type", siblings), "")
    own = [f for f in type.fields if _folded(f.removesuffix("_param")) == _folded(kind)]
    if not (name.endswith("_param") and kind and own) or did_you_mean(name, own):
        return ()
    return (f"the parameters of `{kind}` stand in `{own[0]} {{ }}`",)


_TODAY = {
    "blobs_lr": "write `param { lr_mult: ... }`, one for each blob",
    "weight_decay": "write `param { decay_mult: ... }`, one for each blob",
    "blob_share_mode": "write `param { share_mode: ... }`, one for each blob",
}


def _current_spelling(name: str, type: MessageType) -> tuple[str, ...]:
    """Fields of V1's `layers` that `layer` has under another name."""
    if type.name != "LayerParameter" or name not in _TODAY:
        return ()
    return (f"`{name}` belongs to the older `layers {{ }}`; in `layer {{ }}` {_TODAY[name]}",)


def _inside(name: str, type: MessageType, siblings: Sequence[Field]) -> tuple[str, ...]:
    """The field belongs one level down."""
    owners = [f for f in type.fields.values() if f.message and name in f.message.fields]
    if not owners:
        return ()
    fitting = _fitting(owners, siblings)
    return tuple(_put_in(name, f) for f in fitting[:_MAX_SUGGESTIONS])


def _put_in(name: str, owner: FieldType) -> str:
    assert owner.message is not None
    return f"`{name}` is a field of {owner.message.name}: put it in `{owner.name} {{ }}`"


def _fitting(owners: list[FieldType], siblings: Sequence[Field]) -> list[FieldType]:
    """The parameters of the layer's own type where it says one, else those already written."""
    type_ = _folded(next(_strings("type", siblings), ""))
    if type_:
        own = [f for f in owners if _folded(f.name.removesuffix("_param")) == type_]
        if own:
            return own
    written = {s.name for s in siblings}
    return [f for f in owners if f.name in written] or owners


def _strings(name: str, fields: Sequence[Field]) -> Iterator[str]:
    for field in fields:
        if field.name == name and isinstance(field.value, Scalar):
            value = field.value.value
            yield value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _outside(name: str, field: str, around: Sequence[MessageType]) -> tuple[str, ...]:
    """The field belongs to a message around this one."""
    owner = next((type for type in around if name in type.fields), None)
    if owner is None:
        return ()
    return (f"`{name}` is a field of {owner.name}: put it outside of `{field} {{ }}`",)


def _beside(name: str, around: Sequence[MessageType]) -> tuple[str, ...]:
    """The field belongs to a message that stands beside this one, as `lr_mult` to `param`."""
    for outer in around:
        owners = [f for f in outer.fields.values() if f.message and name in f.message.fields]
        if 0 < len(owners) <= _MAX_SUGGESTIONS:
            return tuple(f"{_put_in(name, owner)} of the {_thing(outer)}" for owner in owners)
    return ()


def _thing(type: MessageType) -> str:
    return "layer" if type.name.endswith("LayerParameter") else type.name


OWN_SCHEMA = "if your Caffe has a caffe.proto of its own, give it with --schema"


def _own_schema(name: str) -> tuple[str, ...]:
    return (OWN_SCHEMA,) if name.endswith("_param") else ()


def unquoted_help(scalar: Scalar, field: FieldType) -> str:
    """A help line for a string written without quotes."""
    written = scalar.span.text[:60]
    if field.name == "type" and scalar.kind == "identifier" and written.isupper():
        older = f"`{written}` is of the older `layers {{ }}`"
        return f'{older}; `layer {{ }}` takes types as "Convolution"'
    return f'write it in quotes: "{written}"'
