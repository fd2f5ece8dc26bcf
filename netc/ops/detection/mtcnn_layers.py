"""Python layers of CongWeilin/mtcnn-caffe, as built in: batches of three tasks (Zhang et al. 2016,
arXiv:1604.02878), in which -1 says that an example has no label, box or points.

cls_Layer and cls_Layer_fc put the examples with a label first and zeros behind; regression_Layer is
half the squared distance over the batch, 0 where no example has a target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, Whole
from netc.ops.define import ShapeError
from netc.ops.python import PythonContext, register_built_in

_MODULE = "pythonLayer"
_CLASSES = 2


def _labelled(tail: Shape) -> Callable[[Sequence[Shape], str, PythonContext], tuple[Shape, ...]]:
    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        if len(inputs) != 2 or not inputs[1] or count(inputs[1], 1) != 1:
            raise ShapeError(f"scores and labels are needed, got {', '.join(map(show, inputs))}")
        rows = inputs[1][0]
        if inputs[0] != (rows, _CLASSES, *tail):
            wanted = show((rows, _CLASSES, *tail))
            raise ShapeError(f"scores of {wanted} are needed, the bottom is {show(inputs[0])}")
        return ((rows, _CLASSES, *tail), (rows, 1))

    return shape


def _first(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    scores, label = inputs[0], inputs[1].reshape(-1, 1)
    kept = np.flatnonzero(label != -1)
    found = np.zeros_like(scores), np.zeros_like(label)
    for whole, own in zip(found, (scores, label), strict=True):
        whole[: len(kept)] = own[kept]
    return found


def _back(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    kept = np.flatnonzero(inputs[1].reshape(-1) != -1)
    whole = np.zeros_like(inputs[0])
    whole[kept] = tops[0].reshape(inputs[0].shape)[: len(kept)]
    return whole, None


def _distance_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    if len(inputs) != 2 or count(inputs[0]) != count(inputs[1]) or len(inputs[1]) < 2:
        raise ShapeError(f"as many targets as predictions: {', '.join(map(show, inputs))}")
    return ((1,),)


def _difference(inputs: Arrays) -> AnyArray:
    """Predictions less targets; zeros where no row's first target is other than -1."""
    target = inputs[1].reshape(inputs[0].shape)
    if not (inputs[1][:, 0] != -1).any():
        return np.zeros_like(inputs[0])
    result: AnyArray = inputs[0] - target
    return result


def _distance(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    total = (_difference(inputs) ** 2).sum(dtype=np.float64) / max(1, len(inputs[0])) / 2
    return (np.full(1, total, inputs[0].dtype),)


def _slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """The difference over the batch, whatever the loss weighs, as there."""
    return _difference(inputs) / inputs[0].dtype.type(max(1, len(inputs[0]))), None


def _label(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(_CLASSES)


register_built_in(_MODULE, "cls_Layer", _first, _labelled(()), gradient=_back, contents=_label)
register_built_in(
    _MODULE, "cls_Layer_fc", _first, _labelled((1, 1)), gradient=_back, contents=_label
)
register_built_in(_MODULE, "regression_Layer", _distance, _distance_shape, gradient=_slopes)
