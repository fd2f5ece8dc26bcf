"""DiceLoss of faustomilletari/VNet's pyLayer.py (Milletari et al. 2016), as built in.

The top is the sum over the items of the Dice coefficient of what the probabilities say and of what
the labels say: it grows as the net learns. ``backward`` does not look at what arrives at the top.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, Whole
from netc.ops.define import ShapeError
from netc.ops.python import PythonContext, register_built_in

_LEAST = 1e-5  # added to the sum of both sets


def _shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
    fits = len(inputs) == 2 and len(inputs[0]) == 3 and inputs[0][1] == 2
    if not fits or inputs[1] != (inputs[0][0], 1, inputs[0][2]):
        told = " and ".join(map(show, inputs))
        raise ShapeError(
            "`DiceLoss` takes probabilities of two classes, items x 2 x places, and labels, items "
            f"x 1 x places; the bottoms are {told}"
        )
    return ((1,),)


def _sets(inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The labels' set (items, places), and what both sets have in common and in all, (items, 1)."""
    data, label = (np.asarray(array) for array in inputs)
    said = (data.argmax(axis=1) == 1).astype(np.float64)  # at a tie the first class
    true = (label[:, 0] > 0.5).astype(np.float64)
    common = (said * true).sum(axis=1, keepdims=True)
    return true, common, said.sum(axis=1, keepdims=True) + true.sum(axis=1, keepdims=True)


def _dice(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    _, common, both = _sets(inputs)
    return (np.asarray((2 * common / (both + _LEAST)).sum(), inputs[0].dtype).reshape(1),)


@quietly
def _slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """2 (true both - 2 p common) / both^2 by the first class, its negative by the second.

    As there it is NaN for an item in which neither set has a place.
    """
    true, common, both = _sets(inputs)
    slope = 2 * (true * both - 2 * np.asarray(inputs[0])[:, 1] * common) / both**2
    return np.stack([slope, -slope], axis=1), None


def _contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return None, Whole(2)


register_built_in("pyLayer", "DiceLoss", _dice, _shape, False, _slopes, _contents)
