"""Locally connected layers: a convolution with weights of its own at every place.

LeCun 1989, Generalization and network design strategies; Taigman et al. 2014, DeepFace. BVLC Caffe
has no such layer. LocallyConnected is netc's own and takes the fields of ``convolution_param``.
Local is that of BVLC's pull requests 1271 and 3068, which several forks took over: the same
arithmetic over square windows in ``local_param``, its weights in another shape.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.convolution import CONVOLUTION
from netc.ops.convolution_params import ConvolutionParams, channel_axis, convolution_axes
from netc.ops.define import Cost, LayerContext, OpDef, ShapeError, WeightSpec
from netc.ops.fields import reject_unknown_fields
from netc.ops.filler import parse_filler
from netc.ops.numbers import number, required_number
from netc.ops.role import Role
from netc.ops.window import Window, taps
from netc.schema.message import Message


def _shape(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return CONVOLUTION.shape(params, inputs)


def _weight_shape(params: ConvolutionParams, shape: Shape) -> Shape:
    """Outputs x channels of a group x kernel x places."""
    axes = convolution_axes(params, shape)
    channels = _channels(params, shape)
    kernel, places = tuple(a.kernel for a in axes), tuple(a.out for a in axes)
    return (params.num_output, channels, *kernel, *places)


def _bias_shape(params: ConvolutionParams, shape: Shape) -> Shape:
    return (params.num_output, *(axis.out for axis in convolution_axes(params, shape)))


def _specs(params: ConvolutionParams, weight: Shape, bias: Shape) -> tuple[WeightSpec, ...]:
    specs = (WeightSpec(weight, params.weight_filler), WeightSpec(bias, params.bias_filler))
    return specs if params.bias else specs[:1]


def _weights(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    return _specs(params, _weight_shape(params, inputs[0]), _bias_shape(params, inputs[0]))


def _cost(params: ConvolutionParams, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """That of the convolution: other weights, as many multiplications."""
    return CONVOLUTION.cost(params, inputs, outputs)


def _connect(params: ConvolutionParams, inputs: Arrays, weights: Arrays) -> Arrays:
    """y[m, place] = sum over channels c and kernel elements k of w[m, c, k, place] * x[c, seen]."""
    (x,) = inputs
    xp, group = namespace(x), params.group
    axes = convolution_axes(params, x.shape)
    images: AnyArray = x.reshape(-1, group, _channels(params, x.shape), *(a.size for a in axes))
    weight: AnyArray = weights[0].reshape(group, -1, *_weight_shape(params, x.shape)[1:])
    y = xp.zeros((len(images), *weight.shape[:2], *(a.out for a in axes)), dtype=x.dtype)
    everything = (slice(None),)
    with np.errstate(all="ignore"):
        for element, outputs, seen in taps(axes):
            patch = images[(*everything * 3, *seen)]
            own: tuple[slice | int, ...] = (*everything * 3, *element, *outputs)
            factor = weight[own]
            y[(*everything * 3, *outputs)] += xp.einsum("ngc...,gmc...->ngm...", patch, factor)
        result = y.reshape(_shape(params, (x.shape,))[0])
        if params.bias:
            result = result + weights[1].reshape(_bias_shape(params, x.shape))
    return (result,)


def _channels(params: ConvolutionParams, shape: Shape) -> int:
    """Channels of a group."""
    return shape[channel_axis(params.axis, shape)] // params.group


LOCALLY_CONNECTED = OpDef(
    name="LocallyConnected",
    arity=ONE_TO_ONE,
    params=CONVOLUTION.params,
    shape=_shape,
    weights=_weights,
    cost=_cost,
    window=CONVOLUTION.window,
    reference=_connect,
    family="convolution",
    role=Role.LOCAL_PRODUCT,
)


def _parse_local(layer: Message, context: LayerContext) -> ConvolutionParams:
    message = reject_unknown_fields(
        layer.get("local_param"),
        *("num_output", "bias_term", "pad", "kernel_size", "stride"),
        *("weight_filler", "bias_filler"),
    )
    window = Window(
        kernel=(required_number(message, "kernel_size"),),
        stride=(number(message, "stride", 1),),
        pad=(number(message, "pad", 0),),
    )
    return ConvolutionParams(
        required_number(message, "num_output"),
        window,
        bias=message.get("bias_term"),
        weight_filler=parse_filler(message.get("weight_filler")),
        bias_filler=parse_filler(message.get("bias_filler")),
    )


def _local_shape(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    if len(inputs[0]) != 4:
        raise ShapeError(
            f"Local takes 4 axes, number x channels x height x width, and the bottom has "
            f"{len(inputs[0])}",
            help=("LocallyConnected takes any number of spatial axes",),
        )
    try:
        return _shape(params, inputs)
    except ShapeError as error:
        field = (error.field or "").replace("convolution_param", "local_param")
        raise ShapeError(error.message, field or None, error.help, error.code) from None


def _local_weights(params: ConvolutionParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """The elements of LocallyConnected's, with all of a window and all places as one axis each."""
    weight = _weight_shape(params, inputs[0])
    places = count(weight[-2:])
    window = count(weight[1:-2])
    outputs = params.num_output
    return _specs(params, (outputs, 1, window, places), (1, 1, outputs, places))


LOCAL = OpDef(
    name="Local",
    arity=ONE_TO_ONE,
    params=_parse_local,
    shape=_local_shape,
    weights=_local_weights,
    cost=_cost,
    window=CONVOLUTION.window,
    reference=_connect,
    family="convolution",
)

OPS = (LOCALLY_CONNECTED, LOCAL)
