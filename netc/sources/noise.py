"""noise_param of SSD's Caffe: effects on whole pictures, each one that is asked for.

weiliu89/caffe@ssd src/caffe/util/im_transforms.cpp, ApplyNoise, and data_transformer.cpp: in both
phases, behind `resize_param` and before the crop, in the order of the fields below. `prob` and
`all_effects` stand in that message and are read by nobody, and so they are here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from netc.schema.message import Message
from netc.sources.base import DataLayer, check_known
from netc.sources.colour import to_hsv
from netc.sources.equalize import adaptive, equalized, grey
from netc.sources.filters import eroded, gaussian
from netc.sources.pixels import Bytes

_BLUR = (7, 1.5)  # pixels, sigma
_CLIP_LIMIT = 4.0
_LEVELS = 64  # bytes that posterizing makes one of
_FIELDS = frozenset(
    {
        "prob", "all_effects", "decolorize", "gauss_blur", "hist_eq", "clahe", "jpeg", "erode",
        "posterize", "inverse", "saltpepper", "saltpepper_param", "convert_to_hsv",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PictureNoise:
    """What is done to each picture.

    Args:
        effects: names of the fields that are true.
        jpeg: the quality in which it is encoded and decoded again, from 1 to 100; 0 for not.
        fraction: of the pixels that `saltpepper` replaces; some may be drawn twice.
        values: by which, one for all channels or one for each.
    """

    effects: frozenset[str]
    jpeg: int = 0
    fraction: float = 0.0
    values: tuple[int, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether anything is chosen at random."""
        return "saltpepper" in self.effects

    def fits(self, picture: Bytes) -> str:
        """Why a picture cannot be changed; empty where it can."""
        coloured = self.effects & {"decolorize", "convert_to_hsv"} or self.jpeg
        if coloured and len(picture) != 3:
            return f"has {len(picture)} channels, and `noise_param` asks for one of colours"
        if self.draws and len(self.values) not in (1, len(picture)):
            return f"has {len(picture)} channels, and `saltpepper_param` {len(self.values)} values"
        return ""

    def apply(self, picture: Bytes, generator: np.random.Generator | None) -> Bytes:
        """The picture, (channels, height, width), changed."""
        for name, change in _BEFORE_JPEG:
            picture = change(picture) if name in self.effects else picture
        if self.jpeg:
            picture = _recoded(picture, self.jpeg)
        for name, change in _BEHIND_JPEG:
            picture = change(picture) if name in self.effects else picture
        if self.draws and generator is not None:
            picture = self._salted(picture, generator)
        return to_hsv(picture) if "convert_to_hsv" in self.effects else picture

    def _salted(self, picture: Bytes, generator: np.random.Generator) -> Bytes:
        _, height, width = picture.shape
        number = int(np.float32(self.fraction) * width * height)
        columns, rows = (
            generator.integers(width, size=number),
            generator.integers(height, size=number),
        )
        picture = picture.copy()
        picture[:, rows, columns] = np.array(self.values, np.uint8)[:, None]
        return picture


_BEFORE_JPEG = (
    ("decolorize", lambda picture: np.repeat(grey(picture)[None], 3, 0)),
    ("gauss_blur", lambda picture: gaussian(picture, *_BLUR)),
    ("hist_eq", equalized),
    ("clahe", lambda picture: adaptive(picture, _CLIP_LIMIT)),
)
_BEHIND_JPEG = (
    ("erode", eroded),
    ("posterize", lambda picture: picture // _LEVELS * _LEVELS + _LEVELS // 2),
    ("inverse", np.bitwise_not),
)


def _recoded(picture: Bytes, quality: int) -> Bytes:
    """A BGR picture as JPEG keeps it."""
    from PIL import Image

    file = io.BytesIO()
    colours = np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))
    Image.fromarray(colours).save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file), np.uint8)
    return np.ascontiguousarray(decoded.transpose(2, 0, 1)[::-1])


def read_noise(source: DataLayer) -> PictureNoise | None:
    """The `noise_param` of a layer's transform_param; None where there is none.

    Raises:
        NetcError: unsupported-data-field, for `convert_to_lab`, after which that Caffe reads bytes
            of floats, and fields of other forks; out-of-range, for a quality or a fraction.
    """
    param = source.layer.get("transform_param")
    if "noise_param" not in param.type.fields or not param.has("noise_param"):
        return None
    noise: Message = param.get("noise_param")
    check_known(source, noise, _FIELDS)
    switches = [name for name in noise.entries if noise.type.fields[name].kind == "bool"]
    effects = frozenset(name for name in switches if noise.get(name)) - {"all_effects"}
    quality, salt = int(noise.get("jpeg")), noise.get("saltpepper_param")
    fraction = float(salt.get("fraction"))
    _check(source, noise, "jpeg", quality, 100)
    _check(source, salt, "fraction", fraction, 1)
    values = tuple(int(value) % 256 for value in salt.get("value"))
    return PictureNoise(effects, max(quality, 0), fraction, values)


def _check(source: DataLayer, message: Message, name: str, value: float, most: float) -> None:
    if value > most or (name == "fraction" and value < 0):
        text = f"layer `{source.name}`: `{name}` is {value:g}, and {most:g} is the most"
        raise message.error(name, "out-of-range", text)
