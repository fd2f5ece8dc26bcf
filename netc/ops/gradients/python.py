"""Gradients of Python layers: what was registered with the layer's implementation."""

from __future__ import annotations

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray, Arrays
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of
from netc.ops.python import PYTHON, PythonParams, implementation_gradient


def _available(params: PythonParams) -> bool:
    return implementation_gradient(params) is not None


def _reads(params: PythonParams, index: int, bottoms: int) -> Reads:
    """All bottoms, and the tops for the shapes of those that no gradient arrives at."""
    return Reads(inputs=tuple(range(bottoms)), outputs=tuple(range(params.tops)))


def _bottom(params: PythonParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    gradient = implementation_gradient(params)
    assert gradient is not None
    arrived = [
        np.zeros_like(output) if top is None else top
        for top, output in zip(tops, saved.outputs, strict=True)
    ]
    bottoms, key = params.apart(saved.inputs)
    made = gradient(bottoms, tuple(arrived), params.param_str, *params.more(key))
    x = saved.inputs[index]
    if len(made) != len(bottoms):
        raise _misfit(params, f"made {len(made)} arrays for {len(bottoms)} bottoms")
    own = made[index]
    if own is None:
        return np.zeros_like(x)
    array = np.asarray(own, dtype=x.dtype)
    if array.shape != x.shape:
        raise _misfit(params, f"made {array.shape} for bottom {index}, which is {x.shape}")
    return array


def _misfit(params: PythonParams, what: str) -> NetcError:
    text = f"the gradient of Python layer `{params.layer}` {what}"
    return NetcError(Diagnostic("python-layer", text))


GRADIENTS = gradients(
    of(PYTHON, Gradient(_bottom, _reads, available=_available, host=True)),
)
