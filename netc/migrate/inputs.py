"""``input`` with ``input_dim`` or ``input_shape`` at the top of a net to an Input layer."""

from __future__ import annotations

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded
from netc.schema.message import Entry, Message, MessageType

_DIMS = 4
_FIELDS = ("input", "input_dim", "input_shape")


def inputs_to_layers(net: Message) -> Upgraded:
    """Named inputs become one Input layer, "input", in front of all others.

    As Caffe's UpgradeNetInput, which takes 4 ``input_dim`` or one ``input_shape`` for each
    ``input``; but where neither is given Caffe forgets the inputs, and here the layer has no
    shape, so that the caller can give it.

    Raises:
        NetcError: ``conflicting-fields`` where both are given, ``value-count`` where their
            number does not fit that of the inputs.
    """
    if not any(net.has(name) for name in _FIELDS):
        return Upgraded(net)
    rest = net.without(*_FIELDS)
    if not net.has("input"):
        return Upgraded(rest, _without_input(net))
    if _made_by_layers(net):
        names = ", ".join(f"`{name}`" for name in net.get("input"))
        text = f"input {names}, which a layer makes, was left out, as Caffe leaves it"
        return Upgraded(rest, (Change("inputs", text, net.name_span_of("input", 0)),))
    _check(net)
    layer = _input_layer(net)
    layers = (layer, *rest.entries.get("layer", ()))
    names = ", ".join(f"`{name}`" for name in net.get("input"))
    text = f"input {names} became a layer of type `Input`"
    change = Change("inputs", text, net.name_span_of("input", 0))
    return Upgraded(rest.with_entries(layer=layers), (change,))


def _made_by_layers(net: Message) -> bool:
    """Whether inputs without a shape, which Caffe forgets, are the tops of layers."""
    if net.has("input_dim") or net.has("input_shape"):
        return False
    tops = {top for layer in net.get("layer") for top in layer.get("top")}
    return tops.issuperset(net.get("input"))


def _without_input(net: Message) -> tuple[Change, ...]:
    """Shapes without inputs: Caffe does not look at them."""
    given = [name for name in ("input_dim", "input_shape") if net.has(name)]
    return tuple(
        Change(
            "inputs",
            f"`{name}`, which belongs to no `input`, was left out",
            net.name_span_of(name, 0),
            lossy=True,
        )
        for name in given
    )


def _check(net: Message) -> None:
    inputs, dims, shapes = (len(net.get(name)) for name in _FIELDS)
    if dims and shapes:
        note = Note("the first `input_shape`", net.name_span_of("input_shape", 0))
        raise NetcError(
            Diagnostic(
                "conflicting-fields",
                f"the net gives its inputs {dims} `input_dim` and {shapes} `input_shape`, and "
                "takes only one of the two",
                net.name_span_of("input_dim", 0),
                notes=(note,),
                help=("remove the `input_dim`, which are the older form",),
            )
        )
    if dims and dims != _DIMS * inputs:
        raise _miscounted(net, "input_dim", dims, _DIMS * inputs)
    if shapes and shapes != inputs:
        raise _miscounted(net, "input_shape", shapes, inputs)


def _miscounted(net: Message, field: str, given: int, wanted: int) -> NetcError:
    inputs = len(net.get("input"))
    return NetcError(
        Diagnostic(
            "value-count",
            f"{inputs} `input` need {wanted} `{field}`, and there are {given}",
            net.name_span_of(field, 0 if given < wanted else wanted),
            notes=(Note("the first `input`", net.name_span_of("input", 0)),),
            help=(
                "`input_dim` takes 4 for each input; for any other number of axes write "
                "`input_shape { dim: 1 dim: 3 }`",
            )
            if field == "input_dim"
            else (),
        )
    )


def _input_layer(net: Message) -> Entry:
    kind = _type_of(net.type, "layer")
    first = net.entries["input"][0]
    place = first.name_span or first.span
    entries: dict[str, tuple[Entry, ...]] = {
        "name": (Entry("input", first.span, place),),
        "type": (Entry("Input", first.span, place),),
        "top": net.entries["input"],
    }
    shapes = net.entries.get("input_shape") or _shapes_of_dims(net)
    if shapes:
        param = Message(_type_of(kind, "input_param"), {"shape": shapes}, shapes[0].value.span)
        entries["input_param"] = (Entry(param, shapes[0].span, shapes[0].name_span),)
    return Entry(Message(kind, entries, place), place, place)


def _shapes_of_dims(net: Message) -> tuple[Entry, ...]:
    dims = net.entries.get("input_dim", ())
    kind = _type_of(net.type, "input_shape")
    groups = [dims[at : at + _DIMS] for at in range(0, len(dims), _DIMS)]
    return tuple(
        Entry(
            Message(kind, {"dim": group}, group[0].name_span or group[0].span),
            group[0].span,
            group[0].name_span,
        )
        for group in groups
    )


def _type_of(parent: MessageType, field: str) -> MessageType:
    kind = parent.fields[field].message
    assert kind is not None
    return kind
