"""Python layers over maps, as built in: OpenSALICON's interpolation and DenseReg's coordinates.

custom_interpolation_layer.py of CLT29/OpenSALICON is SciPy's zoom of order 1: linear along every
axis, the corners kept. CombineRegressions.py and CombineRegressionsHuman.py of ralpguler/DenseReg
(Alp Güler et al. 2017) add to each pixel's quantised coordinate the residual of its bin.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.define import ShapeError
from netc.ops.forks.inputs import stated_shape
from netc.ops.forks.resizing import between
from netc.ops.python import PythonContext, register_built_in


def _zoom_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    shape = stated_shape(param_str)
    if shape is None:
        raise ShapeError(
            f"`custom_interpolation_layer` takes the top's sizes, its `param_str` is "
            f"{param_str[:60]!r}",
            "python_param.param_str",
            code="python-layer",
        )
    if len(inputs) != 1 or len(inputs[0]) != len(shape):
        told = ", ".join(map(show, inputs)) or "none"
        raise ShapeError(f"a bottom of {len(shape)} axes is wanted for {show(shape)}, it is {told}")
    return (shape,)


def _zoomed(x: AnyArray, shape: Shape) -> AnyArray:
    """``x`` brought to a shape, one axis after the other."""
    for axis, size in enumerate(shape):
        if x.shape[axis] != size:
            x = between(x, size, axis)
    return x


@quietly
def _zoom(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    return (_zoomed(inputs[0], _zoom_shape([inputs[0].shape], param_str, context)[0]),)


@quietly
def _zoom_slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray, ...]:
    """The top's gradient interpolated back, which is not the derivative."""
    return (_zoomed(tops[0], inputs[0].shape),)


register_built_in(
    "custom_interpolation_layer", "custom_interpolation_layer", _zoom, _zoom_shape,
    gradient=_zoom_slopes,
)  # fmt: skip


def _combine_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    """One image: with several the layer's own arithmetic does not fit its tops."""
    if len(inputs) == 4 and all(len(shape) == 4 for shape in inputs):
        one, bins = inputs[0], inputs[2]
        alike = inputs[1] == one and inputs[3] == bins
        if alike and one[:2] == (1, 1) and bins[0] == 1 and bins[1] > 1 and bins[2:] == one[2:]:
            return (one, one)
    raise ShapeError(
        "`CombineRegressionsLayer` takes the bins of two coordinates, 1x1 x height x width, and "
        f"residuals of two bins or more for each; the bottoms are {', '.join(map(show, inputs))}"
    )


def _residuals(inputs: Arrays) -> tuple[AnyArray, ...]:
    """Of each pixel that of its bin, for both coordinates; bin 0 has none."""
    made = []
    for bins, values in ((inputs[0], inputs[2]), (inputs[1], inputs[3])):
        number = np.arange(values.shape[1]).reshape(1, -1, 1, 1)
        chosen = (bins == number) & (number > 0)
        made.append(np.where(chosen, values, 0).sum(axis=1, keepdims=True))
    return tuple(made)


@quietly
def _combine_faces(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    steps = inputs[2].shape[1] - 1
    both = zip(inputs[:2], _residuals(inputs), strict=True)
    each = ((bins + residual - 1) / bins.dtype.type(steps) for bins, residual in both)
    return tuple(np.where(place < 0, place.dtype.type(-1), place) for place in each)


@quietly
def _combine_bodies(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    return tuple(np.clip(residual, 0, 1) for residual in _residuals(inputs))


for _module, _run in (
    ("CombineRegressions", _combine_faces),
    ("CombineRegressionsHuman", _combine_bodies),
):
    register_built_in(_module, "CombineRegressionsLayer", _run, _combine_shape)
