"""Whole batches at once, and decoded records that are kept: the numbers of one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.memory import Budget, using
from netc.sources.batch_transform import goes_together, size_of, transformed, try_shape
from netc.sources.decoded import DecodedRecords
from netc.sources.records import ImageRecord
from tests.sources.test_transform import transform

RANDOM = np.random.default_rng(0)
BYTES = list(RANDOM.integers(0, 256, (5, 3, 7, 8), np.uint8))
FLOATS = list(RANDOM.standard_normal((5, 3, 7, 8), np.float32))
TEXTS = [
    "",
    "scale: 0.3",
    "mean_value: 3 scale: 0.1",
    "mean_value: 3 mean_value: 4 mean_value: 5.5 mirror: true",
    "crop_size: 4 mirror: true scale: 2",
    "crop_size: 4 mean_value: 100",
    "mirror: true",
    'mean_file: "{mean}" mirror: true',
    'mean_file: "{mean}" crop_size: 5 mirror: true scale: 0.5',
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("pictures", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_a_batch_is_its_pictures(text: str, phase: str, pictures: list, tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", FLOATS[0] * 50)
    kind = transform(text.replace("{mean}", str(tmp_path / "mean.npy")), phase)
    assert goes_together(kind)
    made = transformed(kind, pictures, lambda: ["it"] * 5, 3)
    assert size_of(kind, pictures[0]) == made[0].nbytes
    for number, picture in enumerate(pictures):
        if kind.generator(3) is None:
            assert_same(made[number], kind.apply(picture, "it", 3, number))
        else:  # as one of the choices that a picture alone may make
            ways = [kind.apply(picture, "it", 0, place) for place in range(200)]
            assert any(np.array_equal(made[number], way) for way in ways)


def test_random_choices_follow_from_the_pass_and_differ_within_it() -> None:
    pictures = [BYTES[0]] * 200
    kind = transform("crop_size: 6 mirror: true")
    one, two = (transformed(kind, pictures, list, 1) for _ in range(2))
    assert_same(one, two)
    assert len({row.tobytes() for row in one}) == 2 * 2 * 3  # mirrored or not, places of a corner
    assert not np.array_equal(one, transformed(kind, pictures, list, 2))
    other = transform("crop_size: 6 mirror: true", seed=1)
    assert not np.array_equal(one, transformed(other, pictures, list, 1))


assert_same = np.testing.assert_array_equal


@pytest.mark.parametrize(
    "text",
    [
        "center_crop: true crop_size: 4",
        "vertical_mirror: true",
        "resize_param { height: 4 width: 4 }",
    ],
)
def test_what_is_augmented_is_not_done_together(text: str) -> None:
    assert not goes_together(transform(text))


def test_pictures_of_several_sizes_are_cropped_to_one_or_refused() -> None:
    pictures = [BYTES[0], BYTES[1][:, :6]]
    cut = transformed(transform("crop_size: 4"), pictures, lambda: ["one", "two"], 0)
    assert cut.shape == (2, 3, 4, 4)
    with pytest.raises(NetcError, match="of the same batch is"):
        transformed(transform(""), pictures, lambda: ["one", "two"], 0)


def test_a_picture_that_does_not_fit_is_named_each_time() -> None:
    kind = transform("crop_size: 8")
    for _ in range(2):
        with pytest.raises(NetcError, match="it is 7x8, smaller than the crop 8x8"):
            try_shape(kind, BYTES[0], "it", 0, 0)


def records(count: int) -> list[ImageRecord]:
    return [ImageRecord(np.full((1, 1, 1 << 20), n, np.uint8), n) for n in range(count)]


def test_records_are_decoded_once_while_there_is_room() -> None:
    made = records(20)
    kept, decoded = DecodedRecords(limit=12 << 20), []

    def make(number: int) -> ImageRecord:
        decoded.append(number)
        return made[number]

    for _ in range(2):
        for number in range(20):
            assert kept.get(number, lambda number=number: make(number)).label == number
    assert len(kept) == 11 and sorted(decoded) == sorted(
        [*range(11), *range(11, 20), *range(11, 20)]
    )


def test_a_budget_without_room_keeps_none() -> None:
    with using(Budget(10 << 20)):
        kept = DecodedRecords()
        kept.get(0, lambda: records(1)[0])
        assert len(kept) == 0


def test_a_budget_counts_what_is_kept() -> None:
    own = Budget(64 << 20)
    with using(own):
        kept = DecodedRecords()
        kept.get(0, lambda: records(1)[0])
        assert len(kept) == 1 and own.held >= 1 << 20
        del kept
        assert own.held == 0


def test_a_record_that_cannot_be_read_is_asked_for_again() -> None:
    kept, asked = DecodedRecords(), []

    def broken() -> ImageRecord:
        asked.append(1)
        raise ValueError("broken")

    for _ in range(2):
        with pytest.raises(ValueError):
            kept.get(0, broken)
    assert len(asked) == 2
