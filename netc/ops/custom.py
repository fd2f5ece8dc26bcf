"""``netc.register_layer``: a layer type defined by Python functions.

What it registers is a type like any other: texts may name it and its fields, and every command and
interface takes it. What a function raises is an error ``python-layer`` that names the function.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.catalog import LAYERS, add_layer, remove_layer
from netc.ops.cost import per_output
from netc.ops.custom_params import (
    CustomParams,
    fault_of,
    keep_number_of_weights,
    values_of,
)
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    WeightSpec,
    full_extent,
    same_shape,
)
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import Filler
from netc.schema.load import add_messages, load_schema, remove_messages
from netc.schema.message import Message

if TYPE_CHECKING:
    from netc.ops.gradients.define import Gradient

Function = Callable[..., Any]
Number = int | tuple[int, int | None]

_KINDS: Mapping[type, str] = {bool: "bool", int: "int64", float: "float", str: "string"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIRST_NUMBER, _NUMBERS = 300_000_000, 100_000_000  # of fields in LayerParameter


@dataclass(frozen=True, slots=True)
class _Custom:
    """The functions of a registered type."""

    type: str
    param: str
    names: tuple[str, ...]
    compute: Function
    shape: Function | None
    weights: Function | None
    gradient: Function | None
    kernel: Function | None


_REGISTERED: dict[str, _Custom] = {}


def register_layer(
    type: str,
    compute: Function,
    *,
    fields: Mapping[str, object] | None = None,
    shape: Function | None = None,
    gradient: Function | None = None,
    weights: Function | None = None,
    kernel: Function | None = None,
    bottoms: Number = 1,
    tops: Number = 1,
    loss: bool = False,
    param: str = "",
) -> None:
    """Add a layer type of one's own, for all texts that are read afterwards.

    Args:
        type: its name in texts. One that netc has is refused; one that was registered before is
            replaced.
        compute: the definition: ``(inputs, fields) -> outputs``, a list of arrays for a list of
            arrays, or ``(inputs, weights, fields)`` for a layer with ``weights``. ``fields`` has
            the layer's fields and its ``phase`` as attributes. Plain NumPy, in the inputs' dtype;
            it must not write to its inputs.
        fields: name -> default of the fields of the layer's message: a truth value, a whole number,
            a float, a text, or a tuple of them for a repeated field. Where the schema has the
            message already, its own fields are taken.
        shape: ``(input shapes, fields) -> output shapes``; the inputs' own shapes where it is left
            out. A ``ValueError`` that it raises is told at the layer.
        gradient: ``(inputs, tops, fields) -> gradients`` by the inputs, of the ``tops``' gradients,
            or ``(inputs, weights, tops, fields)`` -> those by the inputs and then by the weights.
            None stands for one of zeros.
        weights: ``(input shapes, fields) -> shapes`` of the trained arrays; an entry may also be
            (shape, filler), a dict as ``{"type": "xavier"}``.
        kernel: computes what ``compute`` does, on the CPU in its place: a function that Numba or
            another compiler has made, for example.
        bottoms, tops: how many, or (least, most), most None for any number.
        loss: its first top counts in the loss with weight 1 unless the text says otherwise.
        param: the name of the layer's message in texts; ``my_type_param`` for ``MyType``.

    Raises:
        NetcError: bad-argument, for a name, a field or a function that cannot be one.
    """
    functions = (compute, shape, weights, gradient, kernel)
    _check(type, functions)
    param = param or _param_name(type)
    _REGISTERED.pop(type, None)
    remove_messages(type)
    names = _declared(type, param, fields)
    made = _Custom(type, param, names, *functions)
    _REGISTERED[type] = made
    add_layer(_op(made, _arity(bottoms, tops), loss), _rule(made) if gradient else None)


def unregister_layer(type: str) -> None:
    """Forget a type that was registered; nothing happens where there is none."""
    if _REGISTERED.pop(type, None) is not None:
        remove_layer(type)
        remove_messages(type)


def _check(type: str, functions: Sequence[object]) -> None:
    if not isinstance(type, str) or not _NAME.fullmatch(type):
        raise _bad(f"`{type}` is no name of a layer type; letters, digits and `_` make one")
    if type in LAYERS and type not in _REGISTERED:
        raise _bad(f"netc has a layer type `{type}` already")
    names = ("compute", "shape", "weights", "gradient", "kernel")
    for name, function in zip(names, functions, strict=True):
        if not callable(function) and (name == "compute" or function is not None):
            raise _bad(f"`{name}` of layer type `{type}` must be a function")


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message))


def _arity(bottoms: Number, tops: Number) -> Arity:
    return Arity(_range(bottoms), _range(tops))


def _range(number: Number) -> tuple[int, int | None]:
    return (number, number) if isinstance(number, int) else (number[0], number[1])


def _param_name(type: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type)
    return f"{words.lower()}_param"


# Fields


def _declared(type: str, param: str, fields: Mapping[str, object] | None) -> tuple[str, ...]:
    """The names of the fields; declared to the schema where it does not have the message."""
    layer = load_schema().message("LayerParameter")
    known = layer.fields.get(param)
    if known is None:
        add_messages(type, _proto(type, param, fields or {}, set(layer.fields)))
        return tuple(fields or {})
    if known.message is None:
        raise _bad(f"`{param}` is a field of every layer, and no message")
    strange = [name for name in fields or {} if name not in known.message.fields]
    if strange:
        raise _bad(
            f"`{param}` is there already and has no field `{strange[0]}`; name another param"
        )
    return tuple(fields) if fields is not None else tuple(known.message.fields)


def _proto(type: str, param: str, fields: Mapping[str, object], taken: set[str]) -> str:
    """The text of a .proto file that declares the layer's message."""
    if not _NAME.fullmatch(param) or param in taken:
        raise _bad(f"`{param}` cannot name the message of layer type `{type}`")
    message = f"{type}Parameter"
    while message in load_schema().messages:
        message += "_"
    number = _FIRST_NUMBER + zlib.crc32(param.encode()) % _NUMBERS
    lines = [_field_line(type, n, v, at) for at, (n, v) in enumerate(fields.items(), start=1)]
    return (
        'syntax = "proto2";\npackage caffe;\n'
        f"message LayerParameter {{ optional {message} {param} = {number}; }}\n"
        f"message {message} {{\n{''.join(lines)}}}\n"
    )


def _field_line(type: str, name: str, default: Any, number: int) -> str:
    several = isinstance(default, (tuple, list))
    first = (default[0] if default else 0.0) if several else default
    kind = next((kind for known, kind in _KINDS.items() if isinstance(first, known)), None)
    if kind is None or not _NAME.fullmatch(str(name)):
        raise _bad(
            f"field `{name}` of layer type `{type}` must have a truth value, a number, a text or a "
            "tuple of them as its default"
        )
    if several:
        return f"  repeated {kind} {name} = {number};\n"
    return f"  optional {kind} {name} = {number} [default = {_written(first)}];\n"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(float(value) if isinstance(value, float) else int(value))


# The op


def _op(made: _Custom, arity: Arity, loss: bool) -> OpDef[CustomParams]:
    same = made.shape is None
    return OpDef(
        name=made.type,
        arity=arity,
        params=lambda layer, context: _params(made, layer, context),
        shape=same_shape if same else lambda params, inputs: _shapes(made, params, inputs),
        weights=lambda params, inputs: _specs(made, params, inputs),
        cost=per_output(1),
        window=full_extent,
        reference=lambda params, inputs, weights: _run(made.compute, made, params, inputs, weights),
        fast=_fast(made),
        loss=loss,
        in_place=same,
        family="loss" if loss else "other",
        host=True,
    )


def _fast(made: _Custom) -> Function | None:
    kernel = made.kernel
    if kernel is None:
        return None
    return lambda params, inputs, weights: _run(kernel, made, params, inputs, weights)


def _params(made: _Custom, layer: Message, context: LayerContext) -> CustomParams:
    if made.param not in layer.type.fields:
        return CustomParams(made.type, (), context.tops, context.phase)
    message = reject_unknown_fields(layer.get(made.param), *made.names)
    values = tuple((name, _plain(message.get(name))) for name in made.names)
    return CustomParams(made.type, values, context.tops, context.phase)


def _plain(value: object) -> object:
    """A field's value as plain numbers and texts; a message as its own fields."""
    if isinstance(value, Message):
        return tuple((name, _plain(value.get(name))) for name in value.entries)
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def _shapes(made: _Custom, params: CustomParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    assert made.shape is not None
    given = _called(made, "shape", made.shape, list(map(tuple, inputs)), values_of(params))
    shapes = tuple(tuple(int(size) for size in shape) for shape in given)
    return shapes[: params.tops]


def _specs(made: _Custom, params: CustomParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    if made.weights is None:
        return ()
    given = _called(made, "weights", made.weights, list(map(tuple, inputs)), values_of(params))
    specs = tuple(_spec(entry) for entry in given)
    keep_number_of_weights(params, len(specs))
    return specs


def _spec(entry: Any) -> WeightSpec:
    if len(entry) == 2 and isinstance(entry[1], Mapping):
        return WeightSpec(tuple(map(int, entry[0])), Filler(**entry[1]))
    return WeightSpec(tuple(map(int, entry)))


def _called(made: _Custom, what: str, function: Function, *arguments: object) -> Any:
    """What a rule gives; what is wrong with the shapes is told at the layer."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ShapeError(str(error)) from None
    except Exception as error:
        raise fault_of(made.type, what, error) from error


def _run(
    function: Function,
    made: _Custom,
    params: CustomParams,
    inputs: Arrays,
    weights: Arrays,
) -> tuple[AnyArray, ...]:
    own = [list(weights)] if made.weights is not None else []
    try:
        given = function(list(inputs), *own, values_of(params))
    except NetcError:
        raise
    except Exception as error:
        what = "compute" if function is made.compute else "kernel"
        raise fault_of(made.type, what, error) from error
    kind = np.result_type(np.float32, *(array.dtype for array in inputs))
    outputs = tuple(np.asarray(array, dtype=kind) for array in given)[: params.tops]
    shapes = [array.shape for array in inputs]
    wanted = _shapes(made, params, shapes) if made.shape is not None else tuple(shapes)
    found = tuple(array.shape for array in outputs)
    if found != wanted[: params.tops]:
        raise NetcError(
            Diagnostic(
                "python-layer",
                f"`compute` of layer type `{made.type}` made outputs of shapes {list(found)}, and "
                f"its shape rule says {list(wanted)}",
            )
        )
    return outputs


def _rule(made: _Custom) -> Gradient[CustomParams]:
    """The gradient as differentiation takes it."""
    from netc.ops.gradients.custom import gradient_of

    assert made.gradient is not None
    return gradient_of(made.type, made.gradient, made.weights is not None)
