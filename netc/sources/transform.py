"""transform_param: crop, mirror, mean and scale (BVLC/caffe src/caffe/data_transformer.cpp).

A value becomes (value - mean) * scale in float32. The mean of a `mean_file` is taken at the crop's
place in the full picture. In TEST the crop is the centre one, rounded down; in TRAIN its place is
random, and so is mirroring in both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.sources.augment import FIELDS, NONE, Augment, read_augment
from netc.sources.base import DataLayer, draws
from netc.sources.noise import PictureNoise, read_noise
from netc.sources.paths import find
from netc.sources.pixels import Bytes
from netc.sources.resize_policy import ResizePolicy, read_resize
from netc.weights.mean import load_mean

Pixels = NDArray[np.uint8] | NDArray[np.float32]


class CroppedPicture(NamedTuple):
    """A transformed picture, and where it was cut out.

    Args:
        values: float32 (channels, height, width).
        place: the crop's first row and column, in the picture as it was resized.
        size: that picture's height and width.
        mirrored: whether it is mirrored.
    """

    values: Array
    place: tuple[int, int]
    size: tuple[int, int]
    mirrored: bool


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """The transformation of a layer's pictures.

    Args:
        source: the layer.
        scale: multiplied after the mean is subtracted.
        crop: height and width of the crop in pixels; None for the whole picture.
        mirror: whether a random half of the pictures is mirrored.
        values: one mean for all channels or one for each; empty for none.
        mean: the mean file's float32 array, (channels, height, width); None for none.
        force_color: whether encoded pictures are decoded to three channels.
        force_gray: whether encoded pictures are decoded to one channel.
        augment: the augmentations of forks.
        resize: what is done before all else but the augmentations of colour and rotation.
        noise: effects on whole pictures, behind `resize`.
        fitted: shapes of pictures that crop and mean were found to fit.
    """

    source: DataLayer
    scale: np.float32
    crop: tuple[int, int] | None
    mirror: bool
    values: tuple[float, ...] = ()
    mean: Array | None = None
    force_color: bool = False
    force_gray: bool = False
    augment: Augment = NONE
    resize: ResizePolicy | None = None
    noise: PictureNoise | None = None
    fitted: set[Shape] = field(default_factory=set)

    def apply(self, pixels: Pixels, what: str, *counters: int) -> Array:
        """Transform a picture: float32 (channels, height, width), or of the crop's size.

        Args:
            pixels: (channels, height, width) of uint8 or float32.
            what: names the picture in messages.
            counters: pass and place in the batch; random choices depend on them and the seed.

        Raises:
            NetcError: bad-record, where it is smaller than the crop or the mean does not fit.
        """
        return self.placed(pixels, what, self.generator(*counters)).values

    def generator(self, *counters: int) -> np.random.Generator | None:
        """The generator of a picture's random choices; None where there are none."""
        known = self.source
        return draws(known.seed, known.name, *counters) if self.draws() else None

    def draws(self) -> bool:
        """Whether anything is chosen at random."""
        random = self.mirror or self.augment.draws(self.source.phase)
        random = random or (self.resize is not None and self.resize.draws)
        random = random or (self.noise is not None and self.noise.draws)
        return random or (self.crop is not None and self.source.phase == "TRAIN")

    def placed(
        self, pixels: Pixels, what: str, generator: np.random.Generator | None
    ) -> CroppedPicture:
        """Transform a picture; see :meth:`apply`."""
        pixels = self._changed(pixels, what, generator)
        channels, height, width = pixels.shape
        high, wide = self.crop or (height, width)
        if high > height or wide > width:
            raise self._bad(f"{what} is {height}x{width}, smaller than the crop {high}x{wide}")
        top, left = self._place(height - high, width - wide, generator)
        window = (slice(None), slice(top, top + high), slice(left, left + wide))
        values = pixels[window].astype(np.float32)
        if self.augment.erasing is not None and generator is not None:
            values = self.augment.erasing.apply(values, generator)
        if self.mean is not None:
            values = values - self._fitting(self.mean, pixels, what)[window]
        elif self.values:
            values = values - self.means(channels, what)
        mirrored = self.mirror and generator is not None and bool(generator.integers(2))
        if mirrored:
            values = values[:, :, ::-1]
        if generator is not None:
            values = self.augment.turned(values, generator)
        if values.shape[1:] != (high, wide):
            raise self._bad(f"{what} is {high}x{wide}, and only squares can be turned by 90°")
        values = np.ascontiguousarray(values * self.scale)
        return CroppedPicture(values, (top, left), (height, width), mirrored)

    def _changed(self, pixels: Pixels, what: str, generator: np.random.Generator | None) -> Pixels:
        """What is done to the whole picture, which must be of bytes for it."""
        whole = self.augment.whole if self.source.phase == "TRAIN" else None
        fixed = self.augment.side
        if (whole, fixed, self.resize, self.noise) == (None, None, None, None):
            return pixels
        picture = self.picture(pixels, what)
        if whole is not None and generator is not None:
            picture = whole.rotated(picture, generator)
        if fixed is not None:
            picture = fixed.apply(picture, generator)
        if whole is not None and generator is not None:
            picture = whole.coloured(picture, generator)
        if self.resize is not None:
            picture = self.resize.apply(picture, generator)
        return picture if self.noise is None else self._noisy(self.noise, picture, what, generator)

    def _noisy(
        self, noise: PictureNoise, picture: Bytes, what: str, generator: np.random.Generator | None
    ) -> Bytes:
        reason = noise.fits(picture)
        if reason:
            raise self._bad(f"{what} {reason}")
        return noise.apply(picture, generator)

    def picture(self, pixels: Pixels, what: str) -> Bytes:
        """The pixels of a picture that is changed before it is cropped.

        Raises:
            NetcError: bad-record, where they are no bytes.
        """
        if pixels.dtype != np.uint8:
            raise self._bad(f"{what} has float numbers, and pictures that are changed have bytes")
        bytes_: Bytes = pixels.astype(np.uint8, copy=False)
        return bytes_

    def _place(self, above: int, beside: int, generator: np.random.Generator | None) -> list[int]:
        if generator is None or self.source.phase != "TRAIN" or self.augment.centered:
            return [above // 2, beside // 2]
        return [int(generator.integers(room + 1)) for room in (above, beside)]

    def _fitting(self, mean: Array, pixels: Pixels, what: str) -> Array:
        if mean.shape != pixels.shape:
            raise self._bad(f"{what} is {pixels.shape}, and the mean file is {mean.shape}")
        return mean

    def means(self, channels: int, what: str) -> Array:
        """The mean values, one for each channel or one for all: float32 (channels or 1, 1, 1)."""
        if len(self.values) not in (1, channels):
            raise self._bad(
                f"{what} has {channels} channels, and there are {len(self.values)} `mean_value`"
            )
        return np.array(self.values, np.float32).reshape(-1, 1, 1)

    def _bad(self, message: str) -> NetcError:
        return self.source.fault("bad-record", message)


def read_transform(source: DataLayer, also: Collection[str] = ()) -> Transform:
    """Read a layer's transform_param.

    Args:
        source: the layer.
        also: fields that this kind of layer obeys by itself.

    Raises:
        NetcError: conflicting-fields; file-not-found, for the mean file; what reading that raises.
    """
    param = source.layer.get("transform_param")
    _check_fields(source, also)
    for one, other in (("mean_file", "mean_value"), ("force_color", "force_gray")):
        if param.has(one) and param.get(one) and param.has(other) and param.get(other):
            raise source.fault(
                "conflicting-fields",
                f"`{one}` and `{other}` are both given",
                f"transform_param.{other}",
                "give one of them",
            )
    augment, mean = read_augment(source), None
    if param.has("mean_file"):
        span = param.span_of("mean_file")
        mean = load_mean(find(param.get("mean_file"), source.folder, "the mean", span))
    return Transform(
        source,
        np.float32(param.get("scale")),
        _crop(source),
        param.get("mirror"),
        tuple(param.get("mean_value")),
        mean if mean is None or mean.ndim == 3 else mean.reshape(mean.shape[-3:]),
        param.get("force_color"),
        param.get("force_gray"),
        augment,
        next(iter(read_resize(source, several="resize_param" in also)), None),
        read_noise(source),
    )


_KNOWN = frozenset(
    {
        "scale", "mirror", "crop_size", "crop_h", "crop_w", "mean_file", "mean_value",
        "force_color", "force_gray", "resize_param", "noise_param",
    }
) | FIELDS  # fmt: skip


def _check_fields(source: DataLayer, also: Collection[str]) -> None:
    """Refuse what some fork does to pictures and netc does not: it would change what is learned."""
    param = source.layer.get("transform_param")
    for name in param.entries:
        field = param.type.fields[name]
        plain = field.kind != "message" and param.get(name) == field.default
        if name not in _KNOWN and name not in also and not plain:
            raise source.fault(
                "unsupported-data-field",
                f"`{name}` is a field of some forks that netc does not read data by",
                f"transform_param.{name}",
                "remove it, or feed the net the arrays themselves",
            )


def _crop(source: DataLayer) -> tuple[int, int] | None:
    """One side for both, or a height and a width (a field of forks)."""
    param = source.layer.get("transform_param")
    size = param.get("crop_size")
    if isinstance(size, int) and size > 0:
        return size, size
    known = param.type.fields
    if "crop_h" in known and param.get("crop_h") and param.get("crop_w"):
        return param.get("crop_h"), param.get("crop_w")
    return None
