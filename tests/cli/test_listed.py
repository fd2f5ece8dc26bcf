"""``netc run`` without --input: the images that the net's own ImageData layer names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main

NET = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  transform_param { scale: 0.5 mean_value: 10 }
  image_data_param { source: "%s" root_folder: "%s" batch_size: 2 new_height: 4 new_width: 4
    shuffle: true } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "Flatten" bottom: "mean" top: "fc" }
"""
ACCURACY = (
    'layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" }\n'
    'layer { name: "keep" type: "Power" bottom: "fc" top: "keep" }\n'
)
IGNORED = 'layer { name: "s" type: "Silence" bottom: "label" }\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        pixels = np.zeros((6, 6, 3), np.uint8)
        pixels[:, :, 2 - number % 3] = 100 + number  # as BGR, channel number % 3
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"a {number}.png")
    lines = [f"a {number}.png {number % 3}" for number in range(5)]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def write(folder: Path, more: str, source: str = "list.txt", root: str = "pictures/") -> str:
    path = folder / "net.prototxt"
    path.write_text(NET % (source, root) + more)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["run", *args, "--backend", "reference"])
    out, err = capsys.readouterr()
    return code, out, err


def test_every_image_of_the_list_is_answered_in_its_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = folder / "out.npz"
    code, out, _ = run(capsys, write(folder, IGNORED), "--save", str(save), "--json")
    assert code == 0
    told = json.loads(out)
    assert told["items"] == [f"a {number}.png" for number in range(5)]
    with np.load(save) as saved:
        fc = saved["fc"]
    want = np.array([[(100 + n if n % 3 == c else 0) - 10 for c in range(3)] for n in range(5)])
    np.testing.assert_allclose(fc, want * 0.5)


def test_labels_are_those_of_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, write(folder, ACCURACY), "--output", "acc")
    assert (code, err) == (0, "")
    assert "acc: 1" in out


def test_given_images_are_taken_instead(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = write(folder, IGNORED, source="nowhere.txt")
    code, _, _ = run(capsys, net, "--input", str(folder / "pictures" / "a 1.png"))
    assert code == 0


@pytest.mark.parametrize(
    ("source", "root", "lines", "told"),
    [
        ("nowhere.txt", "", "", "error[missing-file]: there is no file `nowhere.txt`"),
        ("../up/list.txt", "", "", "error[outside-file]: `../up/list.txt` goes up by `..`"),
        ("list.txt", "", "b.png 1\n", "error[missing-file]: line 1 of `list.txt`: there is no"),
        ("list.txt", "", "\n../up/x.png 1\n", "error[outside-file]: line 2 of `list.txt`: `../up"),
        ("list.txt", "/", "etc/passwd 1\n", "error[outside-file]: line 1 of `list.txt`: `/etc/pas"),
        ("list.txt", "", "a.png\n", "error[bad-record]: `"),
        ("list.txt", "", "\n", "there are no lines"),
    ],
)
def test_what_the_list_cannot_name(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    root: str,
    lines: str,
    told: str,
) -> None:
    (folder / "list.txt").write_text(lines)
    code, out, err = run(capsys, write(folder, IGNORED, source, root))
    assert code == 1 and told in err + out
    assert "net.prototxt:4:30" in err + out
    assert "--input data=FILE" in err + out


def test_outside_images_are_read_where_a_person_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "list.txt").write_text(f"{folder}/pictures/a 2.png 2\n")
    net = write(inner, IGNORED, root="")
    assert run(capsys, net)[0] == 1
    code, out, _ = run(capsys, net, "--allow-outside")
    assert code == 0 and "46.0000     2" in out
