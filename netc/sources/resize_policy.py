"""SSD's resize_param: how a picture and its boxes are brought to a size.

weiliu89/caffe@ssd src/caffe/util/im_transforms.cpp, ApplyResize and UpdateBBoxByResizePolicy, and
bbox_util.cpp, ExtrapolateBBox.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netc.memory import check_memory
from netc.schema.message import Message
from netc.sources.base import DataLayer, check_known
from netc.sources.boxes import Box
from netc.sources.interpolation import METHODS
from netc.sources.pixels import Bytes

_PADS = {"CONSTANT": "constant", "MIRRORED": "reflect", "REPEAT_NEAREST": "edge"}

_FIELDS = (
    "prob", "resize_mode", "height", "width", "height_scale", "width_scale", "pad_mode",
    "pad_value", "interp_mode",
)  # fmt: skip

Float = np.float32


@dataclass(frozen=True, slots=True)
class ResizePolicy:
    """How pictures are resized.

    Args:
        mode: "WARP" to the size; "FIT_SMALL_SIZE" so that the smaller side has its size and nothing
            is warped; "FIT_LARGE_SIZE_AND_PAD" so that the larger one has, and the rest is filled.
        height: in pixels.
        width: in pixels.
        pad: "CONSTANT", "MIRRORED" or "REPEAT_NEAREST".
        values: what CONSTANT fills with: one number for each channel, or for all.
        methods: names of interpolations, of which one is drawn for each picture.
        scales: height and width that boxes are counted in after FIT_SMALL_SIZE; 0 for none.
        weight: of several policies, how often it is drawn; of one it means nothing.
    """

    mode: str
    height: int
    width: int
    pad: str = "CONSTANT"
    values: tuple[float, ...] = ()
    methods: tuple[str, ...] = ()
    scales: tuple[int, int] = (0, 0)
    weight: float = 1.0

    @property
    def draws(self) -> bool:
        """Whether the interpolation is drawn."""
        return len(self.methods) > 1

    def apply(self, picture: Bytes, generator: np.random.Generator | None) -> Bytes:
        """The picture, (channels, height, width) of bytes, resized."""
        name = self.methods[0] if self.methods else "LINEAR"
        if self.draws and generator is not None:
            name = self.methods[int(generator.integers(len(self.methods)))]
        high, wide = self._inner(*picture.shape[1:])
        check_memory(
            2 * len(picture) * max(high, self.height) * max(wide, self.width),
            f"the pixels of a picture of {high}x{wide}",
        )
        resized = METHODS[name](picture, high, wide)
        return self._padded(resized) if self.mode == "FIT_LARGE_SIZE_AND_PAD" else resized

    def _inner(self, rows: int, columns: int) -> tuple[int, int]:
        """The size of the picture itself, whatever is around it."""
        if self.mode == "WARP":
            return self.height, self.width
        aspect, wanted = Float(columns) / Float(rows), Float(self.width) / Float(self.height)
        if (aspect > wanted) == (self.mode == "FIT_LARGE_SIZE_AND_PAD"):
            return max(1, int(Float(self.width) / aspect)), self.width
        return self.height, max(1, int(aspect * Float(self.height)))

    def _padded(self, picture: Bytes) -> Bytes:
        """In the middle of the size; one more row or column is below or on the right."""
        channels, high, wide = picture.shape
        above, left = (self.height - high) // 2, (self.width - wide) // 2
        around = (above, self.height - high - above), (left, self.width - wide - left)
        if self.pad != "CONSTANT":
            mode = _PADS[self.pad] if min(high, wide) > 1 else "edge"
            return np.pad(picture, ((0, 0), *around), mode=mode)  # type: ignore[call-overload, no-any-return]
        values = np.resize(np.array(self.values or (0.0,)), channels)
        found = np.empty((channels, self.height, self.width), np.uint8)
        found[...] = np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, None, None]
        found[:, above : above + high, left : left + wide] = picture
        return found

    def box(self, box: Box, rows: int, columns: int) -> Box:
        """Where a box of a picture of ``rows`` x ``columns`` lies on the resized one."""
        high, wide = Float(self.height), Float(self.width)
        rest = [Float(0), Float(0)]  # on the left and above
        aspect, wanted = Float(columns) / Float(rows), wide / high
        if self.mode == "FIT_SMALL_SIZE":
            high, wide = (wide / aspect, wide) if aspect < wanted else (high, aspect * high)
        elif self.mode == "FIT_LARGE_SIZE_AND_PAD":
            if aspect > wanted:
                rest[1] = (high - wide / aspect) / Float(2)
            else:
                rest[0] = (wide - aspect * high) / Float(2)
        xmin, xmax = _along(box.xmin, box.xmax, columns, wide, rest[0])
        ymin, ymax = _along(box.ymin, box.ymax, rows, high, rest[1])
        return Box(xmin, ymin, xmax, ymax)

    def extrapolated(self, box: Box, rows: int, columns: int, crop: Box) -> Box:
        """A box of a crop after FIT_SMALL_SIZE, in parts of the scales where there are any."""
        high, wide = map(Float, self.scales)
        if self.mode != "FIT_SMALL_SIZE" or not (high > 0 and wide > 0):
            return box
        aspect = Float(columns) / Float(rows)
        new_high, new_wide = Float(self.height), Float(self.width)
        if aspect < new_wide / new_high:
            new_high = new_wide / aspect
        else:
            new_wide = new_high * aspect
        across = new_wide * (crop.xmax - crop.xmin) / wide
        down = new_high * (crop.ymax - crop.ymin) / high
        return Box(box.xmin * across, box.ymin * down, box.xmax * across, box.ymax * down)


def _along(low: Float, high: Float, old: int, new: Float, rest: Float) -> tuple[Float, Float]:
    """Both ends along one axis, in parts of the new size, within it."""
    inner = new - rest - rest
    ends = low * Float(old) * inner / Float(old), high * Float(old) * inner / Float(old)
    return (rest + max(Float(0), ends[0])) / new, (rest + min(new, ends[1])) / new


def read_resize(source: DataLayer, *, several: bool = False) -> tuple[ResizePolicy, ...]:
    """The `resize_param` of a layer's transform_param; empty where there is none.

    Args:
        source: the layer.
        several: whether this kind of layer draws one of several.

    Raises:
        NetcError: out-of-range, for a size of 0, a wrong number of fill values or a negative
            probability; unsupported-data-field, where there are several for one.
    """
    param = source.layer.get("transform_param")
    if "resize_param" not in param.type.fields or not param.has("resize_param"):
        return ()
    written = param.get("resize_param")
    given = written if isinstance(written, tuple) else (written,)
    if len(given) > 1 and not several:
        message = "several `resize_param` are a field of some forks that netc does not read data by"
        raise source.fault(
            "unsupported-data-field", message, "transform_param.resize_param", "give one"
        )
    return tuple(_policy(source, one) for one in given)


def _policy(source: DataLayer, one: Message) -> ResizePolicy:
    check_known(source, one, _FIELDS)
    height, width = int(one.get("height")), int(one.get("width"))
    if height < 1 or width < 1:
        message = f"layer `{source.name}`: pictures would be resized to {height}x{width}"
        raise one.error("height", "out-of-range", message, "give `height` and `width`")
    values = tuple(map(float, one.get("pad_value")))
    if len(values) not in (0, 1, 3):
        message = f"layer `{source.name}`: `pad_value` is given {len(values)} times"
        raise one.error("pad_value", "out-of-range", message, "give it once, or for each channel")
    if not 0 <= one.get("prob") < float("inf"):
        message = f"layer `{source.name}`: `prob` is {one.get('prob'):g}"
        raise one.error("prob", "out-of-range", message, "it is at least 0")
    return ResizePolicy(
        one.get("resize_mode"),
        height,
        width,
        one.get("pad_mode"),
        values,
        tuple(one.get("interp_mode")),
        (int(one.get("height_scale")), int(one.get("width_scale"))),
        one.get("prob"),
    )
