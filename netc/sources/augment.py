"""Data augmentation that forks add to Caffe's crop and mirror.

* `center_crop` (happynear/caffe-windows): the crop is the centre one in TRAIN too.
* `erase_ratio`, `scale_min` to `scale_max`, `aspect_min` to `aspect_max` (the same fork; random
  erasing of Zhong et al., arXiv:1708.04896): in this share of the pictures a rectangle of the crop
  becomes noise of 0 to 254.
* `vertical_mirror`, `random_90_deg_rot` (mhliao's TextBoxes): vertical flips, and quarter turns.

All of them apply in both phases, as in those forks.
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
    """Random erasing (Zhong et al., arXiv:1708.04896): a rectangle becomes noise of 0 to 254.

    Args:
        ratio: the share of pictures that are changed, from 0 to 1.
        scale: smallest and largest width of the rectangle over the crop's width.
        aspect: smallest and largest height over width of the rectangle.
    """

    ratio: float
    scale: tuple[float, float]
    aspect: tuple[float, float]

    def apply(self, values: Array, generator: np.random.Generator) -> Array:
        """The picture, (channels, height, width), with a rectangle erased or unchanged.

        It stays unchanged where none of the rectangles drawn lies within it.
        """
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
    """The augmentations of a layer; none by default.

    Args:
        centered: whether the crop is the centre one in TRAIN too.
        erasing: random erasing; None for none.
        upside_down: whether half of the pictures are flipped vertically.
        turns: whether pictures are rotated clockwise by 0 to 3 quarter turns.
    """

    centered: bool = False
    erasing: Erasing | None = None
    upside_down: bool = False
    turns: bool = False

    @property
    def draws(self) -> bool:
        """Whether any of them draws random numbers."""
        return self.erasing is not None or self.upside_down or self.turns

    def turned(self, values: Array, generator: np.random.Generator) -> Array:
        """The picture, (channels, height, width), after vertical flip and rotation."""
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
    """Read the augmentations from a layer's transform_param.

    Raises:
        NetcError: out-of-range, for invalid ratios, scales or aspects; conflicting-fields, for a
            mean file with flips or rotation, since its position in such a picture is undefined.
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
