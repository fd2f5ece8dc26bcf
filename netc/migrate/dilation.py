"""``hole`` of DeepLab's Caffe: the ``dilation`` from before BVLC Caffe had one."""

from __future__ import annotations

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded, each, submessage
from netc.schema.message import Entry, Message

_PARAM = "convolution_param"
_ONE, _EACH = "hole", ("hole_h", "hole_w")


def rename_holes(net: Message) -> Upgraded:
    """``hole`` becomes ``dilation``; ``hole_h`` and ``hole_w`` become one for each axis.

    Of the two that is not written counts 1 (conv_layer.cpp of deeplab-public).

    Raises:
        NetcError: ``conflicting-fields`` where more than one of them is written.
    """
    return each(net, "layer", _rename)


def _rename(layer: Message) -> Upgraded:
    if _PARAM not in layer.entries:
        return Upgraded(layer)
    message = submessage(layer, _PARAM)
    written = [name for name in (_ONE, *_EACH) if name in message.entries]
    if not written:
        return Upgraded(layer)
    _check(message, written)
    dilation = message.entries[_ONE] if written == [_ONE] else _both(message)
    renamed = message.without(*written).with_entries(dilation=dilation)
    entry = layer.entries[_PARAM][-1]._replace(value=renamed)
    listed = " and ".join(f"`{name}`" for name in written)
    change = Change("dilation", f"{listed} became `dilation`", message.name_span_of(written[0]))
    return Upgraded(layer.with_entries(**{_PARAM: (entry,)}), (change,))


def _both(message: Message) -> tuple[Entry, ...]:
    """An entry for height and one for width; the one that is missing is made of the other."""
    given = next(message.entries[name][-1] for name in _EACH if message.has(name))
    one = given._replace(value=1)
    return tuple(message.entries[name][-1] if message.has(name) else one for name in _EACH)


def _check(message: Message, written: list[str]) -> None:
    other = "dilation" if message.has("dilation") else _ONE if written[0] == _ONE else ""
    name = written[-1]
    if other and other != name:
        raise NetcError(
            Diagnostic(
                "conflicting-fields",
                f"`{name}` and `{other}` are both given, which say the same thing",
                message.name_span_of(name),
                notes=(Note(f"`{other}` is given here", message.name_span_of(other, 0)),),
                help=(f"keep `{other}`",),
            )
        )
