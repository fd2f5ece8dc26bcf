from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from netc.diagnostics import NetcError
from netc.image_files import load_image
from netc.images import Preprocessing, load_input, preprocess, read_mean
from netc.resizing import resize_image


def photo(height: int = 7, width: int = 5, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Pixels of a made-up picture, (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels.squeeze()).save(path, **options)
    return path


def code_of(caught: pytest.ExceptionInfo[NetcError]) -> str:
    return caught.value.diagnostics[0].code


# Reading


def test_png_in_colour(tmp_path: Path) -> None:
    pixels = photo()
    image = load_image(saved(tmp_path / "a.png", pixels))
    assert image.dtype == np.float32 and image.shape == (3, 7, 5)
    np.testing.assert_array_equal(image * 255, pixels.transpose(2, 0, 1).astype(np.float32))


def test_jpg(tmp_path: Path) -> None:
    flat = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    image = load_image(saved(tmp_path / "a.jpg", flat, quality=95))
    assert abs(image * 255 - flat.transpose(2, 0, 1)).max() < 4


def test_grey_becomes_colour_and_colour_grey(tmp_path: Path) -> None:
    grey = photo(channels=1)
    image = load_image(saved(tmp_path / "g.png", grey))
    np.testing.assert_array_equal(image * 255, np.repeat(grey, 3, 2).transpose(2, 0, 1))
    pixels = photo()
    image = load_image(saved(tmp_path / "c.png", pixels), channels=1)
    wanted = pixels @ np.array([0.299, 0.587, 0.114])
    assert image.shape == (1, 7, 5) and abs(image[0] * 255 - wanted).max() < 1


def test_transparency_is_left_out(tmp_path: Path) -> None:
    pixels = photo(channels=4)
    image = load_image(saved(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(image * 255, pixels[:, :, :3].transpose(2, 0, 1))


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    deep = np.array([[0, 65535], [32768, 257]], np.uint16)
    image = load_image(saved(tmp_path / "a.png", deep), channels=1)
    np.testing.assert_allclose(image[0], deep / 65535, rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(NetcError, match=r"a\.png` cannot be read as an image") as caught:
        load_image(path)
    assert code_of(caught) == "bad-image"


def test_every_truncation_of_a_png_is_told(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.png", photo()).read_bytes()
    for length in range(0, len(whole) - 20, 7):
        (tmp_path / "b.png").write_bytes(whole[:length])
        with pytest.raises(NetcError) as caught:
            load_image(tmp_path / "b.png")
        assert code_of(caught) == "bad-image"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.png", "missing-file"), (tmp_path, "is-a-directory")):
        with pytest.raises(NetcError, match=str(path)) as caught:
            load_image(path)
        assert code_of(caught) == code


def test_other_numbers_of_channels() -> None:
    with pytest.raises(NetcError, match="the input has 4"):
        load_image("any.png", channels=4)


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", photo())
    monkeypatch.setattr("netc.image_files.MAX_PIXELS", 30)
    with pytest.raises(NetcError, match="the limit is 30, it has 5 by 7") as caught:
        load_image(path)
    assert code_of(caught) == "image-too-large"
    monkeypatch.setattr("netc.image_files.MAX_PIXELS", 100)
    thin = Preprocessing((2, 2), resize=20)
    with pytest.raises(NetcError, match="the limit is 100"):
        load_input(path, thin)


# Size


SIDE = st.integers(1, 20)


@settings(max_examples=80, deadline=None)
@given(old=st.tuples(SIDE, SIDE), new=st.tuples(SIDE, SIDE), seed=st.integers(0, 999))
def test_resizing_is_opencvs(old, new, seed) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    image = np.random.default_rng(seed).random((3, *old), dtype=np.float32)
    wanted = cv2.resize(image.transpose(1, 2, 0), (new[1], new[0]), interpolation=cv2.INTER_LINEAR)
    got = resize_image(image, new)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted.reshape(*new, 3).transpose(2, 0, 1), atol=1e-5)


def test_resizing_by_hand() -> None:
    row = np.array([[[0.0, 4.0]]], np.float32)
    np.testing.assert_array_equal(resize_image(row, (1, 4))[0, 0], [0, 1, 3, 4])
    np.testing.assert_array_equal(resize_image(row, (2, 1)), [[[2], [2]]])
    assert resize_image(row, (1, 2)) is row


def test_shorter_side() -> None:
    image = np.zeros((3, 100, 50), np.float32)
    assert preprocess(image, Preprocessing((20, 20), resize=20)).shape == (1, 3, 20, 20)
    with pytest.raises(NetcError, match="41 by 20 does not fit in an image of 40 by 20"):
        preprocess(image, Preprocessing((41, 20), resize=20))


def classifier_crops(image: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    """The ten crops as pycaffe's ``oversample`` indexes them, from (height, width, channels)."""
    size, crop_size = np.array(image.shape[:2]), np.array(crop)
    places = [(y, x) for y in (0, size[0] - crop[0]) for x in (0, size[1] - crop[1])]
    centre = (size / 2.0 - crop_size / 2.0).astype(int)
    crops = [image[y : y + crop[0], x : x + crop[1]] for y, x in [*places, tuple(centre)]]
    return np.stack([*crops, *(c[:, ::-1] for c in crops)])


@settings(max_examples=50, deadline=None)
@given(size=st.tuples(SIDE, SIDE), crop=st.tuples(SIDE, SIDE))
def test_crops_are_the_classifiers(size, crop) -> None:
    crop = min(crop[0], size[0]), min(crop[1], size[1])
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    how = {"resize": size, "channel_order": "RGB", "raw_scale": 1.0}
    wanted = classifier_crops(image.transpose(1, 2, 0), crop).transpose(0, 3, 1, 2)
    ten = preprocess(image, Preprocessing(crop, crops="ten", **how))
    np.testing.assert_array_equal(ten, wanted)
    one = preprocess(image, Preprocessing(crop, **how))
    np.testing.assert_array_equal(one, wanted[4:5])


def test_a_crop_larger_than_the_image() -> None:
    how = Preprocessing((6, 6), resize=(4, 8))
    with pytest.raises(NetcError, match="6 by 6 does not fit in an image of 4 by 8") as caught:
        preprocess(np.zeros((3, 9, 9), np.float32), how)
    assert code_of(caught) == "image-too-small"


# Values


def transformed(image: np.ndarray, swap, raw_scale, mean, input_scale) -> np.ndarray:
    """``caffe.io.Transformer.preprocess``, its steps in its order, on (height, width, channels)."""
    out = image.astype(np.float32).transpose(2, 0, 1)
    out = out[swap, :, :] * raw_scale
    return (out - mean) * input_scale


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_the_order_of_operations_is_the_transformers(order: str) -> None:
    pixels = photo(6, 6) / np.float32(255)
    mean = np.random.default_rng(1).random((3, 6, 6), dtype=np.float32) * 100
    how = Preprocessing((6, 6), channel_order=order, mean=mean, scale=0.017)
    swap = [2, 1, 0] if order == "BGR" else [0, 1, 2]
    wanted = transformed(pixels, swap, 255, mean, 0.017)
    (got,) = preprocess(pixels.transpose(2, 0, 1), how)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_mean_for_each_channel_is_in_the_nets_order() -> None:
    image = np.zeros((3, 2, 2), np.float32)
    (got,) = preprocess(image, Preprocessing((2, 2), mean=read_mean("104,117,123")))
    np.testing.assert_array_equal(got[:, 0, 0], [-104, -117, -123])


def test_a_mean_image_is_brought_to_the_inputs_size() -> None:
    mean = np.random.default_rng(2).random((3, 8, 8), dtype=np.float32)
    (got,) = preprocess(np.zeros((3, 4, 4), np.float32), Preprocessing((4, 4), mean=mean))
    np.testing.assert_allclose(got, -resize_image(mean, (4, 4)))


def test_nothing_is_written_to_the_image_or_the_mean() -> None:
    image, mean = np.ones((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32)
    for array in (image, mean):
        array.flags.writeable = False
    preprocess(image, Preprocessing((4, 4), mean=mean, crops="ten"))


@pytest.mark.parametrize("shape", [(2,), (4, 4), (4, 5, 5)])
def test_a_mean_that_does_not_fit(shape: tuple[int, ...]) -> None:
    how = Preprocessing((4, 4), mean=np.zeros(shape, np.float32))
    with pytest.raises(NetcError, match="the input has 3 channels") as caught:
        preprocess(np.zeros((3, 4, 4), np.float32), how)
    assert code_of(caught) == "bad-mean"


def test_mean_files(tmp_path: Path) -> None:
    mean = np.random.default_rng(3).random((3, 2, 2), dtype=np.float32)
    np.save(tmp_path / "m.npy", mean)
    np.testing.assert_array_equal(read_mean(str(tmp_path / "m.npy")), mean)
    data = mean.astype("<f4").tobytes()  # legacy num, channels, height, width; then packed data
    header = bytes([0x08, 1, 0x10, 3, 0x18, 2, 0x20, 2, 0x2A, len(data)])
    (tmp_path / "m.binaryproto").write_bytes(header + data)
    np.testing.assert_array_equal(read_mean(str(tmp_path / "m.binaryproto")), mean)
    with pytest.raises(NetcError):
        read_mean(str(tmp_path / "none.npy"))


def test_a_file_all_the_way(tmp_path: Path) -> None:
    pixels = photo(12, 10)
    path = saved(tmp_path / "a.png", pixels)
    how = Preprocessing((8, 8), resize=(9, 9), mean=np.float32([10]), scale=0.5)
    batch = load_input(path, how)
    small = resize_image(pixels.transpose(2, 0, 1).astype(np.float32), (9, 9))
    np.testing.assert_allclose(batch[0], (small[::-1, :8, :8] - 10) * 0.5, atol=1e-3)
    assert batch.shape == (1, 3, 8, 8) and batch.dtype == np.float32


def test_a_grey_net(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", photo(8, 8, 1))
    batch = load_input(path, Preprocessing((8, 8), channels=1, raw_scale=1.0))
    np.testing.assert_array_equal(batch[0], load_image(path, channels=1))
