"""Data augmentation that forks add to Caffe's crop and mirror.

* `center_crop` (happynear/caffe-windows): the crop is the centre one in TRAIN too.
* `erase_ratio`, `scale_min` to `scale_max`, `aspect_min` to `aspect_max` (the same fork; random
  erasing of Zhong et al., arXiv:1708.04896): in this share of the pictures a rectangle of the crop
  becomes noise of 0 to 254.
* `vertical_mirror`, `random_90_deg_rot` (mhliao's TextBoxes): vertical flips, and quarter turns.

These apply in both phases, as in those forks. Of twtygqyy's caffe-augmentation (see
netc.sources.rotation):

* `max_rotation_angle`, `max_color_shift`, `contrast_brightness_adjustment` with `min_contrast`,
  `max_contrast` and `max_brightness_shift`, `smooth_filtering` with `max_smooth`, in TRAIN; all but
  the first with `apply_probability`.
* `min_side`, or `min_side_min` to `min_side_max`: the smallest side of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netc.ir.graph import Array
from netc.ops.fields import fork_field
from netc.schema.message import Message
from netc.sources.base import DataLayer
from netc.sources.rotation import PictureTransform, SmallestSide

_NOISE = 255  # values of an erased element are below
_WIDEST = 64  # pixels of the side of a filter
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
        whole: what is done to whole pictures in TRAIN; None for nothing.
        side: the smallest side that they are brought to; None for their own.
    """

    centered: bool = False
    erasing: Erasing | None = None
    upside_down: bool = False
    turns: bool = False
    whole: PictureTransform | None = None
    side: SmallestSide | None = None

    def draws(self, phase: str) -> bool:
        """Whether any of them draws random numbers in a phase."""
        drawn = self.side is not None and self.side.most > 0
        drawn = drawn or (self.whole is not None and phase == "TRAIN")
        return drawn or self.erasing is not None or self.upside_down or self.turns

    def turned(self, values: Array, generator: np.random.Generator) -> Array:
        """The picture, (channels, height, width), after vertical flip and rotation."""
        if self.upside_down and generator.integers(2):
            values = values[:, ::-1]
        return np.rot90(values, -int(generator.integers(4)), (1, 2)) if self.turns else values


NONE = Augment()
FIELDS = frozenset(
    {
        "center_crop", "erase_ratio", "scale_min", "scale_max", "aspect_min", "aspect_max",
        "vertical_mirror", "random_90_deg_rot", "max_rotation_angle", "max_color_shift",
        "contrast_brightness_adjustment", "min_contrast", "max_contrast", "max_brightness_shift",
        "apply_probability", "min_side", "min_side_min", "min_side_max", "smooth_filtering",
        "max_smooth",
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
        _whole(source),
        _side(source),
    )
    moved = found.upside_down or found.turns or (found.whole is not None and found.whole.angle)
    if moved and param.has("mean_file"):
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


def _whole(source: DataLayer) -> PictureTransform | None:
    param = source.layer.get("transform_param")
    contrast = None
    if fork_field(param, "contrast_brightness_adjustment", False):
        contrast = _range_named(param, "min_contrast", "max_contrast")
        _check_range(source, "max_contrast", contrast, float("inf"))
    found = PictureTransform(
        int(fork_field(param, "max_rotation_angle", 0)),
        int(fork_field(param, "max_color_shift", 0)),
        contrast,
        int(fork_field(param, "max_brightness_shift", 0)),
        float(fork_field(param, "apply_probability", 0.5)),
        _smoothing(source),
    )
    for name, value, most in (
        ("max_rotation_angle", found.angle, 180),
        ("max_color_shift", found.shift, 255),
        ("max_brightness_shift", found.brightness, 255),
        ("apply_probability", found.probability, 1),
    ):
        if not 0 <= value <= most:
            raise source.fault(
                "out-of-range",
                f"`{name}` is {value:g}",
                f"transform_param.{name}",
                f"it is from 0 to {most}",
            )
    changes = found.angle or found.shift or found.contrast or found.smooth
    return found if changes else None


def _smoothing(source: DataLayer) -> int:
    param = source.layer.get("transform_param")
    if not fork_field(param, "smooth_filtering", False):
        return 0
    most = float(fork_field(param, "max_smooth", 6.0))
    if not 2 <= most <= _WIDEST:
        message = f"`max_smooth` is {most:g}"
        told = f"it is from 2 to {_WIDEST}"
        raise source.fault("out-of-range", message, "transform_param.max_smooth", told)
    return int(most)


def _side(source: DataLayer) -> SmallestSide | None:
    param = source.layer.get("transform_param")
    names = "min_side", "min_side_min", "min_side_max"
    fixed, least, most = (int(fork_field(param, name, 0)) for name in names)
    if (least > 0) != (most > 0) or least > most:
        raise source.fault(
            "out-of-range",
            f"`min_side_min` is {least} and `min_side_max` is {most}",
            f"transform_param.min_side_{'max' if most else 'min'}",
            "give both or neither, the smaller one first",
        )
    return SmallestSide(fixed, least, most) if fixed or most else None


def _range_named(param: Message, low: str, high: str) -> tuple[float, float]:
    return float(fork_field(param, low, 0.0)), float(fork_field(param, high, 0.0))


def _range(param: Message, name: str) -> tuple[float, float]:
    return _range_named(param, f"{name}_min", f"{name}_max")


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
