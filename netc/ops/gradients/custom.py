"""The gradient rule of a registered layer type (``netc.register_layer``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray, Arrays
from netc.ops.custom_params import CustomParams, fault_of, number_of_weights, values_of
from netc.ops.gradients.define import Gradient, Reads, Saved


def gradient_of(
    type: str, function: Callable[..., Sequence[AnyArray | None]], weighted: bool
) -> Gradient[CustomParams]:
    """The gradient rule of a registered layer type.

    The rule raises NetcError python-layer where the function raises, or gives another number of
    arrays or other shapes than it must.

    Args:
        type: the layer type.
        function: gives the gradients by all bottoms, then by all trained arrays; None stands for 0.
        weighted: whether the function is given the trained arrays.
    """

    def made(params: CustomParams, saved: Saved, tops: Arrays) -> Sequence[AnyArray | None]:
        arrived = [
            np.zeros_like(output) if top is None else top
            for top, output in zip(tops, saved.outputs, strict=True)
        ]
        own = [[w for w in saved.weights if w is not None]] if weighted else []
        try:
            found = function(list(saved.inputs), *own, arrived, values_of(params))
        except NetcError:
            raise
        except Exception as error:
            raise fault_of(type, "gradient", error) from error
        wanted = len(saved.inputs) + len(saved.weights) * weighted
        if len(found) != wanted:
            raise _misfit(type, f"made {len(found)} arrays, and {wanted} are wanted")
        return list(found)

    def bottom(params: CustomParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        return _fitting(type, made(params, saved, tops)[index], saved.inputs[index])

    def weight(params: CustomParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
        found = made(params, saved, tops)[len(saved.inputs) + index]
        return _fitting(type, found, saved.weights[index])

    def reads(params: CustomParams, index: int, bottoms: int) -> Reads:
        numbers = range(number_of_weights(params))
        return Reads(tuple(range(bottoms)), tuple(range(params.tops)), tuple(numbers))

    return Gradient(
        bottom,
        reads,
        weight if weighted else None,
        reads,
        host=True,
    )


def _fitting(type: str, found: AnyArray | None, like: AnyArray) -> AnyArray:
    if found is None:
        return np.zeros_like(like)
    array = np.asarray(found, dtype=like.dtype)
    if array.shape != like.shape:
        raise _misfit(type, f"made {array.shape} for what is {like.shape}")
    return array


def _misfit(type: str, what: str) -> NetcError:
    return NetcError(Diagnostic("python-layer", f"the gradient of layer type `{type}` {what}"))
