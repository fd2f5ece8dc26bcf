"""ImageSegData: a picture and a label for each pixel, scaled, filled up, cropped and mirrored."""

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
from netc.sources.pixels import nearest, resize

MEANS = "mean_value: 1 mean_value: 2 mean_value: 3"
MEAN = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)


def pictures(folder: Path, *sizes: tuple[int, int]) -> list[Any]:
    """Pictures whose blue is ten times the label of each pixel."""
    random = np.random.default_rng(0)
    found, lines = [], []
    for number, size in enumerate(sizes or ((6, 8),) * 3):
        labels = random.integers(0, 12, size).astype(np.uint8)
        pixels = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        pixels[..., 2] = labels * 10
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(labels).save(folder / f"{number}_labels.png")
        lines.append(f"{number}.png {number}_labels.png")
        found.append(pixels[..., ::-1].transpose(2, 0, 1))
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return found


def sources(
    folder: Path, transform: str = "", fields: str = "label_type: PIXEL", phase: str = "TRAIN",
    batch: int = 1,
) -> NetSources:  # fmt: skip
    text = f"""layer {{ name: "d" type: "ImageSegData" top: "data" top: "label" top: "size"
        transform_param {{ {transform} }}
        image_data_param {{ source: "list.txt" batch_size: {batch} {fields} }} }}"""
    found = open_sources(read_net(Source("n", text)).message, NetState(phase), folder, 5)
    assert found is not None
    return found


def test_pictures_and_labels_as_they_are(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    batches = sources(tmp_path, f"{MEANS} scale: 0.5", batch=2)
    for position, rows in ((0, (0, 1)), (1, (2, 0))):
        batch = batches(position)
        want = np.stack([stored[row] for row in rows])
        np.testing.assert_array_equal(batch["data"], (want.astype(np.float32) - MEAN) * 0.5)
        np.testing.assert_array_equal(batch["label"], want[:, :1] // 10)
        assert batch["size"].tolist() == [[[[6, 8]]]] * 2
        assert batch["size"].shape == (2, 1, 1, 2)


def test_what_is_smaller_than_the_crop_is_filled_up(tmp_path: Path) -> None:
    """Below and on the right: with the mean, which is 0 afterwards, and with `ignore_label`."""
    stored = pictures(tmp_path)
    fields = "label_type: PIXEL ignore_label: 200"
    batch = sources(tmp_path, f"crop_size: 10 {MEANS}", fields)(0)
    np.testing.assert_array_equal(batch["data"][0, :, :6, :8], stored[0].astype(np.float32) - MEAN)
    assert not batch["data"][0, :, 6:].any() and not batch["data"][0, :, :, 8:].any()
    np.testing.assert_array_equal(batch["label"][0, 0, :6, :8], stored[0][0] // 10)
    assert (batch["label"][0, 0, 6:] == 200).all() and (batch["label"][0, 0, :, 8:] == 200).all()
    assert batch["size"].tolist() == [[[[6, 8]]]]
    plain = sources(tmp_path, "crop_height: 7 crop_width: 9")(0)
    assert plain["data"].shape == (1, 3, 7, 9)
    assert (plain["label"][0, 0, 6:] == 255).all()


def test_the_crop(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    middle = sources(tmp_path, "crop_height: 3 crop_width: 4", phase="TEST")(0)
    np.testing.assert_array_equal(middle["data"][0], stored[0][:, 1:4, 2:6])
    assert middle["size"].tolist() == [[[[3, 4]]]]
    seen = set()
    for position in range(0, 60, 3):
        batch = sources(tmp_path, "crop_height: 3 crop_width: 4 mirror: true")(position)
        np.testing.assert_array_equal(batch["label"], batch["data"][:, :1] // 10)
        seen.add(batch["data"].tobytes())
    assert len(seen) > 10


def test_factors_scale_both(tmp_path: Path) -> None:
    """Sizes are rounded down; pictures linearly, labels by the nearest pixel."""
    (stored,) = pictures(tmp_path, (6, 9))
    factors = (0.5, 1.0, 1.75)
    listed = " ".join(f"scale_factors: {factor}" for factor in factors)
    sizes = {0.5: (3, 4), 1.0: (6, 9), 1.75: (10, 15)}
    seen = set()
    for position in range(30):
        batch = sources(tmp_path, listed)(position)
        (factor,) = (f for f, size in sizes.items() if batch["data"].shape[2:] == size)
        np.testing.assert_array_equal(batch["data"][0], resize(stored, *sizes[factor]))
        want = nearest(stored[:1] // 10, *sizes[factor])
        np.testing.assert_array_equal(batch["label"][0], want)
        seen.add(factor)
    assert seen == set(factors)


def test_one_label_for_a_picture_and_none(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "list.txt").write_text("0.png 7\n\n1.png 255\n")
    batches = sources(tmp_path, "crop_size: 7", "label_type: IMAGE ignore_label: 9")
    assert (batches(0)["label"][0, 0, :6, :7] == 7).all()
    assert (batches(0)["label"][0, 0, 6:] == 9).all()
    assert (batches(1)["label"][0, 0, :6] == 255).all()
    (tmp_path / "list.txt").write_text("0.png\n")
    assert (sources(tmp_path, "", "label_type: NONE ignore_label: 9")(0)["label"] == 9).all()


def test_pictures_are_resized(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    batch = sources(tmp_path, "", "label_type: PIXEL new_height: 3 new_width: 5")(0)
    np.testing.assert_array_equal(batch["data"][0], resize(stored[0], 3, 5))
    np.testing.assert_array_equal(batch["label"][0], resize(stored[0][:1] // 10, 3, 5))


def test_a_batch_depends_on_its_number_alone(tmp_path: Path) -> None:
    pictures(tmp_path)
    text = "crop_size: 5 mirror: true scale_factors: 1 scale_factors: 1.5"
    forward = [sources(tmp_path, text, batch=2)(i) for i in range(4)]
    batches = sources(tmp_path, text, batch=2)
    for position in (3, 0, 2, 1):
        for top, array in batches(position).items():
            np.testing.assert_array_equal(array, forward[position][top])


@pytest.mark.parametrize(
    ("transform", "fields", "code", "words"),
    [
        ('mean_file: "m"', "", "unsupported-data-field", "`mean_file`"),
        ("vertical_mirror: true", "", "unsupported-data-field", "`vertical_mirror`"),
        ("crop_height: 3", "", "out-of-range", "`crop_width` is 0"),
        ("crop_size: 3 crop_height: 3 crop_width: 3", "", "conflicting-fields", "`crop_size`"),
        ("scale_factors: 0", "", "out-of-range", "`scale_factors`"),
        ("", "new_height: 3", "out-of-range", "`new_height` is 3 and `new_width` is 0"),
        ("", "ignore_label: 300", "out-of-range", "`ignore_label` is 300"),
        ("", "label_size: 3", "unsupported-data-field", "`label_size`"),
    ],
)
def test_what_is_refused(
    transform: str, fields: str, code: str, words: str, tmp_path: Path
) -> None:
    pictures(tmp_path)
    with pytest.raises(NetcError) as caught:
        sources(tmp_path, transform, fields)
    (found,) = caught.value.diagnostics
    assert found.code == code and words in found.message
    assert found.span is not None


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("0.png", "PIXEL", "line 1 is not the paths of a picture and its labels"),
        ("0.png 1 2", "PIXEL", "line 1 is not the paths"),
        ("0.png cat", "IMAGE", "line 1 has the label 'cat'"),
        ("0.png 256", "IMAGE", "labels are 0 to 255"),
        ("0.png 1_labels.png", "PIXEL", "the labels are 4x4, and the picture is 6x8"),
        ("0.png none.png", "PIXEL", "none.png"),
        ("", "PIXEL", "there are no lines"),
    ],
)
def test_lines_that_cannot_be_read(line: str, kind: str, words: str, tmp_path: Path) -> None:
    pictures(tmp_path, (6, 8), (4, 4))
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(NetcError) as caught:
        sources(tmp_path, "", f"label_type: {kind}")(0)
    assert words in caught.value.diagnostics[0].message


def test_pictures_of_other_sizes_need_a_crop(tmp_path: Path) -> None:
    pictures(tmp_path, (6, 8), (4, 4))
    with pytest.raises(NetcError, match="of the same batch"):
        sources(tmp_path, batch=2)(0)
    assert sources(tmp_path, "crop_size: 7", batch=2)(0)["data"].shape == (2, 3, 7, 7)
