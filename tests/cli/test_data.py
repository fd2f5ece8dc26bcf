"""netc data: databases made of pictures are what Caffe's tools would have made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.data import prototxt_dir
from netc.sources.inspect import contents_of
from netc.weights.mean import load_mean

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"
IMAGES = sorted((prototxt_dir() / "digits" / "images").glob("*.png"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("lmdb", exc_type=ImportError)
    (tmp_path / "list.txt").write_text("".join(f"{p} {i}\n" for i, p in enumerate(IMAGES)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(database: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["data", "show", database, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("more", [[], ["--encoded"]])
def test_a_list_becomes_a_database(
    more: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "make", "list.txt", "-o", "db", "--gray", *more]) == 0
    assert capsys.readouterr().out == "db: 10 records\n"
    found = shown("db", capsys)
    assert found["records"] == 10
    assert found["shapes"] == [{"shape": [1, 8, 8], "records": 10}]
    assert found["labels"] == {str(i): 1 for i in range(10)}


def test_the_paths_of_a_list_start_from_its_folder_or_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("lists").mkdir()
    Path("lists/list.txt").write_text("".join(f"{p.name} 0\n" for p in IMAGES), encoding="utf-8")
    root = str(IMAGES[0].parent)
    assert main(["data", "make", "lists/list.txt", "--root", root, "-o", "db"]) == 0
    assert capsys.readouterr().out == "db: 10 records\n"
    assert main(["data", "make", "lists/list.txt", "-o", "none"]) == 1


def test_a_folder_of_classes_and_resizing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, path in (("b", IMAGES[0]), ("a", IMAGES[1]), ("a", IMAGES[2])):
        (folder / "set" / name).mkdir(parents=True, exist_ok=True)
        (folder / "set" / name / path.name).write_bytes(path.read_bytes())
    assert main(["data", "make", "set", "-o", "db", "--resize", "4x6"]) == 0
    assert capsys.readouterr().out.splitlines() == ["db: 3 records", "label 0: a", "label 1: b"]
    found = shown("db", capsys)
    assert found["shapes"] == [{"shape": [3, 4, 6], "records": 3}]
    assert found["labels"] == {"0": 2, "1": 1}


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(
    ("more", "shape"),
    [(["--resize", "6x4"], [3, 6, 4]), (["--gray"], [1, 8, 8]), ([], [3, 8, 8])],
)
def test_encoded_pictures_are_resized_and_made_grey(
    suffix: str, more: list[str], shape: list[int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"x.{suffix}")
    (folder / "list.txt").write_text(f"x.{suffix} 3\n")
    for name, encoded in (("plain", []), ("encoded", ["--encoded"])):
        assert main(["data", "make", "list.txt", "-o", name, *more, *encoded]) == 0
    plain, encoded = (
        contents_of(Path(n), "LMDB", 1, lambda *_: None) for n in ("plain", "encoded")
    )
    assert shown("encoded", capsys)["shapes"] == [{"shape": shape, "records": 1}]
    one, other = plain.first[0].pixels.astype(int), encoded.first[0].pixels.astype(int)
    if suffix == "png":
        np.testing.assert_array_equal(one, other)
    assert np.abs(one - other).mean() < 30  # of noise, the worst for a JPEG


def test_a_broken_file_is_named_and_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with (folder / "list.txt").open("a") as file:
        file.write("broken.png 3\n")
    assert main(["data", "make", "list.txt", "-o", "db"]) == 1
    out, err = capsys.readouterr()
    assert out == "db: 10 records\n"
    assert err.startswith("left out: `broken.png` cannot be read as an image")


def test_a_database_that_is_there_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "db").mkdir()
    assert main(["data", "make", "list.txt", "-o", "db"]) == 1
    assert "`db` is there already" in capsys.readouterr().err


def test_the_mean_is_that_of_compute_image_mean(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (means,) = GOLDEN.glob("lmdb_mean_file_crop_src/*.binaryproto")
    database = next(p.parent for p in GOLDEN.glob("lmdb_mean_file_crop_src/**/data.mdb"))
    assert main(["data", "mean", str(database), "-o", "mean.binaryproto"]) == 0
    np.testing.assert_allclose(load_mean("mean.binaryproto"), load_mean(means), rtol=1e-6)


def test_hdf5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    assert main(["data", "make", "list.txt", "-o", "set.h5", "--gray"]) == 0
    assert (folder / "set.txt").read_text() == "set.h5\n"
    with h5py.File(folder / "set.h5") as file:
        assert file["data"].shape == (10, 1, 8, 8)
        assert list(file["label"]) == list(range(10))


def test_an_order_follows_from_the_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("one", "1"), ("again", "1"), ("other", "2")):
        make = ["data", "make", "list.txt", "-o", name, "--shuffle", "--seed", seed]
        assert main(make) == 0
    contents = [(folder / n / "data.mdb").read_bytes() for n in ("one", "again", "other")]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [("picture.png\n", "line 1 is no path with a label after it"), ("", "has no pictures")],
)
def test_a_list_that_is_none_is_told(
    text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "list.txt").write_text(text)
    assert main(["data", "make", "list.txt", "-o", "db"]) == 1
    assert message in capsys.readouterr().err


def test_the_bundled_digits_are_trained_from_databases(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the README shows, for some iterations."""
    digits = prototxt_dir() / "digits"
    for name in ("train", "test"):
        made = ["data", "make", str(digits / f"{name}_digits.npz"), "-o", f"{name}_lmdb"]
        assert main(made) == 0
    for name in ("train.prototxt", "solver.prototxt"):
        (folder / name).write_text((digits / name).read_text())
    more = ["--set", "max_iter=60", "--set", "test_interval=60", "--json", "-"]
    capsys.readouterr()
    assert main(["train", "solver.prototxt", *more]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1]["net"] == "test 0"
    assert rows[-1]["accuracy"] > 0.8


def test_a_database_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", str(tmp_path / "none")]) == 1
    told = capsys.readouterr().err
    assert "error[file-not-found]" in told and "there is no database" in told


def test_arrays_are_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "rows.npz", data=np.zeros((1, 1, 2, 2), np.uint8))
    for command in (["show"], ["mean", "-o", str(tmp_path / "m.binaryproto")]):
        assert main(["data", command[0], str(tmp_path / "rows.npz"), *command[1:]]) == 1
        told = capsys.readouterr().err
        assert "is no database" in told and "netc data make" in told
