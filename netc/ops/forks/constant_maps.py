"""Meshgrid and MeanVals of appearance flow's python_layers.py, as built in: maps of constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ShapeError
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_MEANS = (104.0, 117.0, 123.0)


def _sizes(param_str: str, layer: str, inputs: Sequence[object]) -> tuple[int, int, int]:
    """Items, height and width."""
    if inputs:
        raise ShapeError(f"`{layer}` takes no bottom, it has {len(inputs)}")
    given = parse_param_str(param_str, layer, {"batch": None, "height": None, "width": None})
    sizes = tuple(int(given[name]) for name in ("batch", "height", "width"))
    if min(sizes) < 1:
        raise ShapeError(f"the sizes of `{layer}` must be at least 1, they are {sizes}")
    return sizes[0], sizes[1], sizes[2]


def _register(layer: str, channels: int, make: Callable[[int, int], AnyArray]) -> None:
    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        batch, high, wide = _sizes(param_str, layer, inputs)
        return ((batch, channels, high, wide),)

    def run(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        batch, high, wide = _sizes(param_str, layer, inputs)
        made = np.broadcast_to(make(high, wide), (batch, channels, high, wide))
        return (made.astype(np.float32),)

    register_built_in("python_layers", layer, run, shape)


def _places(high: int, wide: int) -> AnyArray:
    """Each place's column, then its row."""
    return np.stack(np.meshgrid(np.arange(wide), np.arange(high)))


def _means(high: int, wide: int) -> AnyArray:
    return np.asarray(_MEANS).reshape(3, 1, 1)


_register("Meshgrid", 2, _places)
_register("MeanVals", 3, _means)
