"""What transform_param does to whole pictures before they are cropped: size, rotation, colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError, Source
from netc.driver import read_net
from netc.lower.rules import NetState
from netc.sources.catalog import NetSources, open_sources
from netc.sources.interpolation import METHODS
from netc.sources.pixels import resize
from netc.sources.rotation import rotated


def picture(folder: Path, high: int = 12, wide: int = 20) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (high, wide, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    (folder / "list.txt").write_text("0.png 3\n")
    return pixels[..., ::-1].transpose(2, 0, 1)


def sources(folder: Path, transform: str, phase: str = "TRAIN") -> NetSources:
    text = f"""layer {{ name: "d" type: "ImageData" top: "data" top: "label"
        transform_param {{ {transform} }}
        image_data_param {{ source: "list.txt" batch_size: 1 }} }}"""
    found = open_sources(read_net(Source("n", text)).message, NetState(phase), folder, 5)
    assert found is not None
    return found


def test_rotation_by_degrees(tmp_path: Path) -> None:
    stored = picture(tmp_path)
    wanted = {degrees: rotated(stored, degrees) for degrees in range(-3, 4)}
    seen = set()
    for position in range(60):
        made = sources(tmp_path, "max_rotation_angle: 3")(position)["data"][0]
        fits = (d for d, w in wanted.items() if w.shape == made.shape and (w == made).all())
        seen.add(next(fits))
    assert seen == set(wanted)
    test = sources(tmp_path, "max_rotation_angle: 3", "TEST")(0)["data"][0]
    np.testing.assert_array_equal(test, stored)


def test_the_smallest_side_in_both_phases(tmp_path: Path) -> None:
    stored = picture(tmp_path)
    for phase in ("TRAIN", "TEST"):
        made = sources(tmp_path, "min_side: 6", phase)(0)["data"][0]
        np.testing.assert_array_equal(made, resize(stored, 6, 10))
        sides = {
            sources(tmp_path, "min_side_min: 5 min_side_max: 7", phase)(i)["data"].shape[2]
            for i in range(20)
        }
        assert sides == {5, 6, 7}
    cropped = sources(tmp_path, "min_side: 6 crop_size: 6", "TEST")(0)["data"][0]
    np.testing.assert_array_equal(cropped, resize(stored, 6, 10)[:, :, 2:8])


def test_contrast_and_colour(tmp_path: Path) -> None:
    stored = picture(tmp_path)
    text = """contrast_brightness_adjustment: true min_contrast: 0.5 max_contrast: 0.5
              max_brightness_shift: 0 apply_probability: %s"""
    halved = np.rint(stored * np.float32(0.5))
    assert (sources(tmp_path, text % "1")(0)["data"][0] == halved).all()
    assert (sources(tmp_path, text % "0")(0)["data"][0] == stored).all()
    seen = [
        bool((sources(tmp_path, text % "0.5")(i)["data"][0] == halved).all()) for i in range(30)
    ]
    assert 5 < sum(seen) < 25
    np.testing.assert_array_equal(sources(tmp_path, text % "1", "TEST")(0)["data"][0], stored)
    shifted = sources(tmp_path, "max_color_shift: 20 apply_probability: 1")(0)["data"][0]
    assert 0 < np.abs(shifted - stored).max() <= 20


def test_a_resize_policy_of_other_layers(tmp_path: Path) -> None:
    stored = picture(tmp_path)
    text = "resize_param { height: 8 width: 9 interp_mode: AREA } crop_size: 8"
    made = sources(tmp_path, text, "TEST")(0)["data"][0]
    np.testing.assert_array_equal(made, METHODS["AREA"](stored, 8, 9)[:, :, 0:8])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_rotation_angle: 181", "`max_rotation_angle` is 181"),
        ("max_color_shift: 300", "`max_color_shift` is 300"),
        ("max_color_shift: 3 apply_probability: 2", "`apply_probability` is 2"),
        ("contrast_brightness_adjustment: true min_contrast: 2 max_contrast: 1", "`max_contrast`"),
        ("min_side_min: 3", "`min_side_min` is 3 and `min_side_max` is 0"),
        ("min_side_min: 3 min_side_max: 2", "`min_side_max` is 2"),
        ("max_scaling_factor: 2", "`max_scaling_factor`"),
        ("distort_param { hue_prob: 1 }", "`distort_param`"),
        ("expand_param { max_expand_ratio: 2 }", "`expand_param`"),
    ],
)
def test_what_is_refused(text: str, words: str, tmp_path: Path) -> None:
    picture(tmp_path)
    with pytest.raises(NetcError) as caught:
        sources(tmp_path, text)
    (found,) = caught.value.diagnostics
    assert words in found.message and found.span is not None
