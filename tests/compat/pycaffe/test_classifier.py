"""``caffe.Classifier``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc.compat.pycaffe as caffe
from netc.data import prototxt_dir
from netc.diagnostics import NetcError
from netc.driver import compile

DIGITS = prototxt_dir() / "digits"
FILES = str(DIGITS / "deploy.prototxt"), str(DIGITS / "digits.caffemodel")


def digits() -> list[Any]:
    paths = sorted((DIGITS / "images").glob("*.png"))
    return [caffe.io.load_image(path, color=False) for path in paths]


def test_digits_are_classified() -> None:
    net = caffe.Classifier(*FILES)
    scores = net.predict(digits(), oversample=False)
    batch = np.stack(digits()).transpose(0, 3, 1, 2)
    expected = compile(*FILES, inputs={"data": batch.shape})(data=batch)["prob"]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


def test_ten_crops_are_averaged() -> None:
    net = caffe.Classifier(*FILES, image_dims=(10, 12), mean=np.array([0.25]), raw_scale=0.5,
                           input_scale=2.0, channel_swap=(0,))  # fmt: skip
    images = digits()[:3]
    crops = caffe.io.oversample([caffe.io.resize_image(i, (10, 12)) for i in images], (8, 8))
    batch = (crops.transpose(0, 3, 1, 2) * 0.5 - 0.25) * 2
    expected = compile(*FILES, inputs={"data": batch.shape})(data=batch)["prob"]
    scores = net.predict(images)
    assert scores.shape == (3, 10)
    np.testing.assert_allclose(scores, expected.reshape(3, 10, 10).mean(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("oversample", [True, False])
def test_crops_that_do_not_fit_are_told(oversample: bool) -> None:
    net = caffe.Classifier(*FILES, image_dims=(7, 8))
    with pytest.raises(NetcError, match="image-too-small"):
        net.predict(digits()[:1], oversample)
