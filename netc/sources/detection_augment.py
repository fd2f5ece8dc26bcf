"""What SSD's Caffe does to pictures with boxes besides what it does to others, as texts say it.

weiliu89/caffe@ssd src/caffe/data_transformer.cpp and util/bbox_util.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from netc.memory import check_memory
from netc.sources.base import DataLayer, check_known
from netc.sources.boxes import Box
from netc.sources.colour import Distortion
from netc.sources.pixels import Bytes

FIELDS = ("distort_param", "expand_param", "emit_constraint")
"""Of transform_param, those of boxes."""

_WIDEST = 100  # times a side that a picture may become
_AS_IT_IS = 1e-2  # a greatest ratio as near as this to 1 changes nothing


class Expanded(NamedTuple):
    """A picture with a border, and what of the old one's coordinates the new one reaches over."""

    pixels: Bytes
    frame: Box


@dataclass(frozen=True, slots=True)
class CanvasExpansion:
    """expand_param: some pictures are put on a larger one.

    Args:
        probability: of that.
        most: the greatest ratio of sides.
    """

    probability: float
    most: float

    def apply(
        self, picture: Bytes, what: str, mean: Sequence[float], generator: np.random.Generator
    ) -> Expanded | None:
        """A picture, (channels, height, width), expanded; None where it stays (ExpandImage).

        Args:
            picture: the picture.
            what: names it in messages.
            mean: what is around it: a number for each channel, or for all; 0 for none.
            generator: draws the ratio and the place.

        Raises:
            NetcError: too-little-memory.
        """
        if generator.random() > self.probability or abs(self.most - 1) < _AS_IT_IS:
            return None
        channels, rows, columns = picture.shape
        ratio = np.float32(generator.uniform(1, self.most))
        high, wide = (int(np.float32(size) * ratio) for size in (rows, columns))
        check_memory(2 * channels * high * wide, f"{what}, expanded to {high}x{wide},")
        top, left = (int(generator.uniform(0, room)) for room in (high - rows, wide - columns))
        values = np.resize(np.array(mean or (0.0,)), channels)
        larger = np.empty((channels, high, wide), np.uint8)
        larger[...] = np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, None, None]
        larger[:, top : top + rows, left : left + columns] = picture
        ends = (-left / columns, -top / rows, (wide - left) / columns, (high - top) / rows)
        return Expanded(larger, Box(*map(np.float32, ends)))


@dataclass(frozen=True, slots=True)
class Emission:
    """emit_constraint: which boxes are kept on a crop.

    Args:
        kind: "CENTER" for those whose middle is on it, or "MIN_OVERLAP".
        overlap: the part of a box that must be on it, and more.
    """

    kind: str
    overlap: float

    def keeps(self, box: Box, crop: Box) -> bool:
        """Whether a box is kept on a crop (MeetEmitConstraint)."""
        if self.kind == "MIN_OVERLAP":
            return bool(box.covered(crop) > np.float32(self.overlap))
        x, y = (box.xmin + box.xmax) / np.float32(2), (box.ymin + box.ymax) / np.float32(2)
        return bool(crop.xmin <= x <= crop.xmax and crop.ymin <= y <= crop.ymax)


def read_distortion(source: DataLayer) -> Distortion | None:
    """The distort_param of a layer's transform_param; None where there is none.

    Raises:
        NetcError: out-of-range, for a range that is none; unsupported-data-field, for a field of
            other forks.
    """
    param = source.layer.get("transform_param")
    if not param.has("distort_param"):
        return None
    one = param.get("distort_param")
    ranges = {
        name: (one.get(f"{name}_prob"), one.get(f"{name}_lower"), one.get(f"{name}_upper"))
        for name in ("contrast", "saturation")
    }
    deltas = {
        name: (one.get(f"{name}_prob"), one.get(f"{name}_delta")) for name in ("brightness", "hue")
    }
    known = {f"{n}_{e}" for n in ranges for e in ("prob", "lower", "upper")}
    known |= {f"{n}_{e}" for n in deltas for e in ("prob", "delta")} | {"random_order_prob"}
    check_known(source, one, known)
    for name, (_, low, high) in ranges.items():
        if not 0 <= low <= high < float("inf"):
            message = f"layer `{source.name}`: `{name}` is changed by {low:g} to {high:g}"
            help = "the first number is at least 0 and not above the second"
            raise one.error(f"{name}_upper", "out-of-range", message, help)
    for name, (_, most) in deltas.items():
        if not 0 <= most < float("inf"):
            message = f"layer `{source.name}`: `{name}_delta` is {most:g}"
            raise one.error(f"{name}_delta", "out-of-range", message, "it is at least 0")
    order = one.get("random_order_prob")
    return Distortion(
        deltas["brightness"], ranges["contrast"], ranges["saturation"], deltas["hue"], order
    )


def read_expansion(source: DataLayer) -> CanvasExpansion | None:
    """The expand_param of a layer's transform_param; None where there is none.

    Raises:
        NetcError: out-of-range, for a ratio of 1 or less; conflicting-fields, beside a mean_file,
            which has no pixels for what is around the picture.
    """
    param = source.layer.get("transform_param")
    if not param.has("expand_param"):
        return None
    one = param.get("expand_param")
    check_known(source, one, ("prob", "max_expand_ratio"))
    most = one.get("max_expand_ratio")
    if not 1 < most <= _WIDEST:
        message = f"layer `{source.name}`: `max_expand_ratio` is {most:g}"
        help = f"it is above 1, and at most {_WIDEST}"
        raise one.error("max_expand_ratio", "out-of-range", message, help)
    if param.has("mean_file"):
        raise source.fault(
            "conflicting-fields",
            "the mean of a file has no pixels for what is around an expanded picture",
            "transform_param.mean_file",
            "give `mean_value`",
        )
    return CanvasExpansion(one.get("prob"), most)


def read_emission(source: DataLayer) -> Emission | None:
    """The emit_constraint of a layer's transform_param; None where there is none."""
    param = source.layer.get("transform_param")
    if not param.has("emit_constraint"):
        return None
    one = param.get("emit_constraint")
    check_known(source, one, ("emit_type", "emit_overlap"))
    return Emission(one.get("emit_type"), one.get("emit_overlap"))
