"""What forks do to pictures at random, beside Caffe's crop and mirror.

* `center_crop` (happynear/caffe-windows): the crop is the centre one in TRAIN too.
* `erase_ratio`, `scale_min` to `scale_max`, `aspect_min` to `aspect_max` (the same fork; random
  erasing of Zhong et al., arXiv:1708.04896): in this share of the pictures a rectangle of the crop
  becomes noise of 0 to 254.
* `vertical_mirror`, `random_90_deg_rot` (mhliao's TextBoxes): upside down, and by quarter turns.

All of them happen in both phases, as they do there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netc.ir.graph import Array
from netc.ops.fields import fork_field
from netc.schema.message import Message
from netc.sources.base import DataLayer

_NOISE = 255  # values of an erased element are below
_TRIES = 1000  # rectangles that are drawn until one lies within the crop


@dataclass(frozen=True, slots=True)
class Erasing:
    """A rectangle of noise.

    Args:
        ratio: share of the pictures that have one.
        scale: its width over the crop's, from and to.
        aspect: its height over its width, from and to.
    """

    ratio: float
    scale: tuple[float, float]
    aspect: tuple[float, float]

    def apply(self, values: Array, generator: np.random.Generator) -> Array:
        """The picture with or without a rectangle; without where none that is drawn lies within."""
        if generator.random() >= self.ratio:
            return values
        _, height, width = values.shape
        for _ in range(_TRIES):
            wide = int(width * generator.uniform(*self.scale))
            high = int(wide * generator.uniform(*self.aspect))
            left, top = int(generator.integers(width)), int(generator.integers(height))
            if left + wide <= width and top + high <= height:
                noise = generator.integers(_NOISE, size=(len(values), high, wide))
                values = values.copy()
                values[:, top : top + high, left : left + wide] = noise
                break
        return values


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done besides; nothing by default.

    Args:
        centered: the crop is the centre one in TRAIN too.
        erasing: None for none.
        upside_down: half of the pictures are mirrored vertically.
        turns: pictures are turned by 0 to 3 quarters, clockwise.
    """

    centered: bool = False
    erasing: Erasing | None = None
    upside_down: bool = False
    turns: bool = False

    @property
    def draws(self) -> bool:
        """Whether anything is random."""
        return self.erasing is not None or self.upside_down or self.turns

    def turned(self, values: Array, generator: np.random.Generator) -> Array:
        """The picture upside down and turned, or as it is."""
        if self.upside_down and generator.integers(2):
            values = values[:, ::-1]
        return np.rot90(values, -int(generator.integers(4)), (1, 2)) if self.turns else values


NONE = Augment()
FIELDS = frozenset(
    {
        "center_crop", "erase_ratio", "scale_min", "scale_max", "aspect_min", "aspect_max",
        "vertical_mirror", "random_90_deg_rot",
    }
)  # fmt: skip


def read_augment(source: DataLayer) -> Augment:
    """The layer's augmentations.

    Raises:
        NetcError: out-of-range, for shares, scales or aspects that are none; conflicting-fields,
            for a mean file, whose place in a turned picture has no meaning.
    """
    param = source.layer.get("transform_param")
    found = Augment(
        bool(fork_field(param, "center_crop", False)),
        _erasing(source),
        bool(fork_field(param, "vertical_mirror", False)),
        bool(fork_field(param, "random_90_deg_rot", False)),
    )
    if (found.upside_down or found.turns) and param.has("mean_file"):
        raise source.fault(
            "conflicting-fields",
            "the mean of a file would be that of other pixels than those of the turned picture",
            "transform_param.mean_file",
            "give `mean_value`",
        )
    return found


def _erasing(source: DataLayer) -> Erasing | None:
    param = source.layer.get("transform_param")
    ratio = float(fork_field(param, "erase_ratio", 0.0))
    if not ratio:
        return None
    found = Erasing(ratio, _range(param, "scale"), _range(param, "aspect"))
    _check_range(source, "erase_ratio", (0.0, ratio), 1.0)
    _check_range(source, "scale_max", found.scale, 1.0)
    _check_range(source, "aspect_max", found.aspect, float("inf"))
    return found


def _range(param: Message, name: str) -> tuple[float, float]:
    low, high = (float(fork_field(param, f"{name}_{end}", 0.0)) for end in ("min", "max"))
    return low, high


def _check_range(source: DataLayer, name: str, ends: tuple[float, float], most: float) -> None:
    low, high = ends
    if not 0 <= low <= high <= most or not np.isfinite(high):
        raise source.fault(
            "out-of-range",
            f"`{name}` is {high:g} and what it begins at {low:g}",
            f"transform_param.{name}",
            "the first number is at least 0 and not above the second"
            + (", which is at most 1" if most == 1 else ""),
        )
