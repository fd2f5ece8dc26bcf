"""EuclideanLossLayer of BVLC Caffe's examples/pycaffe/layers/pyloss.py, as built in.

The loss is half the sum of squared differences of two bottoms over their first axis. ``backward``
does not look at what arrives at its top: the loss weight scales the loss and not the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ShapeError
from netc.ops.python import PythonContext, register_built_in


def _loss(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    difference = inputs[0] - inputs[1]
    total: AnyArray = np.square(difference).sum() / max(1, len(difference)) / 2
    return (total.reshape(1).astype(difference.dtype),)


def _shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
    if len(inputs) != 2 or inputs[0] != inputs[1] or not inputs[0]:
        told = " and ".join(map(show, inputs))
        raise ShapeError(f"`EuclideanLossLayer` takes two bottoms of one shape, they are {told}")
    return ((1,),)


def _slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray, ...]:
    each = (inputs[0] - inputs[1]) / inputs[0].dtype.type(max(1, len(inputs[0])))
    return each, -each


register_built_in("pyloss", "EuclideanLossLayer", _loss, _shape, False, _slopes)
