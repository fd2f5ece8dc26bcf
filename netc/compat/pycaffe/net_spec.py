"""``caffe.NetSpec``: nets written as Python (pycaffe's net_spec.py).

``layers`` makes layers by their type, ``params`` has the enums of their parameters; both are what
scripts call ``L`` and ``P``.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import netc.compat.pycaffe.proto.caffe_pb2 as caffe_pb2
from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.schema.protobuf import FieldDescriptor, ProtobufMessage


class Top:
    """A blob: one output of a layer that is not yet part of a net."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> ProtobufMessage:
        """The NetParameter of all that this blob depends on."""
        return to_proto(self)


class Function:
    """A layer with its bottoms and fields; ``ntop`` is the number of its tops."""

    def __init__(self, type_name: str, inputs: tuple[object, ...], params: dict[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(_bottom(type_name, index, given) for index, given in enumerate(inputs))
        self.params = dict(params)
        self.in_place = bool(self.params.pop("in_place", False))
        self.ntop = int(self.params.pop("ntop", 1))
        if self.in_place and len(inputs) < self.ntop:
            raise _bad(f"a layer of type `{type_name}` in place has as many bottoms as tops")
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


def _bottom(type_name: str, index: int, given: object) -> Top:
    if isinstance(given, Top):
        return given
    raise _bad(
        f"bottom {index} of a layer of type `{type_name}` is a "
        f"`{type(given).__name__}`, and the outputs of layers are taken"
    )


Made = Top | Function | tuple[Top, ...]  # what a layer gives: its one top, itself, or all tops


class _Layers:
    """Layer types by name, each a function of its bottoms and fields."""

    def __getattr__(self, name: str) -> Callable[..., Made]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer(*bottoms: object, **fields: object) -> Made:
            fn = Function(name, bottoms, fields)
            if not fn.tops:
                return fn
            return fn.tops[0] if len(fn.tops) == 1 else fn.tops

        return layer


class _Parameters:
    """Messages of parameters by the layer's type: ``P.Pooling.MAX``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(caffe_pb2, f"{name}Parameter")


layers = _Layers()
params = _Parameters()
Layers, Parameters = _Layers, _Parameters  # as pycaffe calls them


def param_name_dict() -> dict[str, str]:
    """A layer's type -> its parameters' field without the ending: ``Pooling`` -> ``pooling``."""
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    return {
        field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in fields
        if field.message_type is not None and field.name.endswith("_param")
    }


def assign_proto(proto: ProtobufMessage, name: str, val: object) -> None:
    """Set a message's field from Python's values: dicts for messages, lists for repeated fields.

    Raises:
        NetcError: unknown-field (AttributeError) or bad-argument (TypeError).
    """
    _assign(proto, name, val)


class _NoBlob(AttributeError, KeyError):  # noqa: N818 (a KeyError in pycaffe)
    """A NetSpec has no blob of a name."""


class NetSpec:
    """A net whose blobs are its attributes, each set to a layer's output."""

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        object.__setattr__(self, "tops", OrderedDict())

    def __setattr__(self, name: str, value: object) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.tops:
            raise _NoBlob(f"the net has no blob `{name}` yet")
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    __setitem__ = __setattr__
    __delitem__ = __delattr__

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def keys(self) -> list[str]:
        """The names of its blobs, in order (the SSD fork's)."""
        return list(self.tops)

    def vals(self) -> list[Any]:
        """What its names stand for, in order (the SSD fork's)."""
        return list(self.tops.values())

    def update(self, name: str, params: Mapping[str, object]) -> None:
        """Set fields of the layer that makes a blob (the SSD fork's)."""
        _layer_of(self[name]).params.update(params)

    def to_proto(self) -> ProtobufMessage:
        """The NetParameter: layers in the order they need each other, named by their first blob.

        Raises:
            NetcError: unknown-field or bad-argument, for what a layer cannot be given.
        """
        return _net(self.tops)


def to_proto(*tops: object) -> ProtobufMessage:
    """The NetParameter of all that these outputs depend on, with names made up.

    Raises:
        NetcError: as :meth:`NetSpec.to_proto`.
    """
    return _net({f"\0{index}": top for index, top in enumerate(tops)})


def _net(named: Mapping[str, object]) -> ProtobufMessage:
    net: ProtobufMessage = caffe_pb2.NetParameter()
    names = {value: name for name, value in named.items() if not name.startswith("\0")}
    writer = _SpecWriter(names)
    for value in named.values():
        for layer in writer.ordered(_layer_of(value)):
            writer.write(net.layer.add(), layer)
    return net


def _layer_of(value: object) -> Function:
    """The layer that an output is of, or that is given itself."""
    if isinstance(value, Top):
        return value.fn
    if isinstance(value, Function):
        return value
    message = f"a net is made of outputs of layers, and it is given a `{type(value).__name__}`"
    raise also(NetcError(Diagnostic("bad-argument", message)), AttributeError)


class _SpecWriter:
    """Gives names to what has none, and each layer its place."""

    def __init__(self, names: dict[object, str]) -> None:
        self.names = names
        self.numbers: Counter[str] = Counter()
        self.done: set[Function] = set()

    def ordered(self, last: Function) -> Iterable[Function]:
        """The layers that ``last`` needs and that are not written yet, each after its bottoms."""
        waiting = [last]
        while waiting:
            layer = waiting[-1]
            lacking = [top.fn for top in layer.inputs if top.fn not in self.done]
            if layer in self.done or not lacking:
                waiting.pop()
                if layer not in self.done:
                    self.done.add(layer)
                    yield layer
            else:
                waiting.append(lacking[0])

    def write(self, out: ProtobufMessage, layer: Function) -> None:
        """Fill a LayerParameter."""
        out.type = layer.type_name
        out.bottom.extend(self.name(top) for top in layer.inputs)
        if layer.in_place:
            out.top.extend(out.bottom[: len(layer.tops)])
            for top, name in zip(layer.tops, out.top, strict=True):
                own = self.names.get(top)
                self.names[top] = name
                out.name = out.name or own or self._number(layer)
        else:
            out.top.extend(self.name(top) for top in layer.tops)
        if not out.name:
            out.name = self.names.get(layer) or (out.top[0] if layer.tops else self._number(layer))
        for name, value in layer.params.items():
            _check_field(out, layer.type_name, name)
            _assign(_home(out, layer.type_name, name), name, value)

    def name(self, top: Top) -> str:
        """A blob's name."""
        if top not in self.names:
            self.names[top] = self._number(top.fn)
        return self.names[top]

    def _number(self, layer: Function) -> str:
        self.numbers[layer.type_name] += 1
        return f"{layer.type_name}{self.numbers[layer.type_name]}"


def _home(out: ProtobufMessage, type_name: str, name: str) -> ProtobufMessage:
    """The message that a field of a layer belongs to: its type's parameters, or the layer.

    A field that is in neither is most likely meant for the former.
    """
    if name.endswith("param"):
        return out
    own: list[ProtobufMessage] = [
        getattr(out, field.name)
        for field in out.DESCRIPTOR.fields
        if _is_own(field, type_name) and field.name.endswith("_param")
    ]
    for message in own:
        if name in message.DESCRIPTOR.fields_by_name:
            return message
    known = name in out.DESCRIPTOR.fields_by_name
    return own[0] if own and not known else out


def _check_field(out: ProtobufMessage, type_name: str, name: str) -> None:
    """Refuse a field that neither the layer nor its type's own message has, with both their names.

    Raises:
        NetcError: unknown-field.
    """
    layer = out.DESCRIPTOR
    if name in layer.fields_by_name or _home(out, type_name, name) is not out:
        return
    own = next((f.message_type for f in layer.fields if _is_own(f, type_name)), None)
    if own is None or name.endswith("_param"):
        return  # told where it is set
    text = f"{own.name} has no field `{name}`"
    near = did_you_mean(name, [*own.fields_by_name, *layer.fields_by_name])
    others = [f.message_type for f in layer.fields if f.message_type is not None]
    help = near or tuple(
        f"`{name}` is a field of {other.name}, for layers of another type"
        for other in [o for o in others if name in o.fields_by_name][:3]
    )
    raise also(NetcError(Diagnostic("unknown-field", text, help=help)), AttributeError)


def _is_own(field: FieldDescriptor, type_name: str) -> bool:
    """Whether a field of a layer holds the parameters of its type."""
    message = field.message_type
    return bool(message and message.name == f"{type_name}Parameter" and "_param" in field.name)


def _assign(message: ProtobufMessage, name: str, value: object) -> None:
    """Set a field from Python's values: dictionaries for messages, lists for repeated fields."""
    fields = message.DESCRIPTOR.fields_by_name
    if name not in fields:
        text = f"{message.DESCRIPTOR.name} has no field `{name}`"
        error = Diagnostic("unknown-field", text, help=did_you_mean(name, fields))
        raise also(NetcError(error), AttributeError)
    field = fields[name]
    try:
        if _is_repeated(message, name):
            _extend(message, field, value)
        elif field.message_type is not None:
            _fill(getattr(message, name), value)
        else:
            setattr(message, name, _enum_value(field, value))
    except (TypeError, ValueError) as error:
        where = f"{message.DESCRIPTOR.name}.{name}"
        raise _bad(f"`{where}` cannot be {value!r}: {str(error)[:200]}") from None


def _is_repeated(message: object, name: str) -> bool:
    return hasattr(getattr(message, name), "extend")


def _extend(message: ProtobufMessage, field: FieldDescriptor, value: object) -> None:
    several = value if isinstance(value, (list, tuple)) else [value]
    for one in several:
        if field.message_type is not None:
            _fill(getattr(message, field.name).add(), one)
        else:
            getattr(message, field.name).append(_enum_value(field, one))


def _fill(message: ProtobufMessage, value: object) -> None:
    if hasattr(value, "DESCRIPTOR"):
        message.CopyFrom(value)
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"a {message.DESCRIPTOR.name} is written as a dictionary")
    message.SetInParent()
    for name, one in value.items():
        _assign(message, name, one)


def _enum_value(field: FieldDescriptor, value: object) -> object:
    if field.enum_type is not None and isinstance(value, str):
        known = field.enum_type.values_by_name
        if value not in known:
            raise ValueError(f"the values are {', '.join(known)}")
        return known[value].number
    return value


def _bad(message: str) -> NetcError:
    return also(NetcError(Diagnostic("bad-argument", message)), TypeError)
