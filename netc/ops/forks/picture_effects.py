"""What FlowNet 2's augmentation does to a picture's colours (data_augmentation_layer.cu).

Pictures are float arrays (3, height, width), coefficients by name as in ``augmentation_params``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netc.numeric import np
from netc.ops.array import AnyArray
from netc.ops.forks.augmentation_params import NEUTRAL

Coefficients = Mapping[str, float]
_LEAST = 1e-2  # an extent or a length smaller than this is not divided by
_CHROMATIC = ("gamma", "brightness", "contrast", "color1", "color2", "color3")
_EIGEN = tuple(n for n in NEUTRAL if "mean" in n or n.startswith("lmult") or n == "col_angle")


def needs_chromatic(own: Coefficients) -> bool:
    """Whether colours, brightness or contrast change."""
    return any(own[name] != NEUTRAL[name] for name in _CHROMATIC)


def needs_eigen(own: Coefficients) -> bool:
    """Whether anything changes along the eigenvectors of the colours."""
    return any(own[name] != NEUTRAL[name] for name in _EIGEN)


def needs_effects(own: Coefficients) -> bool:
    """Whether there is fog, blur, a shadow or noise; the fork computes the last two."""
    fog = own["fog_amount"] != 0 and own["fog_size"] != 0
    return fog or own["motion_blur_size"] > 0 or own["shadow_strength"] > 0 or own["noise"] > 0


def chromatic(picture: AnyArray, own: Coefficients, most: float) -> AnyArray:
    """Colours, gamma, brightness and contrast; the colours leave the sum of a pixel as it is."""
    factors = np.array([own[f"color{n}"] for n in (1, 2, 3)]).reshape(3, 1, 1)
    changed = picture * factors
    level = picture.sum(axis=0) / (changed.sum(axis=0) + 0.01)
    changed = np.clip(changed * level, 0, 1) ** own["gamma"] + own["brightness"]
    made: AnyArray = np.clip(0.5 + (changed - 0.5) * own["contrast"], 0, most)
    return made


class EigenSpace(NamedTuple):
    """The eigenvectors in rows, the batch's mean colour, both means' parts and extents."""

    axes: AnyArray
    mean: AnyArray
    centre: AnyArray
    extent: AnyArray

    @property
    def length(self) -> float:
        """Of the extents' diagonal."""
        return float(np.sqrt((self.extent**2).sum()))


def eigen_space(data: AnyArray, axes: AnyArray) -> EigenSpace:
    """The space of a batch (num, 3, height, width)."""
    mean = data.mean(axis=(0, 2, 3), dtype=np.float64)
    parts = np.einsum("kc,nchw->nkhw", axes, data)
    extent = np.abs(parts).max(axis=(0, 2, 3))
    centre = axes @ mean
    centre = np.where(extent > _LEAST, centre / np.where(extent > _LEAST, extent, 1), centre)
    return EigenSpace(axes, mean, centre, extent)


def _changed(part: AnyArray, own: Coefficients, name: str) -> AnyArray:
    power, plus, times = (own[f"{kind}_{name}"] for kind in ("pow", "add", "mult"))
    made: AnyArray = (np.copysign(np.abs(part) ** power, part) + plus) * times
    return made


def eigen_chromatic(
    picture: AnyArray, own: Coefficients, space: EigenSpace, most: float
) -> AnyArray:
    """Brightness, saturation and colours along the eigenvectors."""
    wide = space.extent > _LEAST
    parts = np.tensordot(space.axes, picture - space.mean.reshape(3, 1, 1), 1)
    for n in np.flatnonzero(wide):
        parts[n] = _changed(parts[n] / space.extent[n], own, f"nomean{n}")
    parts = parts + space.centre.reshape(3, 1, 1)
    if wide[0]:
        parts[0] = _changed(parts[0], own, "withmean0")
    strong = np.hypot(parts[1], parts[2])
    coloured = strong > _LEAST
    power, plus, times = (own[f"{kind}_withmean1"] for kind in ("pow", "add", "mult"))
    wanted = np.where(coloured, np.maximum(strong**power + plus, 0) * times, strong)
    if own["col_angle"]:
        cos, sin = np.cos(own["col_angle"]), np.sin(own["col_angle"])
        parts[1:] = cos * parts[1] - sin * parts[2], sin * parts[1] + cos * parts[2]
    parts = np.where(wide.reshape(3, 1, 1), parts * space.extent.reshape(3, 1, 1), parts)
    parts = _brightened(parts, own, space, np.where(coloured, wanted / strong, 1))
    made = np.tensordot(space.axes.T, parts, 1)
    result: AnyArray = np.maximum(np.minimum(made, most), 0)
    return result


def _brightened(
    parts: AnyArray, own: Coefficients, space: EigenSpace, saturation: AnyArray
) -> AnyArray:
    """Saturation, then each pixel's length, by what the length was before the saturation."""
    before = np.sqrt((parts**2).sum(axis=0))
    parts = np.concatenate([parts[:1], parts[1:] * saturation])
    if space.length <= _LEAST:
        return parts
    now = np.sqrt((parts**2).sum(axis=0))
    wanted = (before / space.length) ** own["lmult_pow"] + own["lmult_add"]
    wanted = np.maximum(wanted, 0) * own["lmult_mult"] * space.length
    far = now > _LEAST
    scaled = np.minimum(parts / np.where(far, now, 1) * wanted, space.extent.reshape(3, 1, 1))
    return np.where(far, scaled, parts)


def effects(
    pictures: AnyArray, own: Sequence[Coefficients], most: float, drawn: AnyArray
) -> AnyArray:
    """A shadow on one side of a line, values within their bounds, and noise.

    ``drawn`` are uniform numbers, two for each element of the pictures.
    """
    y, x = np.mgrid[: pictures.shape[2], : pictures.shape[3]]
    y, x = y - pictures.shape[2] // 2, x - pictures.shape[3] // 2
    normal = np.sqrt(-2 * np.log(1 - drawn[0])) * np.cos(2 * np.pi * drawn[1])
    made = []
    for picture, each, noise in zip(pictures, own, normal, strict=True):
        line = x * np.cos(each["shadow_angle"]) + y * np.sin(each["shadow_angle"])
        dark = (line - each["shadow_distance"] > 0) * each["shadow_strength"]
        plain = np.clip(picture - dark, 0, most)
        made.append(plain + noise * each["noise"] if each["noise"] > 0 else plain)
    return np.stack(made)
