"""DenseImageData: a picture and its labels are read, resized, mirrored and cropped alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.memory import Budget, using
from netc.sources.catalog import NetSources, open_sources
from netc.sources.pixels import nearest, resize


def pictures(folder: Path, count: int = 3, size: tuple[int, int] = (6, 8)) -> list[np.ndarray]:
    """Pictures whose blue tells the label of each pixel: label = blue // 10."""
    random = np.random.default_rng(0)
    found, lines = [], []
    for number in range(count):
        labels = random.integers(0, 12, size).astype(np.uint8)
        pixels = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        pixels[..., 2] = labels * 10
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(labels).save(folder / f"{number}_labels.png")
        lines.append(f"{number}.png {number}_labels.png")
        found.append(pixels[..., ::-1].transpose(2, 0, 1))
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return found


def sources(folder: Path, fields: str = "", more: str = "", phase: str = "TRAIN") -> NetSources:
    text = f"""layer {{ name: "d" type: "DenseImageData" top: "data" top: "label" {more}
        dense_image_data_param {{ source: "list.txt" batch_size: 2 {fields} }} }}"""
    found = open_sources(read_net(Source("n", text)).message, NetState(phase), folder, 5)
    assert found is not None
    return found


def test_pictures_and_labels_as_they_are(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    batches = sources(tmp_path)
    for position, rows in ((0, (0, 1)), (1, (2, 0))):
        batch = batches(position)
        want = np.stack([stored[row] for row in rows])
        np.testing.assert_array_equal(batch["data"], want)
        np.testing.assert_array_equal(batch["label"], want[:, :1] // 10)
        assert batch["label"].dtype == np.float32


def test_mean_and_scale_are_of_the_picture_alone(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    batch = sources(tmp_path, more="transform_param { scale: 0.5 mean_value: 10 }")(0)
    np.testing.assert_array_equal(batch["data"][0], (stored[0].astype(np.float32) - 10) * 0.5)
    np.testing.assert_array_equal(batch["label"][0, 0], stored[0][0] // 10)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("fields", ["mirror: true", "crop_height: 4 crop_width: 5"])
def test_what_is_drawn_is_done_to_both(tmp_path: Path, fields: str, phase: str) -> None:
    pictures(tmp_path)
    found = []
    for position in range(12):
        batch = sources(tmp_path, fields, phase=phase)(position)
        np.testing.assert_array_equal(batch["label"], batch["data"][:, :1] // 10)
        found.append(batch["data"][0].tobytes())
    assert len(set(found)) > 3  # of three pictures
    again = sources(tmp_path, fields, phase=phase)
    assert [again(position)["data"][0].tobytes() for position in range(12)] == found


def test_labels_are_resized_by_the_nearest_pixel(tmp_path: Path) -> None:
    stored = pictures(tmp_path)
    batch = sources(tmp_path, "new_height: 9 new_width: 5")(0)
    np.testing.assert_array_equal(batch["data"][0], resize(stored[0], 9, 5))
    np.testing.assert_array_equal(batch["label"][0], nearest(stored[0][:1] // 10, 9, 5))
    rows = [0, 0, 1, 2, 2, 3, 4, 4, 5]  # floor(i * 6 / 9)
    columns = [0, 1, 3, 4, 6]  # floor(i * 8 / 5)
    np.testing.assert_array_equal(batch["label"][0, 0], (stored[0][0] // 10)[rows][:, columns])


def test_smaller_labels_of_enet(tmp_path: Path) -> None:
    pictures(tmp_path)
    batch = sources(tmp_path, "new_height: 8 new_width: 16 label_divide_factor: 4")(0)
    assert batch["data"].shape == (2, 3, 8, 16)
    assert batch["label"].shape == (2, 1, 2, 4)


def test_folders_and_order(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    stored = pictures(inside)
    (inside / "list.txt").rename(tmp_path / "list.txt")
    root = f'root_folder: "{inside}/"'
    seen = sources(tmp_path, f"{root} shuffle: true")
    firsts = [seen(position)["data"][0].tobytes() for position in range(9)]
    assert set(firsts) == {picture.astype(np.float32).tobytes() for picture in stored}
    own = f'root_folder_image: "{inside}/" root_folder_label: "{inside}/"'
    np.testing.assert_array_equal(sources(tmp_path, own)(0)["data"][0], stored[0])


@pytest.mark.parametrize(
    ("fields", "more", "code", "said"),
    [
        ("new_height: 5", "", "out-of-range", "`new_width` is 0"),
        ("crop_width: 5", "", "out-of-range", "`crop_height` is 0"),
        ("rotate: true", "", "unsupported-data-field", "`rotate`"),
        ("", "transform_param { mirror: true }", "conflicting-fields", "`mirror`"),
        ("", "transform_param { crop_size: 4 }", "conflicting-fields", "`crop_size`"),
        ("", "transform_param { crop_h: 4 crop_w: 4 }", "conflicting-fields", "`crop_h`"),
        (
            "",
            "transform_param { vertical_mirror: true }",
            "conflicting-fields",
            "`vertical_mirror`",
        ),
        (
            "label_divide_factor: 2 crop_height: 4 crop_width: 4",
            "",
            "out-of-range",
            "`label_divide_factor` is 2 beside a crop",
        ),
        ("crop_height: 4 crop_width: 99", "", "bad-record", "6x8, smaller than the crop 4x99"),
        ("label_divide_factor: 2", "", "bad-record", "the labels are 6x8, and not 3x4"),
    ],
)
def test_what_is_refused(tmp_path: Path, fields: str, more: str, code: str, said: str) -> None:
    pictures(tmp_path)
    with pytest.raises(NetcError) as caught:
        sources(tmp_path, fields, more)(0)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert said in found.message
    assert found.span is not None


@pytest.mark.parametrize("line", ["only.png", "a.png b.png 3"])
def test_a_line_is_two_paths(tmp_path: Path, line: str) -> None:
    pictures(tmp_path)
    (tmp_path / "list.txt").write_text(f"\n0.png 0_labels.png\n{line}\n")
    with pytest.raises(NetcError, match="line 3 is not the paths"):
        sources(tmp_path)


def test_labels_of_another_size_are_told_by_their_line(tmp_path: Path) -> None:
    pictures(tmp_path)
    Image.new("L", (5, 5)).save(tmp_path / "1_labels.png")
    with pytest.raises(NetcError, match=r"line 2 of .*: the labels are 5x5, and not 6x8"):
        sources(tmp_path)(0)


def test_memory_is_asked_for_before_pictures_are_resized(tmp_path: Path) -> None:
    pictures(tmp_path)
    with using(Budget(50_000_000)), pytest.raises(NetcError) as caught:
        sources(tmp_path, "new_height: 20000 new_width: 20000")(0)
    assert caught.value.diagnostics[0].code == "too-little-memory"
