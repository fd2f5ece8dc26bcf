"""``blobFromImage``: by hand, and against OpenCV where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
from netc.diagnostics import NetcError


def picture(height: int, width: int, channels: int = 3) -> Any:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_the_mean_is_in_the_order_of_the_blob_and_is_subtracted_before_scaling() -> None:
    image = np.array([[[10, 20, 40]]], dtype=np.uint8)
    blob = dnn.blobFromImage(image, 0.5, (1, 1), (1, 2, 3))
    assert blob.dtype == np.float32 and blob[0, :, 0, 0].tolist() == [4.5, 9, 18.5]
    blob = dnn.blobFromImage(image, 0.5, (1, 1), (1, 2, 3), swapRB=True)
    assert blob[0, :, 0, 0].tolist() == [19.5, 9, 3.5]


def test_halving_averages_and_doubling_mixes_at_the_pixels_centres() -> None:
    image = np.array([[0, 100], [50, 150]], dtype=np.uint8)
    assert dnn.blobFromImage(image, size=(1, 1)).item() == 75
    wide = dnn.blobFromImage(image[:1], size=(4, 1))
    assert wide.reshape(-1).tolist() == [0, 25, 75, 100]


def test_crop_keeps_the_proportions_and_the_centre() -> None:
    image = np.zeros((2, 4), dtype=np.uint8)
    image[:, 1:3] = 200
    assert (dnn.blobFromImage(image, size=(2, 2), crop=True) == 200).all()
    assert (dnn.blobFromImage(image, size=(2, 2)) == 100).all()


CASES: tuple[tuple[tuple[int, int, int], dict[str, Any]], ...] = (
    ((30, 40, 3), {"size": (22, 27)}),
    ((30, 40, 3), {"size": (227, 224), "mean": (104, 117, 123), "swapRB": True}),
    ((48, 64, 3), {"size": (32, 24), "scalefactor": 1 / 127.5, "mean": 127.5}),
    ((33, 57, 3), {"size": (20, 20), "crop": True, "mean": (1, 2, 3)}),
    ((57, 33, 3), {"size": (40, 70), "crop": True, "scalefactor": 0.017}),
    ((9, 9, 3), {"size": (20, 11), "crop": True, "swapRB": True}),
    ((30, 40, 4), {"size": (22, 27), "mean": (1, 2, 3, 4), "swapRB": True}),
    ((30, 40, 1), {"size": (22, 27), "mean": 5}),
    ((30, 40, 3), {}),
    ((30, 40, 3), {"size": (15, 15), "ddepth": 0, "swapRB": True}),
)


@pytest.mark.parametrize(("shape", "how"), CASES)
@pytest.mark.parametrize("floats", [False, True])
def test_blobs_are_opencvs(shape: tuple[int, int, int], how: dict[str, Any], floats: bool) -> None:
    cv2 = pytest.importorskip("cv2")
    images = [picture(*shape), picture(*shape)[::-1].copy()]
    if floats:
        if how.get("ddepth") == 0:
            pytest.skip("a blob of bytes is made of bytes")
        images = [image.astype(np.float32) for image in images]
    expected = cv2.dnn.blobFromImages(images, **how)
    blob = dnn.blobFromImages(images, **how)
    assert blob.shape == expected.shape and blob.dtype == expected.dtype
    size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(blob, expected, rtol=0, atol=4e-6 * size)  # of float32's rounding


@pytest.mark.parametrize("seed", range(40))
def test_any_sizes_give_opencvs_pixels(seed: int) -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(seed)
    height, width, new_height, new_width = (int(n) for n in rng.integers(1, 300, 4))
    image, crop = picture(height, width), bool(seed % 2)
    how: dict[str, Any] = {"size": (new_width, new_height), "crop": crop}
    expected = cv2.dnn.blobFromImage(image, **how)
    np.testing.assert_array_equal(dnn.blobFromImage(image, **how), expected)


@pytest.mark.parametrize(
    ("image", "how", "code"),
    [
        (None, {}, "bad-image"),
        (picture(4, 4, 2), {}, "bad-image"),
        (np.zeros((4, 4), dtype=complex), {}, "bad-image"),
        (picture(4, 4), {"size": 3}, "bad-argument"),
        (picture(4, 4), {"size": (-1, 2)}, "bad-argument"),
        (picture(4, 4), {"size": (0, 2)}, "bad-argument"),
        (picture(4, 4), {"mean": (1, 2, 3, 4, 5)}, "bad-argument"),
        (picture(4, 4), {"mean": "red"}, "bad-argument"),
        (picture(4, 4), {"ddepth": 6}, "bad-argument"),
        (picture(4, 4), {"ddepth": 0, "mean": 3}, "bad-argument"),
    ],
)
def test_mistakes_are_told(image: Any, how: dict[str, Any], code: str) -> None:
    with pytest.raises(NetcError) as error:
        dnn.blobFromImage(image, **how)
    assert error.value.diagnostics[0].code == code


def test_images_of_one_blob_have_one_size() -> None:
    with pytest.raises(NetcError, match="one size"):
        dnn.blobFromImages([picture(3, 3), picture(3, 4)])
    assert dnn.blobFromImages([picture(3, 3), picture(3, 4)], size=(5, 5)).shape == (2, 3, 5, 5)
