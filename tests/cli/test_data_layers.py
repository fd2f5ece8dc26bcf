"""`netc run` prepares images as a text's data layer says, as Caffe does in TEST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main
from netc.resizing import resized
from netc.weights import load_weights

assert load_weights
REST = 'layer { name: "id" type: "Power" bottom: "data" top: "id" }'
QUIET = 'layer { name: "quiet" type: "Silence" bottom: "label" }'
TRAIN = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { batch_size: 1 } transform_param { crop_size: 5 mean_value: 99 scale: 7 } }
"""


@pytest.fixture
def picture(tmp_path: Path) -> Any:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "c.png")
    return pixels[:, :, ::-1]


def run(tmp_path: Path, layer: str, *more: str) -> Any:
    """What the net is fed."""
    net, out = tmp_path / "net.prototxt", tmp_path / "out.npz"
    net.write_text(TRAIN + layer + REST + QUIET, encoding="utf-8")
    argv = ["run", str(net), "--input", f"data={tmp_path}/c.png", "--save", str(out), *more]
    assert main(argv) == 0
    with np.load(out) as saved:
        return saved["id"][0]


def layer(kind: str, own: str, transform: str) -> str:
    return (
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" {own} '
        f"include {{ phase: TEST }} transform_param {{ {transform} }} }}"
    )


def planes(pixels: Any) -> Any:
    return pixels.transpose(2, 0, 1).astype(np.float32)


MEAN = np.float32([10, 20, 30])[:, None, None]
VALUES = "mean_value: 10 mean_value: 20 mean_value: 30"


def test_image_data_resizes_crops_subtracts_and_scales(tmp_path: Path, picture: Any) -> None:
    own = "image_data_param { batch_size: 2 new_height: 16 new_width: 18 }"
    got = run(tmp_path, layer("ImageData", own, f"crop_size: 12 {VALUES} scale: 0.5 mirror: true"))
    want = (planes(resized(picture, (16, 18)))[:, 2:14, 3:15] - MEAN) * 0.5
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("Data", "data_param { batch_size: 1 }"),
        ("ImageData", "image_data_param { batch_size: 1 }"),
        ("MemoryData", "memory_data_param { batch_size: 1 channels: 3 height: 12 width: 12 }"),
    ],
)
def test_a_layer_that_crops_takes_images_as_they_are(
    kind: str, own: str, tmp_path: Path, picture: Any
) -> None:
    got = run(tmp_path, layer(kind, own, f"crop_size: 12 {VALUES}"))
    np.testing.assert_allclose(got, planes(picture)[:, 4:16, 6:18] - MEAN, atol=1e-4)


def test_windows_are_brought_to_the_crop(tmp_path: Path, picture: Any) -> None:
    got = run(tmp_path, layer("WindowData", "window_data_param { batch_size: 1 }",
                              "crop_size: 12 mean_value: 5 scale: 2"))  # fmt: skip
    np.testing.assert_allclose(got, (planes(resized(picture, (12, 12))) - 5) * 2, atol=1e-3)


def test_the_mean_image_is_of_the_image_before_it_is_cropped(tmp_path: Path, picture: Any) -> None:
    mean = np.random.default_rng(1).uniform(0, 255, (3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    own = "data_param { batch_size: 1 }"
    got = run(tmp_path, layer("Data", own, 'crop_size: 12 mean_file: "mean.npy"'))
    want = (planes(resized(picture, (16, 16))) - mean)[:, 2:14, 2:14]
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_mean_image_of_another_size_is_refused(
    tmp_path: Path, picture: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "mean.npy", np.zeros((3, 9, 9), np.float32))
    own = "image_data_param { batch_size: 1 new_height: 16 new_width: 16 }"
    with pytest.raises(AssertionError):
        run(tmp_path, layer("ImageData", own, 'crop_size: 8 mean_file: "mean.npy"'))
    assert "error[bad-mean]: the mean is of images 3x9x9" in capsys.readouterr().err


def test_grey_images(tmp_path: Path, picture: Any) -> None:
    own = "data_param { batch_size: 1 }"
    grey = np.asarray(Image.open(tmp_path / "c.png").convert("L"), np.float32)
    got = run(tmp_path, layer("Data", own, "force_gray: true crop_size: 12 scale: 0.00390625"))
    np.testing.assert_allclose(got, grey[None, 4:16, 6:18] / 256, atol=1e-5)
    own = "image_data_param { batch_size: 1 is_color: false }"
    got = run(tmp_path, layer("ImageData", own, ""))
    np.testing.assert_allclose(got, grey[None], atol=1e-4)


def test_an_image_says_a_size_that_the_text_does_not(tmp_path: Path, picture: Any) -> None:
    got = run(tmp_path, layer("Data", "data_param { batch_size: 1 }", VALUES))
    np.testing.assert_allclose(got, planes(picture) - MEAN, atol=1e-4)


def test_options_win(tmp_path: Path, picture: Any) -> None:
    own = "image_data_param { batch_size: 2 new_height: 16 new_width: 18 }"
    text = layer("ImageData", own, f"crop_size: 12 {VALUES} scale: 0.5")
    got = run(tmp_path, text, "--mean", "1", "--scale", "2", "--resize", "12,12")
    np.testing.assert_allclose(got, (planes(resized(picture, (12, 12))) - 1) * 2, atol=2)


def test_in_train_the_train_layer_counts(tmp_path: Path, picture: Any) -> None:
    got = run(tmp_path, layer("Data", "data_param { batch_size: 1 }", ""), "--phase", "TRAIN")
    np.testing.assert_allclose(got, (planes(picture)[:, 7:12, 9:14] - 99) * 7, atol=1e-2)


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        ('mean_file: "m.npy" mean_value: 3', "`mean_file` and `mean_value` contradict"),
        ("force_color: true force_gray: true", "`force_color` and `force_gray` contradict"),
        ("crop_size: 64", "a crop of 64 by 64 does not fit in an image of 20 by 24"),
        ("crop_size: 8 mean_value: 1 mean_value: 2", "bad-mean"),
    ],
)
def test_what_caffe_refuses(
    transform: str, told: str, tmp_path: Path, picture: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        run(tmp_path, layer("ImageData", "image_data_param { batch_size: 1 }", transform))
    assert told in capsys.readouterr().err


def test_resizing_is_opencvs(picture: Any) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    for height, width in ((16, 16), (33, 41), (20, 7), (1, 1)):
        want = cv2.resize(np.ascontiguousarray(picture), (width, height))
        np.testing.assert_array_equal(resized(picture, (height, width)), want)


def test_ssds_layer_warps_and_its_label_is_not_needed(tmp_path: Path, picture: Any) -> None:
    own = 'data_param { source: "x" batch_size: 1 } annotated_data_param { batch_sampler { } }'
    resize = "resize_param { prob: 1 resize_mode: WARP height: 12 width: 14 }"
    text = layer("AnnotatedData", own, f"{VALUES} scale: 0.5 {resize}")
    got = run(tmp_path, text, "--output", "id")
    want = (planes(resized(picture, (12, 14))) - MEAN) * 0.5
    np.testing.assert_allclose(got, want, atol=1e-4)
