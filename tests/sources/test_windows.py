"""WindowData beyond Caffe's own batches: squares, mirroring, files that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.sources.catalog import open_sources

WINDOWS = """# 0
a.png 3 12 16 3
1 0.9 4 2 9 9
2 0.8 0 0 15 11
1 0.1 2 3 5 6
"""


def batch(
    folder: Path, own: str = "", transform: str = "crop_size: 6", position: int = 0
) -> dict[str, Array]:
    text = f"""layer {{ name: "w" type: "WindowData" top: "data" top: "label"
      window_data_param {{ source: "w.txt" batch_size: 4 fg_fraction: 0.5 {own} }}
      transform_param {{ {transform} }} }}"""
    message = read_net(Source("net.prototxt", text)).message
    found = open_sources(message, NetState("TRAIN"), folder, 5)
    assert found is not None
    return dict(found(position))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "w.txt").write_text(WINDOWS)
    return tmp_path


def test_backgrounds_come_first(folder: Path) -> None:
    labels = batch(folder)["label"]
    assert list(labels[:2]) == [0, 0] and set(labels[2:]) <= {1, 2}


def test_the_scale_is_the_layers_own(folder: Path) -> None:
    plain = batch(folder)["data"]
    scaled = batch(folder, "scale: 0.5", "crop_size: 6 scale: 9")["data"]
    np.testing.assert_array_equal(scaled, plain * np.float32(0.5))


def test_mirroring_turns_what_would_be_seen(folder: Path) -> None:
    plain = batch(folder, "context_pad: 1")["data"]
    turned = batch(folder, "context_pad: 1", "crop_size: 6 mirror: true")["data"]
    for one, other in zip(plain[:2], turned[:2], strict=True):  # one window, turned or not
        assert (one == other).all() or (one == other[:, :, ::-1]).all()


def test_a_square_reaches_beyond_the_picture(folder: Path) -> None:
    """Windows of 6x8 and 16x12: the second one's square has rows of zeros above and below."""
    for position in range(20):
        made = batch(folder, 'crop_mode: "square"', position=position)
        for pixels, label in zip(made["data"], made["label"], strict=True):
            empty = (pixels == 0).all(axis=(0, 2))
            assert empty[0] == (label == 2), "zeros above the wide window alone"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# 1\na.png 3 12 16 0\n", "`# 0` is wanted"),
        ("# 0\na.png 3 12 16 1\n0 0.9 1 1 2 2\n", "a foreground window has the label 0"),
        ("# 0\na.png 3 12 16 1\n1 0.9 1 1 2\n", "w.txt"),
        ("# 0\na.png 3 12 16 1\n1 0.9 1 1 2 2\n", "there are no background windows"),
        (WINDOWS.replace("2 3 5 6", "2 3 16 6"), "does not lie in the picture"),
        (WINDOWS.replace("2 3 5 6", "5 3 2 6"), "does not lie in the picture"),
    ],
)
def test_files_that_are_wrong(folder: Path, text: str, told: str) -> None:
    (folder / "w.txt").write_text(text)
    with pytest.raises(NetcError, match=told) as caught:
        batch(folder)
    assert caught.value.diagnostics[0].code == "bad-record"


@pytest.mark.parametrize(
    ("own", "transform", "told"),
    [
        ("", "", "needs `crop_size`"),
        ("context_pad: 3", "crop_size: 6", "leaves nothing"),
        ('crop_mode: "wrap"', "crop_size: 6", "there is no `crop_mode` `wrap`"),
    ],
)
def test_numbers_that_are_wrong(folder: Path, own: str, transform: str, told: str) -> None:
    with pytest.raises(NetcError, match=told) as caught:
        batch(folder, own, transform)
    assert caught.value.diagnostics[0].code == "out-of-range"
