"""Crops that batch samplers draw, and boxes on crops, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from netc.sources.boxes import WHOLE, Box
from netc.sources.samplers import Sampler


def box(*sides: float) -> Box:
    return Box(*map(np.float32, sides))


def test_what_two_boxes_have_in_common() -> None:
    one, other = box(0, 0, 0.5, 0.5), box(0.25, 0.25, 0.75, 0.5)
    assert one.shared(other) == box(0.25, 0.25, 0.5, 0.5)
    assert one.overlap(other) == pytest.approx(0.0625 / (0.25 + 0.125 - 0.0625))
    assert one.covered(other) == pytest.approx(0.25)
    assert other.covered(one) == pytest.approx(0.5)
    assert one.overlap(box(0.5, 0, 1, 1)) == 0  # they touch
    assert one.covered(box(0.6, 0, 1, 1)) == 0
    assert box(0.5, 0, 0.25, 1).size == 0


def test_a_box_on_a_crop() -> None:
    crop = box(0.25, 0.5, 0.75, 1)
    assert box(0.5, 0.25, 1, 0.75).onto(crop) == box(0.5, 0, 1, 0.5)
    assert box(0, 0, 0.25, 1).onto(crop) is None
    assert box(0.3, 0.1, 0.4, 0.5).onto(crop) is None
    larger = box(-0.5, -1, 1.5, 1)  # an expanded picture
    assert box(0, 0, 1, 1).onto(larger) == box(0.25, 0.5, 0.75, 1)


@pytest.mark.parametrize("aspect", [(0.5, 2.0), (1.0, 1.0), (0.1, 10.0)])
def test_crops_lie_on_the_picture(aspect: tuple[float, float]) -> None:
    sampler = Sampler((0.1, 1.0), aspect, trials=200)
    crops = sampler.crops([], np.random.default_rng(0))
    assert len(crops) == 200
    for crop in crops:
        assert all(-1e-6 <= side <= 1 + 1e-6 for side in crop)
        shape = (crop.xmax - crop.xmin) / (crop.ymax - crop.ymin)
        assert aspect[0] * 0.999 <= shape <= aspect[1] * 1.001
        # The area is that of a square of the scale, whatever the shape.
        assert 0.01 * 0.999 <= crop.size <= 1.001


def test_as_many_as_are_wanted_of_those_that_fit() -> None:
    thing = box(0.2, 0.2, 0.6, 0.6)
    limits = {"jaccard_overlap": (0.3, 0.7)}
    sampler = Sampler((0.2, 1.0), (0.5, 2.0), limits, most=4, trials=500)
    crops = sampler.crops([thing], np.random.default_rng(1))
    assert len(crops) == 4
    assert all(0.3 <= crop.overlap(thing) <= 0.7 for crop in crops)
    none = Sampler((0.2, 0.3), (1.0, 1.0), {"object_coverage": (0.9, None)}, trials=50)
    assert none.crops([WHOLE], np.random.default_rng(1)) == []


def test_the_default_is_the_whole_picture() -> None:
    (crop,) = Sampler(most=1, trials=1).crops([], np.random.default_rng(0))
    assert crop == WHOLE


CROP = box(0, 0, 0.5, 0.5)
INSIDE, HALF, AWAY = box(0, 0, 0.5, 0.25), box(0.25, 0, 0.75, 0.5), box(0.6, 0.6, 1, 1)


@pytest.mark.parametrize(
    ("limits", "things", "want"),
    [
        ({}, [], True),
        ({"jaccard_overlap": (0.1, None)}, [], False),
        ({"jaccard_overlap": (0.5, None)}, [AWAY, INSIDE], True),
        ({"jaccard_overlap": (0.6, None)}, [AWAY, INSIDE], False),
        ({"jaccard_overlap": (None, 0.0)}, [INSIDE, AWAY], True),
        ({"sample_coverage": (0.5, None)}, [HALF], True),
        ({"object_coverage": (0.9, None)}, [HALF], False),
        ({"object_coverage": (0.9, None)}, [HALF, INSIDE], True),
        # Once an object has met an earlier constraint, that is remembered (sampler.cpp, `found`).
        ({"jaccard_overlap": (0.1, None), "object_coverage": (0.9, None)}, [HALF], True),
        ({"jaccard_overlap": (0.9, None), "object_coverage": (0.9, None)}, [HALF], False),
    ],
)
def test_which_crops_are_taken(
    limits: dict[str, tuple[float | None, float | None]], things: list[Box], want: bool
) -> None:
    assert Sampler(limits=limits).accepts(CROP, things) is want
