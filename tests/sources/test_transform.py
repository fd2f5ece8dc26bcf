"""transform_param by hand: what Caffe does at random, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.ir.graph import Array
from netc.sources.base import DataLayer, Epochs
from netc.sources.transform import Transform, read_transform

PICTURE = np.arange(2 * 5 * 6, dtype=np.uint8).reshape(2, 5, 6)


def transform(text: str, phase: str = "TRAIN", seed: int = 0) -> Transform:
    net = f'layer {{ name: "d" type: "Data" top: "d" transform_param {{ {text} }} }}'
    layer = read_net(Source("net.prototxt", net)).message.get("layer")[0]
    return read_transform(DataLayer(layer, phase, None, seed))


def is_part(part: Array, picture: Array) -> bool:
    high, wide = part.shape[1:]
    return any(
        np.array_equal(part, picture[:, y : y + high, x : x + wide])
        for y in range(picture.shape[1] - high + 1)
        for x in range(picture.shape[2] - wide + 1)
    )


def test_mean_and_scale() -> None:
    got = transform("mean_value: 1 mean_value: 2 scale: 0.5").apply(PICTURE, "it", 0, 0)
    want = (PICTURE - np.array([1, 2], np.float32)[:, None, None]) * np.float32(0.5)
    np.testing.assert_array_equal(got, want)


def test_the_centre_is_rounded_down_and_nothing_is_random_in_test_but_mirroring() -> None:
    got = transform("crop_size: 2", "TEST").apply(PICTURE, "it", 0, 0)
    np.testing.assert_array_equal(got, PICTURE[:, 1:3, 2:4])


def test_random_places_and_mirroring_cover_what_there_is_and_can_be_repeated() -> None:
    plain, mirrored = PICTURE.astype(np.float32), PICTURE[:, :, ::-1].astype(np.float32)
    kind = transform("crop_size: 3 mirror: true")
    found = [kind.apply(PICTURE, "it", 0, place) for place in range(200)]
    assert all(is_part(part, plain) or is_part(part, mirrored) for part in found)
    assert len({part.tobytes() for part in found}) == 2 * 3 * 4
    np.testing.assert_array_equal(found[7], kind.apply(PICTURE, "it", 0, 7))
    other = [transform("crop_size: 3", seed=1).apply(PICTURE, "it", 0, i) for i in range(20)]
    assert any((a != b).any() for a, b in zip(found, other, strict=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop_size: 6", "layer `d` (Data): it is 5x6, smaller than the crop 6x6"),
        (
            "mean_value: 1 mean_value: 2 mean_value: 3",
            "layer `d` (Data): it has 2 channels, and there are 3 `mean_value`",
        ),
    ],
)
def test_what_does_not_fit_is_told(text: str, message: str) -> None:
    with pytest.raises(NetcError) as caught:
        transform(text).apply(PICTURE, "it", 0, 0)
    assert [found.message for found in caught.value.diagnostics] == [message]


def test_two_means_are_refused() -> None:
    with pytest.raises(NetcError, match="`mean_file` and `mean_value` are both given"):
        transform('mean_file: "m.binaryproto" mean_value: 1')


@pytest.mark.parametrize("field", ["max_scaling_factor: 2", "rotate: true", "distort_param { }"])
def test_what_forks_do_and_netc_does_not_is_refused(field: str) -> None:
    with pytest.raises(NetcError, match="a field of some forks"):
        transform(field)


def test_each_epoch_has_every_record_once_in_an_order_of_its_own() -> None:
    epochs = Epochs(10, shuffle=True, seed=3, name="d")
    orders = [epochs.records(position, 10) for position in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert Epochs(10, shuffle=True, seed=3, name="d").records(1, 10) == orders[1]


SQUARE = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)


def all_of(text: str, picture: Array, phase: str = "TRAIN", count: int = 200) -> list[Array]:
    kind = transform(text, phase)
    found = [kind.apply(picture, "it", 0, place) for place in range(count)]
    np.testing.assert_array_equal(found[3], kind.apply(picture, "it", 0, 3))
    return found


def test_the_centre_in_training() -> None:
    for part in all_of("crop_size: 2 center_crop: true", PICTURE, count=5):
        np.testing.assert_array_equal(part, PICTURE[:, 1:3, 2:4])


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_pictures_upside_down(phase: str) -> None:
    found = {part.tobytes() for part in all_of("vertical_mirror: true", PICTURE, phase, 50)}
    plain = PICTURE.astype(np.float32)
    assert found == {plain.tobytes(), plain[:, ::-1].tobytes()}


def test_quarter_turns() -> None:
    found = {part.tobytes() for part in all_of("random_90_deg_rot: true", SQUARE)}
    plain = SQUARE.astype(np.float32)
    assert found == {np.rot90(plain, k, (1, 2)).tobytes() for k in range(4)}
    both = all_of("random_90_deg_rot: true mirror: true vertical_mirror: true", SQUARE)
    assert len({part.tobytes() for part in both}) == 8
    with pytest.raises(NetcError, match="only squares can be turned by 90°"):
        all_of("random_90_deg_rot: true", PICTURE)


def test_rectangles_of_noise() -> None:
    picture = np.full((3, 20, 30), 255, np.uint8)
    text = "erase_ratio: 0.5 scale_min: 0.1 scale_max: 0.5 aspect_min: 0.5 aspect_max: 1"
    text += " mean_value: 1"
    erased = []
    for part in all_of(text, picture):
        changed = (part != 254).any(axis=0)  # less the mean
        if changed.any():
            erased.append(part)
            rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
            assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert 3 <= len(columns) <= 15
            assert len(rows) <= len(columns)
    assert 70 < len(erased) < 130
    assert min(part.min() for part in erased) == -1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("erase_ratio: 2", "out-of-range"),
        ("erase_ratio: 0.5 scale_min: 0.6 scale_max: 0.2", "out-of-range"),
        ("erase_ratio: 0.5 scale_max: 1.5", "out-of-range"),
        ("erase_ratio: 0.5 aspect_min: -1", "out-of-range"),
        ("erase_ratio: nan", "out-of-range"),
        ('vertical_mirror: true mean_file: "m"', "conflicting-fields"),
        ("max_scaling_factor: 2", "unsupported-data-field"),
    ],
)
def test_augmentations_that_are_refused(text: str, code: str) -> None:
    with pytest.raises(NetcError) as caught:
        transform(text)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert found.span is not None
