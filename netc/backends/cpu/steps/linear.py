"""Steps of inner products."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.product_args import LinearArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.epilogue import PLAIN, Epilogue
from netc.backends.cpu.steps.packing import copied, in_c_order
from netc.backends.shared.derived import Derived, Weights, derivable, derived
from netc.backends.shared.views import View

Array = NDArray[np.float32]

#: isa -> (images, rows) of a tile, for one image and for several.
_TILES = {"avx512": ((1, 8), (4, 6)), "avx2": ((1, 8), (3, 4)), "neon": ((1, 8), (4, 4))}
_LANES = 16


def linear_step(
    name: str,
    x: View,
    y: View,
    weights: Weights,
    target: Machine,
    epilogue: Epilogue = PLAIN,
    half: bool = False,
) -> Step:
    """Inner products of each image's inputs with each row of weights.

    Args:
        name: the layer's.
        x: input of one pixel an image: (n, 1, 1, inputs). What is flattened from a map must have
            been brought to Caffe's order before.
        y: output, (n, 1, 1, outputs).
        weights: (outputs, inputs); used as they are, so they are kept and never copied, if they
            are float32 in C order.
        target: the machine.
        epilogue: bias and activation; no residual.
        half: keep the weights as float16, which halves what must be read and loses accuracy.

    Raises:
        ValueError: a residual is given.
    """
    if epilogue.residual is not None:
        raise ValueError("an inner product's epilogue takes no residual")
    # More images share each load of weights; a single one gets more rows, as streams of memory.
    images, rows = _TILES.get(target.isa, ((1, 4), (2, 4)))[x.n > 1]
    stored = _halved(weights) if half else in_c_order(weights)
    activation = epilogue.activation
    zeros = _to_tiles(None, len(weights), rows)
    args = LinearArgs(
        input=x.place,
        input_ld=4 * x.ld,
        images=x.n,
        inputs=weights.shape[1],
        weights=stored,
        weights_ld=stored.strides[0],
        outputs=len(weights),
        bias=zeros if epilogue.bias is None else _to_tiles(epilogue.bias, len(weights), rows),
        slopes=_to_tiles(activation.slopes, len(weights), rows),
        output=y.place,
        output_ld=4 * y.ld,
        first=activation.first,
        second=activation.second,
    )
    kernel = jit.spec(
        "linear", "linear", images=images, rows=rows, activation=activation.kind, half=half
    )
    # Addresses of the tile's rows, int64, and its results, each row a vector longer.
    scratch = 8 * (images + rows) + 4 * images * (rows + _LANES)
    return Step(name, kernel, args, math.ceil(len(weights) / rows), scratch)


@derivable
def _halved(weights: Array) -> NDArray[np.float16]:
    """Float16 rows with zeros up to a whole number of vectors."""
    outputs, inputs = weights.shape
    stored = np.zeros((outputs, -(-inputs // _LANES) * _LANES), np.float16)
    stored[:, :inputs] = weights
    return stored


def _to_tiles(values: Weights | None, outputs: int, rows: int) -> Weights:
    """A flat copy that may be read as vectors at any tile's start; zeros where there is none."""
    # Tiles start at multiples of ``rows``, and a vector may reach beyond the last.
    shape = (outputs + rows + _LANES,)

    def by_numpy(values: Array) -> Array:
        stored = np.zeros(shape, np.float32)
        stored[:outputs] = values
        return stored

    if values is None:
        return np.zeros(shape, np.float32)
    made = copied(values, shape, by_numpy) if isinstance(values, Derived) else None
    return derived(by_numpy, values) if made is None else made
