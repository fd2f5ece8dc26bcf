"""``caffe.io``: numbers worked out by hand, and pycaffe's order of operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc.compat.pycaffe as caffe
from netc.compat.pycaffe.proto import caffe_pb2
from netc.diagnostics import NetcError

SHAPE = (1, 3, 2, 2)


def transformer() -> caffe.io.Transformer:
    made = caffe.io.Transformer({"data": SHAPE})
    made.set_transpose("data", (2, 0, 1))
    return made


def rgb(red: float, green: float, blue: float, size: tuple[int, int] = (2, 2)) -> Any:
    return np.full((*size, 3), (red, green, blue), dtype=np.float32)


def test_the_order_of_operations_is_pycaffes() -> None:
    made = transformer()
    made.set_input_scale("data", 0.5)  # in any order of calls
    made.set_mean("data", np.array([1, 2, 3]))
    made.set_raw_scale("data", 255)
    made.set_channel_swap("data", (2, 1, 0))
    given = made.preprocess("data", rgb(0.2, 0.4, 0.6))
    # red 51, green 102, blue 153; swapped: 153, 102, 51; less 1, 2, 3; halved
    assert given.shape == SHAPE[1:] and given.dtype == np.float32
    np.testing.assert_allclose(given[:, 1, 1], [76, 50, 24], rtol=1e-6)
    back = made.deprocess("data", given[np.newaxis])
    np.testing.assert_allclose(back, rgb(0.2, 0.4, 0.6), rtol=1e-6)


def test_three_channels_in_a_cycle_come_back_too() -> None:
    made = transformer()
    made.set_channel_swap("data", (1, 2, 0))
    image = rgb(1, 2, 3)
    assert made.preprocess("data", image)[:, 0, 0].tolist() == [2, 3, 1]
    assert np.array_equal(made.deprocess("data", made.preprocess("data", image)), image)


def test_an_image_of_floats_is_changed_in_place_as_in_pycaffe_unless_it_was_copied() -> None:
    made = transformer()
    made.set_raw_scale("data", 2)
    made.set_mean("data", np.ones(3))
    image, doubles, fixed = rgb(1, 2, 3), rgb(1, 2, 3).astype(float), rgb(1, 2, 3)
    fixed.flags.writeable = False
    for given in (image, doubles, fixed):
        assert made.preprocess("data", given)[:, 0, 0].tolist() == [1, 3, 5]
    assert image[0, 0].tolist() == [1, 3, 5]
    assert np.array_equal(doubles, rgb(1, 2, 3)) and np.array_equal(fixed, rgb(1, 2, 3))
    made.set_channel_swap("data", (2, 1, 0))  # which copies
    made.preprocess("data", image)
    assert image[0, 0].tolist() == [1, 3, 5]


def test_what_is_undone_keeps_its_type() -> None:
    made = transformer()
    made.set_raw_scale("data", 2)
    image = rgb(1, 2, 3).transpose(2, 0, 1)
    assert made.deprocess("data", image).dtype == np.float32
    assert made.deprocess("data", image.astype(float)).dtype == np.float64
    with pytest.raises(TypeError, match="floating-point"):
        made.deprocess("data", image.astype(np.uint8))


def test_an_order_that_is_none_is_told_when_it_is_used() -> None:
    made = transformer()
    made.set_channel_swap("data", (1, 0, 3))
    with pytest.raises(IndexError, match="order"):
        made.preprocess("data", rgb(1, 2, 3))
    made.set_transpose("data", (2, 0, 0))
    with pytest.raises(ValueError, match="order"):
        made.preprocess("data", rgb(1, 2, 3))


def test_inputs_that_are_no_images_may_be_among_the_inputs() -> None:
    made = caffe.io.Transformer({"data": SHAPE, "im_info": (1, 3)})
    made.set_transpose("data", (2, 0, 1))
    assert made.preprocess("data", rgb(1, 2, 3)).shape == SHAPE[1:]


def test_nothing_set_leaves_an_image_as_it_is() -> None:
    image = rgb(1, 2, 3)
    plain = caffe.io.Transformer({"data": SHAPE})
    assert np.array_equal(plain.preprocess("data", image), image)


def test_bytes_are_taken_as_they_are() -> None:
    image = rgb(1, 2, 3).astype(np.uint8)
    assert transformer().preprocess("data", image)[:, 0, 0].tolist() == [1, 2, 3]


def test_an_image_of_another_size_is_resized_first() -> None:
    image = np.zeros((4, 4, 3), dtype=np.float32)
    image[:2, :2] = 8
    image[2:, 2:, 1] = 4
    given = transformer().preprocess("data", image)
    assert given[0].tolist() == [[8, 0], [0, 0]] and given[1].tolist() == [[8, 0], [0, 4]]


def test_a_mean_image_is_brought_to_the_inputs_size() -> None:
    mean = np.zeros((3, 4, 4))
    mean[1, :2] = 6
    made = transformer()
    made.set_mean("data", mean)
    given = made.preprocess("data", rgb(10, 10, 10))
    assert given[0].tolist() == [[10, 10], [10, 10]] and given[1].tolist() == [[4, 4], [10, 10]]
    made.set_mean("data", np.array([[[1, 2], [3, 4]]]))  # one plane for all channels
    assert made.preprocess("data", rgb(10, 10, 10))[2].tolist() == [[9, 8], [7, 6]]
    for wrong in (np.ones((2, 2)), np.ones((1, 2)), np.ones((1, 3, 2, 2)), np.ones(2)):
        with pytest.raises(ValueError, match="bad-mean"):  # a mean of one axis too few or many
            made.set_mean("data", wrong)
    grey = caffe.io.Transformer({"data": (1, 1, 2, 2)})
    grey.set_mean("data", np.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda t: caffe.io.resize_image(rgb(1, 2, 3), 5), "bad-argument"),
        (lambda t: caffe.io.resize_image(rgb(1, 2, 3), (-1, 5)), "bad-argument"),
        (lambda t: caffe.io.oversample([], (1, 1)), "bad-argument"),
        (lambda t: t.preprocess("dat", rgb(1, 1, 1)), "unknown-input"),
        (lambda t: t.deprocess("dat", rgb(1, 1, 1)), "unknown-input"),
        (lambda t: t.set_mean("dat", 1), "unknown-input"),
        (lambda t: t.set_transpose("data", (2, 0)), "bad-argument"),
        (lambda t: t.set_mean("data", [1, 2, 3]), "bad-argument"),
        (lambda t: t.preprocess("data", [[1]]), "bad-argument"),
        (lambda t: t.set_channel_swap("data", (1, 0)), "bad-argument"),
        (lambda t: t.set_mean("data", np.zeros(2)), "bad-mean"),
        (lambda t: t.set_mean("data", np.zeros((2, 2, 2))), "bad-mean"),
        (lambda t: t.set_mean("data", np.zeros((1, 3, 2, 2))), "bad-mean"),
        (lambda t: t.preprocess("data", np.zeros((5, 5))), "bad-argument"),
    ],
)
def test_mistakes_are_told(call: Any, code: str) -> None:
    with pytest.raises(NetcError) as error:
        call(transformer())
    assert error.value.diagnostics[0].code == code


def test_a_mean_image_without_a_transpose_is_told() -> None:
    made = caffe.io.Transformer({"data": (1, 3, 2, 4)})
    made.set_mean("data", np.zeros((3, 2, 4)))
    with pytest.raises(NetcError, match="set_transpose"):
        made.preprocess("data", rgb(1, 1, 1, (2, 4)))


# Sizes


def test_pixels_are_mixed_by_their_centres() -> None:
    row = np.array([0, 8, 16, 24], dtype=np.float32).reshape(1, 4, 1)
    assert caffe.io.resize_image(row, (1, 2)).reshape(-1).tolist() == [4, 20]
    grown = caffe.io.resize_image(row, (1, 8)).reshape(-1)
    # inside the border; beyond it is the image's least value, as scikit-image's black is
    assert grown[1:-1].tolist() == [2, 6, 10, 14, 18, 22] and grown[-1] == 24 * 0.75


def test_the_nearest_pixel_can_be_taken() -> None:
    row = np.array([0, 8, 16, 24], dtype=np.float32).reshape(1, 4, 1)
    assert caffe.io.resize_image(row, (1, 8), 0).reshape(-1).tolist() == [
        0, 0, 8, 8, 16, 16, 24, 24,
    ]  # fmt: skip


def test_an_image_of_one_value_stays_so() -> None:
    assert (caffe.io.resize_image(rgb(3, 3, 3), (5, 7)) == rgb(3, 3, 3, (5, 7))).all()


@pytest.mark.parametrize("order", [0, 1])
def test_images_of_other_channels_are_resized_corner_on_corner(order: int) -> None:
    ramp = np.repeat(np.arange(5, dtype=np.float32).reshape(1, 5, 1), 2, axis=2)
    resized = caffe.io.resize_image(ramp, (3, 9), order)
    expected = np.arange(9) / 2 if order else np.floor(np.arange(9) / 2 + 0.5)
    assert resized.shape == (3, 9, 2)
    np.testing.assert_allclose(resized[1, :, 1], expected, atol=1e-6)


@pytest.mark.parametrize("bad", [(np.zeros((2, 2)), 1), (np.zeros((2, 2, 3)), 3)])
def test_what_cannot_be_resized_is_told(bad: Any) -> None:
    with pytest.raises(NetcError, match="bad-argument"):
        caffe.io.resize_image(bad[0], (3, 3), bad[1])


def test_oversample_takes_corners_centre_and_mirrors() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5, 1)
    crops = caffe.io.oversample([image, image + 100], (3, 3))
    assert crops.shape == (20, 3, 3, 1)
    assert crops[:5, 0, 0, 0].tolist() == [0, 2, 10, 12, 6]
    assert np.array_equal(crops[5:10], crops[:5, :, ::-1]) and crops[10, 0, 0, 0] == 100
    with pytest.raises(NetcError, match="image-too-small"):
        caffe.io.oversample([image], (6, 3))


# Files


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_images_are_rgb_from_0_to_1(tmp_path: Path, mode: str) -> None:
    pixels = np.array([[[255, 0, 0], [0, 51, 0]]], dtype=np.uint8)
    if mode == "L":
        pixels = np.array([[[51] * 3, [102] * 3]], dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "i.png")
    image = caffe.io.load_image(str(tmp_path / "i.png"))
    assert image.dtype == np.float32 and image.shape == (1, 2, 3)
    np.testing.assert_allclose(image, pixels / 255, atol=1e-6)
    grey = caffe.io.load_image(str(tmp_path / "i.png"), color=False)
    expected = (pixels / 255) @ [0.2125, 0.7154, 0.0721]
    assert grey.shape == (1, 2, 1)
    np.testing.assert_allclose(grey[..., 0], expected, atol=1e-6)


# Messages


def test_arrays_become_blobs_and_come_back() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    blob = caffe.io.array_to_blobproto(array, diff=-array)
    assert list(blob.shape.dim) == [2, 3, 4] and type(blob) is caffe_pb2.BlobProto
    assert np.array_equal(caffe.io.blobproto_to_array(blob), array)
    assert np.array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), -array)
    text = caffe.io.arraylist_to_blobprotovecor_str([array, array[0]])
    back = caffe.io.blobprotovector_str_to_arraylist(text)
    assert [a.shape for a in back] == [(2, 3, 4), (3, 4)] and np.array_equal(back[1], array[0])


def test_old_blobs_have_four_axes_and_mean_files_are_read(tmp_path: Path) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=1, width=2, data=range(6))
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    read = caffe_pb2.BlobProto()
    read.ParseFromString((tmp_path / "mean.binaryproto").read_bytes())
    mean = caffe.io.blobproto_to_array(read)[0]
    assert mean.shape == (3, 1, 2) and mean.mean(1).mean(1).tolist() == [0.5, 2.5, 4.5]


def test_a_blob_of_another_number_of_elements_is_told() -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=1, width=2, data=range(5))
    with pytest.raises(NetcError, match="bad-blob"):
        caffe.io.blobproto_to_array(blob)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_become_datums_and_come_back(dtype: Any) -> None:
    array = np.arange(12).reshape(3, 2, 2).astype(dtype)
    datum = caffe.io.array_to_datum(array, label=7)
    assert datum.label == 7 and bool(datum.data) == (dtype is np.uint8)
    again = caffe_pb2.Datum.FromString(datum.SerializeToString())
    assert np.array_equal(caffe.io.datum_to_array(again), array)


def test_what_is_no_datum_is_told() -> None:
    with pytest.raises(NetcError, match="bad-shape"):
        caffe.io.array_to_datum(np.zeros((2, 2)))
    with pytest.raises(NetcError, match="encoded"):
        caffe.io.datum_to_array(caffe_pb2.Datum(encoded=True, data=b"x"))
