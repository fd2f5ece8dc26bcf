"""``concat_dim`` and ``slice_dim``: old spellings of ``axis``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded, each, submessage
from netc.schema.message import Message

_OLD: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"Concat": ("concat_param", "concat_dim"), "Slice": ("slice_param", "slice_dim")}
)
_LARGEST = 2**31 - 1


def rename_axes(net: Message) -> Upgraded:
    """``concat_dim`` of Concat and ``slice_dim`` of Slice become ``axis``, which has one default.

    Raises:
        NetcError: ``conflicting-fields`` where both are given (concat_layer.cpp and slice_layer.cpp
            refuse it), ``out-of-range`` where the number is not one of an axis.
    """
    return each(net, "layer", _rename)


def _rename(layer: Message) -> Upgraded:
    param, old = _OLD.get(layer.get("type"), ("", ""))
    if not param or not layer.has(param):
        return Upgraded(layer)
    message = submessage(layer, param)
    if not message.has(old):
        return Upgraded(layer)
    _check(message, old)
    renamed = message.without(old).with_entries(axis=message.entries[old])
    entry = layer.entries[param][-1]._replace(value=renamed)
    change = Change("axes", f"`{old}` became `axis`", message.name_span_of(old))
    return Upgraded(layer.with_entries(**{param: (entry,)}), (change,))


def _check(message: Message, old: str) -> None:
    if message.has("axis"):
        note = Note("`axis` is given here", message.name_span_of("axis"))
        raise NetcError(
            Diagnostic(
                "conflicting-fields",
                f"`{old}: {message.get(old)}` and `axis: {message.get('axis')}` say the same thing "
                "and only one can be given",
                message.name_span_of(old),
                notes=(note,),
                help=(f"remove `{old}`, the old spelling of `axis`",),
            )
        )
    if message.get(old) > _LARGEST:
        raise message.error(
            old, "out-of-range", f"`{old}` is {message.get(old)}, and a blob has at most 32 axes"
        )
