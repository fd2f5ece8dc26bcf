"""How a layer's weights are filled when none are given (filler.hpp)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class Filler:
    """A filler's parameters, as in Caffe's FillerParameter; the names are its fields'."""

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: str = "FAN_IN"


CONSTANT_ZERO = Filler()
CONSTANT_ONE = Filler(value=1.0)


def parse_filler(message: Message) -> Filler:
    """The filler a FillerParameter message describes.

    Raises:
        NetcError: unknown-filler, at the type, when Caffe has no filler of that name.
    """
    raise NotImplementedError


def fill(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    """A new float32 array of ``shape`` filled as ``filler`` says."""
    raise NotImplementedError
