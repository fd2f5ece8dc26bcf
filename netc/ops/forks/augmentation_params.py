"""How FlowNet 2's layers draw the coefficients of a picture's augmentation.

augmentation_layer_base.cpp and util/rng.cpp of lmb-freiburg/flownet2 (Ilg et al. 2017). A
picture's coefficients lie in a row of 42, those whose neutral value is 1 by their logarithms, so
that rows add up to one augmentation after the other. The random numbers are netc's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netc.numeric import np
from netc.ops.array import AnyArray
from netc.ops.numbers import one_of
from netc.schema.message import Message

# The coefficients in order, and what leaves a picture as it is.
NEUTRAL: Mapping[str, float] = {
    **dict.fromkeys(("mirror", "dx", "dy", "angle"), 0.0),
    **dict.fromkeys(("zoom_x", "zoom_y", "gamma"), 1.0),
    "brightness": 0.0,
    **dict.fromkeys(("contrast", "color1", "color2", "color3"), 1.0),
    **{f"{kind}_{mean}{axis}": float(kind != "add") for mean in ("nomean", "withmean")
       for kind in ("pow", "add", "mult") for axis in range(3)},
    "lmult_pow": 1.0, "lmult_add": 0.0, "lmult_mult": 1.0, "col_angle": 0.0,
    **dict.fromkeys(("fog_amount", "fog_size", "motion_blur_angle", "motion_blur_size",
                     "shadow_angle", "shadow_distance", "shadow_strength", "noise"), 0.0),
}  # fmt: skip
COEFFICIENTS = len(NEUTRAL)
_TRIES = 50
_NEAR = 1e-3  # a coefficient this near to the neutral one counts as that
_KINDS = ("uniform", "gaussian", "bernoulli", "uniform_bernoulli", "gaussian_bernoulli")

SPATIAL = ("mirror", "translate", "rotate", "zoom", "squeeze", "translate_x", "translate_y")
CHROMATIC = ("gamma", "brightness", "contrast", "color")
EIGEN = ("ladd_pow", "col_pow", "ladd_add", "col_add", "ladd_mult", "col_mult", "sat_pow",
         "sat_add", "sat_mult", "lmult_pow", "lmult_mult", "lmult_add", "col_rotate")  # fmt: skip
EFFECTS = ("fog_amount", "fog_size", "motion_blur_angle", "motion_blur_size", "shadow_angle",
           "shadow_distance", "shadow_strength", "noise")  # fmt: skip
DISTRIBUTIONS = (*SPATIAL, *CHROMATIC, *EIGEN, *EFFECTS)


@dataclass(frozen=True, slots=True)
class NumberDistribution:
    """A RandomGeneratorParameter: what a coefficient is drawn from."""

    kind: str
    exp: bool
    mean: float
    spread: float
    prob: float
    scheduled: bool
    whole: bool
    times: float


def parse_distributions(param: Message) -> dict[str, NumberDistribution]:
    """The distributions that an AugmentationParameter gives, by their fields.

    Raises:
        NetcError: unsupported-value, for a kind that the fork does not know.
    """
    found = {}
    for name in DISTRIBUTIONS:
        if param.has(name):
            p = param.get(name)
            numbers = (p.get(n) for n in ("exp", "mean", "spread", "prob", "apply_schedule",
                                          "discretize", "multiplier"))  # fmt: skip
            found[name] = NumberDistribution(one_of(p, "rand_type", _KINDS), *numbers)
    return found


class Draw:
    """The random numbers of one picture, taken in order from uniform ones."""

    def __init__(self, uniform: AnyArray, discount: float) -> None:
        self._left = iter(uniform.astype(np.float64).tolist())
        self.discount = discount

    def _normal(self) -> float:
        radius = math.sqrt(-2 * math.log(1 - next(self._left)))
        return radius * math.cos(2 * math.pi * next(self._left))

    def of(self, given: NumberDistribution, otherwise: float | None = None) -> float:
        """A number; ``otherwise`` where the distribution's chance (``prob``) does not come true."""
        kind, _, chance = given.kind.partition("_")
        if kind == "bernoulli" or chance:
            hit = given.prob > 0 and next(self._left) < given.prob
            if kind == "bernoulli":
                return self._finished(given, float(hit))
            if not hit and otherwise is not None:
                return otherwise
            if not hit:
                return self._finished(given, 1.0 if given.exp else 0.0)
        spread = given.spread * (self.discount if given.scheduled else 1)
        value = given.mean
        if spread > 0:
            value += spread * (self._normal() if kind == "gaussian" else 2 * next(self._left) - 1)
        return self._finished(given, math.exp(value) if given.exp else value)

    def _finished(self, given: NumberDistribution, value: float) -> float:
        return given.times * (math.floor(value + 0.5) if given.whole else value)


NUMBERS = 3 * (9 * _TRIES + 4 * len(DISTRIBUTIONS))  # uniform ones that a picture may need


def row_of(coefficients: Mapping[str, float]) -> AnyArray:
    """A row of coefficients, (42,); those that are not given are neutral."""
    row = np.zeros(COEFFICIENTS)
    for at, (name, neutral) in enumerate(NEUTRAL.items()):
        value = coefficients.get(name, neutral)
        row[at] = value if not neutral else math.log(value) if value > 0 else -math.inf
    return row


def coefficients_of(row: AnyArray, rounded: bool) -> dict[str, float]:
    """The coefficients of a row; ``rounded`` takes those that are nearly neutral for neutral."""
    found = {}
    for value, (name, neutral) in zip(row.tolist(), NEUTRAL.items(), strict=True):
        own = math.exp(value) if neutral else value
        found[name] = neutral if rounded and abs(own - neutral) < _NEAR else own
    return found


Given = Mapping[str, NumberDistribution]


def _spatial(given: Given, draw: Draw) -> dict[str, float]:
    found: dict[str, float] = {}
    if "mirror" in given:
        kept, draw.discount = draw.discount, 0.0  # so the fork calls it
        found["mirror"], draw.discount = float(draw.of(given["mirror"]) != 0), kept
    for name, fields in (("translate", ("dx", "dy")), ("translate_x", ("dx",)),
                         ("translate_y", ("dy",)), ("rotate", ("angle",))):  # fmt: skip
        if name in given:
            found.update((field, draw.of(given[name], 0.0)) for field in fields)
    if "zoom" in given:
        found["zoom_x"] = found["zoom_y"] = draw.of(given["zoom"], 1.0)
    if "squeeze" in given:
        by = draw.of(given["squeeze"], 1.0)
        found["zoom_x"] = found.get("zoom_x", 1.0) * by
        found["zoom_y"] = found.get("zoom_y", 1.0) / by
    return found


def inside_spatial(
    given: Given, draw: Draw, row: AnyArray, size: tuple[int, int], crop: tuple[int, int]
) -> AnyArray:
    """``row`` with a drawn map that leaves no corner of the crop outside of the picture.

    After 50 tries it is ``row`` itself. Sizes are height and width.
    """
    for attempt in range(_TRIES):
        found = row + row_of(_spatial(given, draw))
        matrix = transform(coefficients_of(found, rounded=False), size, crop)
        ends = [(x, y) for x in (0, crop[1] - 1) for y in (0, crop[0] - 1)]
        if all(_is_inside(matrix @ (x, y, 1), size) for x, y in ends) and attempt < _TRIES - 1:
            return found
    return row


def _is_inside(at: AnyArray, size: tuple[int, int]) -> bool:
    x, y = np.floor(at).tolist()
    result: bool = 0 <= x <= size[1] - 2 and 0 <= y <= size[0] - 2
    return result


def transform(given: Mapping[str, float], size: tuple[int, int], crop: tuple[int, int]) -> AnyArray:
    """The map from the crop's x and y to those of the picture, (2, 3)."""
    (height, width), (high, wide) = size, crop
    flip = -1.0 if given["mirror"] else 1.0
    cos, sin = math.cos(given["angle"]), math.sin(given["angle"])
    centred = np.array([[flip, 0, -flip * wide / 2], [0, 1, -high / 2], [0, 0, 1]])
    turned = np.array([[cos, -sin, given["dx"] * wide], [sin, cos, given["dy"] * high], [0, 0, 1]])
    zoomed = np.array([[1 / given["zoom_x"], 0, width / 2], [0, 1 / given["zoom_y"], height / 2]])
    made: AnyArray = zoomed @ turned @ centred
    return made


def _chromatic(given: Given, draw: Draw) -> dict[str, float]:
    found = {n: draw.of(given[n]) for n in ("gamma", "brightness", "contrast") if n in given}
    if "color" in given:
        found.update((f"color{n}", draw.of(given["color"])) for n in (1, 2, 3))
    return found


def _eigen(given: Given, draw: Draw) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind in ("pow", "add", "mult"):
        if f"ladd_{kind}" in given:
            found[f"{kind}_nomean0"] = draw.of(given[f"ladd_{kind}"])
        if f"col_{kind}" in given:
            found.update((f"{kind}_nomean{n}", draw.of(given[f"col_{kind}"])) for n in (1, 2))
    for kind in ("pow", "add", "mult"):
        if f"sat_{kind}" in given:
            found[f"{kind}_withmean1"] = draw.of(given[f"sat_{kind}"])
            found[f"{kind}_withmean2"] = found[f"{kind}_withmean1"]
    for name in ("lmult_pow", "lmult_mult", "lmult_add"):
        if name in given:
            found[name] = draw.of(given[name])
    if "col_rotate" in given:
        found["col_angle"] = draw.of(given["col_rotate"])
    return found


def _effects(given: Given, draw: Draw) -> dict[str, float]:
    """Those of a group are drawn together: one that no text gives is 0."""
    found: dict[str, float] = {}
    for group in (EFFECTS[:2], EFFECTS[2:4], EFFECTS[4:7]):
        if any(name in given for name in group):
            found.update((n, draw.of(given[n], 0.0) if n in given else 0.0) for n in group)
    if "noise" in given:
        found["noise"] = draw.of(given["noise"])
    return found


Group = tuple[Sequence[str], Callable[[Given, Draw], dict[str, float]]]
COLOURS: tuple[Group, ...] = (
    (CHROMATIC, _chromatic),
    (EIGEN, _eigen),
    (EFFECTS, _effects),
)
