"""`netc predict`: sources, formats, broken inputs, restarts."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main
from netc.predict import local
from netc.predict.decode import Decoder
from netc.predict.lock import FolderLock
from netc.predict.store import Store
from tests.predict.nets import expected, fed, pictures, write_net

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.chdir(tmp_path)
    return write_net(Path("."))


def predict(*argv: object) -> int:
    return main(["predict", "net.prototxt", "-w", "net.npz", *map(str, argv)])


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# Sources


def make_lmdb(paths: list[Path], folder: Path, encoded: bool) -> None:
    lmdb = pytest.importorskip("lmdb")
    from netc.sources.records import datum_class

    environment = lmdb.open(str(folder), map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for path, row in zip(paths, fed(paths), strict=True):
            datum = datum_class()(channels=3, height=6, width=6, label=1, encoded=encoded)
            datum.data = path.read_bytes() if encoded else row.astype(np.uint8).tobytes()
            transaction.put(path.name.encode(), datum.SerializeToString())
    environment.close()


def make_list(paths: list[Path]) -> str:
    Path("list.txt").write_text("\n".join(f"{path} {i}" for i, path in enumerate(paths)))
    return "list.txt"


def make_hdf5(rows: Any) -> str:
    h5py = pytest.importorskip("h5py")
    with h5py.File("rows.h5", "w") as file:
        file.create_dataset("data", data=rows, chunks=(2, 3, 6, 6), compression="gzip")
    return "rows.h5"


def make_tar(paths: list[Path]) -> str:
    with tarfile.open("rows.tar", "w") as archive:
        for path in paths:
            archive.add(path, path.name)
    return "rows.tar"


def make_shards(rows: Any) -> str:
    Path("shards").mkdir()
    for number, start in enumerate(range(0, len(rows), 3)):
        np.savez(f"shards/{number}.npz", data=rows[start : start + 3])
    return "shards"


def make_source(kind: str, paths: list[Path]) -> str:
    rows = fed(paths)
    if kind in ("lmdb", "encoded"):
        make_lmdb(paths, Path("db"), kind == "encoded")
        return "db"
    if kind in ("npz", "packed"):
        (np.savez if kind == "npz" else np.savez_compressed)("rows.npz", data=rows)
        return "rows.npz"
    if kind.startswith("parquet"):
        return make_parquet(kind, paths, rows)
    makers = {
        "folder": lambda: "imgs",
        "pattern": lambda: "imgs/*.png",
        "list": lambda: make_list(paths),
        "hdf5": lambda: make_hdf5(rows),
        "tar": lambda: make_tar(paths),
        "shards": lambda: make_shards(rows),
    }
    return makers[kind]()


def needed(name: str) -> None:
    """Skip a test whose file needs a package that is absent."""
    packages = {"parquet": "pyarrow", "h5": "h5py"}
    if package := packages.get(name.rpartition(".")[2]):
        pytest.importorskip(package)


def make_parquet(kind: str, paths: list[Path], rows: Any) -> str:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    bytes_ = [path.read_bytes() for path in paths]
    column = {
        "parquet bytes": bytes_,
        "parquet structs": [{"bytes": b, "path": "x"} for b in bytes_],
        "parquet paths": [path.name for path in paths],
        "parquet numbers": rows.reshape(len(rows), -1).tolist(),
    }[kind]
    table = arrow.table({"image": column, "label": list(range(len(rows)))})
    where = "imgs/rows.parquet" if "paths" in kind else "rows.parquet"
    parquet.write_table(table, where, row_group_size=4)
    return where


SOURCES = (
    *("folder", "pattern", "list", "lmdb", "encoded", "npz", "packed", "hdf5", "tar", "shards"),
    *(f"parquet {kind}" for kind in ("bytes", "structs", "paths", "numbers")),
)


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_answers(kind: str, net: tuple[str, str]) -> None:
    paths = pictures(Path("imgs"), 7)
    source = make_source(kind, paths)
    assert predict(source, "-o", "out.jsonl", "--top", 5, "--batch", 2, "--shard-rows", 4) == 0
    got = lines("out.jsonl")
    assert [row["index"] for row in got] == list(range(7))
    want = expected(net, fed(paths))["prob"]
    order = np.argsort(-want, 1, kind="stable")
    assert [row["prob_class"] for row in got] == order.tolist()
    scores = [row["prob_score"] for row in got]
    np.testing.assert_allclose(scores, np.take_along_axis(want, order, 1), rtol=1e-4)
    assert len({row["name"] for row in got}) == 7


def test_a_folder_of_folders_without_what_is_hidden() -> None:
    for name in ("b", "a", ".git"):
        pictures(Path(name), 1)
        Path("imgs").mkdir(exist_ok=True)
        Path(name).rename(f"imgs/{name}")
    Path("imgs/a/._000.png").write_bytes(b"of some other system")
    Path("imgs/notes.md").write_text("no image")
    assert predict("imgs", "-o", "out.jsonl") == 0
    assert [row["name"] for row in lines("out.jsonl")] == ["imgs/a/000.png", "imgs/b/000.png"]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("nothing", "missing-file"),
        ("*.nothing", "missing-file"),
        ("empty", "input-format"),
        ("mixed", "input-format"),
        ("bad.npz", "input-format"),
        ("other.npz", "input-format"),
        ("none.npz", "input-format"),
        ("bad.tar", "input-format"),
        ("bad.parquet", "input-format"),
        ("bad.h5", "input-format"),
    ],
)
def test_sources_that_are_none(source: str, code: str, capsys: Capture) -> None:
    needed(source)
    Path("empty").mkdir()
    pictures(Path("mixed"), 1)
    np.savez("mixed/rows.npz", data=np.zeros((1, 3, 6, 6), np.float32))
    for name in ("bad.npz", "bad.tar", "bad.parquet", "bad.h5"):
        Path(name).write_bytes(b"nothing of the kind")
    np.savez("other.npz", a=np.zeros((2, 3)), b=np.zeros((2, 3)))
    np.savez("none.npz", data=np.zeros((0, 3, 6, 6), np.float32))
    assert predict(source, "-o", "out.jsonl") == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert not Path("out.jsonl").exists()


def test_options_of_images_are_no_options_of_arrays(capsys: Capture) -> None:
    np.savez("rows.npz", data=np.zeros((2, 3, 6, 6), np.float32))
    for option in (("--mean", "1,2,3"), ("--augment", "flip"), ("--resize", "9")):
        assert predict("rows.npz", "-o", "out.jsonl", *option) == 1
        told = capsys.readouterr().err
        assert "fed as they are" in told
        assert "leave out what is said of images: " + option[0] in told
    assert predict("rows.npz", "-o", "out.jsonl", "--raw-scale", 1, "--scale", 2) == 1
    assert "leave out what is said of images: --scale, --raw-scale" in capsys.readouterr().err
    assert predict("rows.npz", "-o", "out.jsonl", "--augment", "none") == 0


def test_a_net_of_two_inputs_takes_arrays(capsys: Capture) -> None:
    text = """
    layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: [1, 2] } } }
    layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }"""
    Path("two.prototxt").write_text(text)
    a, b = np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((3, 2), np.float32)
    np.savez("rows.npz", a=a, b=b)
    assert main(["predict", "two.prototxt", "rows.npz", "-o", "o.npz", "--top", "0"]) == 0
    np.testing.assert_array_equal(np.load("o.npz")["sum"], a + b)
    pictures(Path("imgs"), 1)
    assert main(["predict", "two.prototxt", "imgs", "-o", "x.npz"]) == 1
    assert "error[ambiguous-input]" in capsys.readouterr().err


# Formats


def read_back(path: str) -> dict[str, Any]:
    if path.endswith(".npz"):
        return dict(np.load(path))
    if path.endswith(".h5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path) as file:
            found = {name: file[name][...] for name in file}
        return {n: a.astype(str) if a.dtype == object else a for n, a in found.items()}
    if path.endswith(".parquet"):
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return {name: np.array(table[name].to_pylist()) for name in table.column_names}
    if path.endswith(".jsonl"):
        rows = lines(path)
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with open(path, newline="") as file:
        heads, *cells = list(csv.reader(file))
    table = {head: [row[index] for row in cells] for index, head in enumerate(heads)}
    found = {"name": np.array(table["name"])}
    for name in ("fc", "prob_class", "prob_score", "prob_label"):
        numbered = [table[head] for head in heads if head.rpartition("_")[0] == name]
        column = np.array(numbered).T
        found[name] = column if name == "prob_label" else column.astype(float)
    return found


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "npz", "h5"])
def test_every_format_holds_the_same(suffix: str, net: tuple[str, str]) -> None:
    needed(suffix)
    paths = pictures(Path("imgs"), 9)
    Path("imgs/004.png").write_bytes(b"broken")
    Path("labels.txt").write_text("ant\nbee, honey\ncat\n=dog()\n")
    more = ("--blob", "fc", "--top", 2, "--labels", "labels.txt", "--batch", 2, "--shard-rows", 4)
    assert predict("imgs", "-o", f"out.{suffix}", *more) == 0
    got = read_back(f"out.{suffix}")
    paths.pop(4)
    want = expected(net, fed(paths), outputs=("fc", "prob"))
    best = np.argsort(-want["prob"], 1, kind="stable")[:, :2]
    labels = np.array(["ant", "bee, honey", "cat", "'=dog()" if suffix == "csv" else "=dog()", ""])
    np.testing.assert_allclose(got["fc"], want["fc"], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(got["prob_class"], best)
    np.testing.assert_array_equal(got["prob_label"], labels[best])
    want_scores = np.take_along_axis(want["prob"], best, 1)
    np.testing.assert_allclose(got["prob_score"], want_scores, rtol=1e-4)
    assert list(got["name"]) == [str(path) for path in paths]
    assert sorted(p.name for p in Path().glob("out*")) == [
        f"out.{suffix}", f"out.{suffix}.manifest.json"
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "npz", "h5"])
def test_a_folder_of_shards(suffix: str) -> None:
    needed(suffix)
    pictures(Path("imgs"), 9)
    assert predict("imgs", "-o", "out/", "--format", suffix, "--batch", 4, "--shard-rows", 4) == 0
    names = sorted(path.name for path in Path("out").iterdir())
    parts = [f"part-{number:012}.{suffix}" for number in (0, 4, 8)]
    assert names == ["_manifest", *parts]


BOXES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 6, 6] } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "two" type: "Slice" bottom: "flat" top: "one" top: "other"
        slice_param { slice_point: 1 } }
layer { name: "conf" type: "Concat" bottom: "one" bottom: "one" top: "conf" }
layer { name: "zero" type: "Power" bottom: "conf" top: "zero" power_param { scale: 0 } }
layer { name: "loc" type: "Concat" bottom: "zero" bottom: "zero" top: "loc" }
layer { name: "prior" type: "DummyData" top: "prior"
        dummy_data_param { shape { dim: [1, 2, 4] }
                           data_filler { type: "constant" value: 0.5 } } }
layer { name: "boxes" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
        top: "boxes" detection_output_param { num_classes: 2 background_label_id: -1
        nms_param { nms_threshold: 0.9 } keep_top_k: 5 confidence_threshold: 0.4 } }
"""


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "npz", "h5"])
def test_boxes_of_each_picture(suffix: str) -> None:
    """The second picture is dark, and has no box."""
    needed(suffix)
    Path("imgs").mkdir()
    for index, light in enumerate((200, 0, 255)):
        Image.fromarray(np.full((12, 12, 3), light, np.uint8)).save(f"imgs/{index}.png")
    Path("boxes.prototxt").write_text(BOXES)
    argv = ["predict", "boxes.prototxt", "imgs", "-o", f"out.{suffix}", "--batch", "2"]
    assert main([*argv, "--shard-rows", "2"]) == 0
    want = json.loads(run_of("boxes.prototxt", "imgs"))["outputs"]["boxes"]["boxes"]
    counts = [sum(box["item"] == item for box in want) for item in range(3)]
    assert counts[1] == 0 and counts[0] > 0
    if suffix in ("npz", "h5"):
        got = read_back(f"out.{suffix}")
        assert got["boxes_box_count"].tolist() == counts
        np.testing.assert_allclose(got["boxes_box"], [box["box"] for box in want], atol=1e-3)
        return
    table = read_rows(f"out.{suffix}")
    assert [len(row["boxes_box"]) for row in table] == counts
    np.testing.assert_allclose(table[0]["boxes_box"][0], want[0]["box"], atol=1e-3)
    np.testing.assert_allclose(table[0]["boxes_score"][0], want[0]["score"], rtol=1e-5)


def read_rows(path: str) -> list[dict[str, Any]]:
    if path.endswith(".jsonl"):
        return lines(path)
    if path.endswith(".parquet"):
        rows: list[dict[str, Any]] = (
            pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
        )
        return rows
    with open(path, newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: json.loads(v) if "boxes" in k else v for k, v in row.items()} for row in found]


def run_of(net: str, source: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["run", net, "-i", source, "--json"]) == 0
    return out.getvalue()


# What is asked of images


def test_crops_ensembles_and_whole_images(net: tuple[str, str], tmp_path: Path) -> None:
    paths = pictures(Path("imgs"), 3)
    rows, other = fed(paths), write_net(Path("."), name="other", seed=4)

    def scores(*argv: object) -> Any:
        assert predict("imgs", "-o", "out.npz", "--restart", "--top", 0, *argv) == 0
        return np.load("out.npz")["prob"]

    want = expected(net, rows)["prob"]
    mirrored = expected(net, np.ascontiguousarray(rows[..., ::-1]))["prob"]
    np.testing.assert_allclose(scores("--augment", "flip"), (want + mirrored) / 2, rtol=1e-4)
    np.testing.assert_allclose(
        scores("--ensemble", *other), (want + expected(other, rows)["prob"]) / 2, rtol=1e-4
    )
    np.testing.assert_allclose(scores("--dense", "--resize", 6), want, rtol=1e-4)
    ten = scores("--augment", "ten-crop", "--resize", 8, "--batch", 3)
    out = json.loads(run_of_ten())["outputs"]["prob"]["values"]
    np.testing.assert_allclose(ten, out, rtol=1e-4)


def run_of_ten() -> str:
    out = io.StringIO()
    argv = ["net.prototxt", "-w", "net.npz", "-i", "imgs", "--crops", "ten", "--resize", "8"]
    with contextlib.redirect_stdout(out):
        assert main(["run", *argv, "--json"]) == 0
    return out.getvalue()


def test_nets_of_an_ensemble_may_differ_in_size() -> None:
    small = Path("net.prototxt").read_text().replace("dim: [2, 3, 6, 6]", "dim: [1, 3, 5, 5]")
    other = write_net(Path("."), small, "small")
    pictures(Path("imgs"), 3, (9, 7))
    assert predict("imgs", "-o", "out.npz", "--top", 0, "--ensemble", *other) == 0
    made = []
    for name in ("net", "small"):
        argv = ["predict", f"{name}.prototxt", "-w", f"{name}.npz", "imgs", "-o", f"{name}_out.npz"]
        assert main([*argv, "--top", "0"]) == 0
        made.append(np.load(f"{name}_out.npz")["prob"])
    np.testing.assert_allclose(np.load("out.npz")["prob"], (made[0] + made[1]) / 2, rtol=1e-4)


def test_a_dense_evaluation_needs_a_size(capsys: Capture) -> None:
    pictures(Path("imgs"), 1)
    assert predict("imgs", "-o", "out.npz", "--dense") == 1
    assert "--resize" in capsys.readouterr().err


# Broken inputs


def test_broken_inputs_are_listed_and_left_out(capsys: Capture) -> None:
    paths = pictures(Path("imgs"), 5)
    paths[1].write_bytes(b"no image")
    paths[2].write_bytes(paths[3].read_bytes()[:60])
    os.mkfifo("imgs/pipe.png")
    Path("list.txt").write_text("\n".join([*map(str, paths), "imgs/pipe.png", "imgs/gone.png"]))
    assert predict("list.txt", "-o", "out.jsonl", "--batch", 2) == 0
    told = capsys.readouterr()
    assert [row["index"] for row in lines("out.jsonl")] == [0, 3, 4]
    assert "records left out: 4" in told.err and "imgs/gone.png" in told.err
    assert predict("list.txt", "-o", "out.jsonl", "--batch", 2, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [entry["number"] for entry in summary["broken"]] == [1, 2, 5, 6]
    assert summary["answers"] == 3 and summary["done_before"] == 7


def test_strict_stops_at_the_first(capsys: Capture) -> None:
    paths = pictures(Path("imgs"), 5)
    paths[3].write_bytes(b"no image")
    assert predict("imgs", "-o", "out.jsonl", "--strict", "--batch", 1, "--shard-rows", 2) == 1
    told = capsys.readouterr().err
    assert "error[bad-image]" in told and "003.png" in told
    assert (
        not Path("out.jsonl").exists() and Path("out.jsonl.parts/part-000000000000.jsonl").exists()
    )
    paths[3].write_bytes(paths[2].read_bytes())
    assert predict("imgs", "-o", "out.jsonl", "--strict", "--batch", 1, "--shard-rows", 2) == 0
    assert "2 of them done before" in capsys.readouterr().out


def test_where_nothing_can_be_read_the_exit_code_says_so() -> None:
    Path("imgs").mkdir()
    Path("imgs/a.png").write_bytes(b"no image")
    assert predict("imgs", "-o", "out.csv") == 1
    assert Path("out.csv").read_text().startswith("index,name,prob_class_1")


def test_a_mean_that_fits_none_is_no_fault_of_the_images(capsys: Capture) -> None:
    pictures(Path("imgs"), 2)
    assert predict("imgs", "-o", "out.jsonl", "--mean", "1,2") == 1
    assert "error[bad-mean]" in capsys.readouterr().err


def test_names_steer_nothing(capsys: Capture) -> None:
    pictures(Path("imgs"), 1)[0].rename("imgs/=1+1\x1b[31m.png")
    Path("imgs/bad\x1b[2J.png").write_bytes(b"no image")
    assert predict("imgs", "-o", "out.csv") == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    table = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
    assert (
        table[0]["name"] == "'imgs/=1+1\\x1b[31m.png" and "\x1b" not in Path("out.csv").read_text()
    )


def test_archives_lead_nowhere(capsys: Capture) -> None:
    """Links of a tar and of HDF5, and paths in a Parquet file that are no regular files."""
    pictures(Path("imgs"), 2)
    with tarfile.open("rows.tar", "w") as archive:
        archive.add("imgs/000.png", "../../000.png")
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.CHRTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    assert predict("rows.tar", "-o", "out.jsonl") == 0
    assert [row["name"] for row in lines("out.jsonl")] == ["../../000.png"]
    with open("rows.tar", "r+b") as file:
        file.truncate(600)
    assert predict("rows.tar", "-o", "cut.jsonl") == 1
    h5py = pytest.importorskip("h5py")
    with h5py.File("other.h5", "w") as file:
        file["data"] = np.zeros((2, 3, 6, 6), np.float32)
    with h5py.File("links.h5", "w") as file:
        file["data"] = h5py.ExternalLink("other.h5", "/data")
    assert predict("links.h5", "-o", "links.jsonl") == 1
    assert "it has no array for input `data`" in capsys.readouterr().err


def test_paths_of_a_table_that_are_no_files() -> None:
    arrow = pytest.importorskip("pyarrow")
    paths = pictures(Path("imgs"), 1)
    os.mkfifo("pipe.png")
    named = ["pipe.png", "/dev/zero", "gone.png", None, "a\0b", str(paths[0])]
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"path": named}), "rows.parquet")
    assert predict("rows.parquet", "-o", "out.jsonl") == 0
    assert [row["index"] for row in lines("out.jsonl")] == [5]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "npz", "h5"])
def test_names_that_are_no_text(suffix: str) -> None:
    """A file's name is bytes; what is no UTF-8 in it is written as an escape."""
    pictures(Path("imgs"), 2)[0].rename(os.fsdecode(b"imgs/\xff\n.png"))
    needed(suffix)
    for target in (f"out.{suffix}", "shards/"):
        more = ("--format", suffix) if target == "shards/" else ()
        assert predict("imgs", "-o", target, *more) == 0
    found = [str(name) for name in read_back(f"out.{suffix}")["name"]]
    assert len(found) == 2 and found[0] == "imgs/001.png"


def test_an_image_larger_than_the_memory_is_a_broken_one(capsys: Capture) -> None:
    paths = pictures(Path("imgs"), 2)
    Image.new("RGB", (9000, 9000)).save(paths[0])
    assert predict("imgs", "-o", "out.jsonl", "--max-memory", "100MB") == 0
    assert "of memory" in capsys.readouterr().err
    assert [row["index"] for row in lines("out.jsonl")] == [1]


# Restarts


class StoppedError(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """The run ends, as if it were killed, before so many shards and one more are recorded."""
    write, written = Store.write, []

    def stopping(self: Store, columns: Any) -> Any:
        if len(written) == shards:
            (self.folder / "part-000000000099.jsonl").write_text("half a line")
            raise StoppedError
        written.append(1)
        return write(self, columns)

    monkeypatch.setattr(Store, "write", stopping)


@pytest.mark.parametrize("target", ["out.jsonl", "out/"])
def test_what_is_done_is_not_done_again(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pictures(Path("imgs"), 10)
    more = ("imgs", "-o", target, "--batch", 2, "--shard-rows", 2)
    with monkeypatch.context() as patched:
        stop_after(patched, 2)
        assert predict(*more) == 3
    read = []
    answered = local.answered

    def counting(*given: Any) -> Any:
        read.extend(given[2]["index"].tolist())
        return answered(*given)

    monkeypatch.setattr(local, "answered", counting)
    capsys.readouterr()
    assert predict(*more) == 0
    assert sorted(read) == [4, 5, 6, 7, 8, 9]
    assert "4 of them done before" in capsys.readouterr().out
    files = [Path(target)] if target != "out/" else sorted(Path("out").glob("part-*"))
    got = [row["index"] for path in files for row in lines(path)]
    assert got == list(range(10))
    assert predict(*more) == 0 and sorted(read) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("target", ["out.jsonl", "out/"])
@pytest.mark.parametrize(
    "change", ["weights", "net", "source", "top", "mean", "blob", "labels", "augment"]
)
def test_another_run_is_not_gone_on_with(target: str, change: str, capsys: Capture) -> None:
    pictures(Path("imgs"), 4)
    Path("labels.txt").write_text("a\nb")
    assert predict("imgs", "-o", target) == 0
    if change == "weights":
        write_net(Path("."), seed=3)
    elif change == "net":
        Path("net.prototxt").write_text(Path("net.prototxt").read_text() + "# other\n")
    elif change == "source":
        pictures(Path("imgs"), 5)
    options = {
        "top": ("--top", 3), "mean": ("--mean", "1,2,3"), "blob": ("--blob", "fc"),
        "labels": ("--labels", "labels.txt"), "augment": ("--augment", "flip"),
    }.get(change, ())  # fmt: skip
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    assert predict("imgs", "-o", target, *options) == 1
    told = capsys.readouterr().err
    assert "error[other-run]" in told
    differs = {
        "top": "answers: `top` 5 and 3", "augment": 'inputs: `crops` "center" and "flip"',
        "weights": "weights: `sha256` ", "net": "net: `sha256` ", "source": "`records` 4 and 5",
        "mean": "inputs: `mean` not said and ", "blob": '`blobs` [] and ["fc"]',
        "labels": "`labels` ",
    }[change]  # fmt: skip
    assert differs in told
    assert before == {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    assert predict("imgs", "-o", target, *options, "--restart") == 0
    assert predict("imgs", "-o", target, *options, "--batch", 1, "--threads", 1) == 0


def test_a_folder_of_a_persons_own_is_left_alone(capsys: Capture) -> None:
    pictures(Path("imgs"), 2)
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("mine")
    for more in ((), ("--restart",)):
        assert predict("imgs", "-o", "out", *more) == 1
        assert "error[cannot-write]" in capsys.readouterr().err
    assert [p.name for p in Path("out").iterdir()] == ["thesis.txt"]


def test_damaged_manifests_are_told(capsys: Capture) -> None:
    pictures(Path("imgs"), 4)
    assert predict("imgs", "-o", "out/", "--batch", 2, "--shard-rows", 2) == 0
    Path("out/_manifest/part-000000000002.json").write_text('{"ranges": 3}')
    assert predict("imgs", "-o", "out/", "--batch", 2, "--shard-rows", 2) == 0
    assert "2 of them done before" in capsys.readouterr().out
    Path("out/_manifest/run.json").write_text("[" * 100000)
    assert predict("imgs", "-o", "out/") == 1
    assert "error[other-run]" in capsys.readouterr().err


def test_what_is_read_is_not_overwritten(capsys: Capture) -> None:
    np.savez("rows.npz", data=np.zeros((2, 3, 6, 6), np.float32))
    before = Path("rows.npz").read_bytes()
    assert predict("rows.npz", "-o", "rows.npz") == 1
    assert "error[overwrites-input]" in capsys.readouterr().err
    assert Path("rows.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("out.txt", "unknown-suffix"),
        ("gone/out.csv", "cannot-write"),
        ("pipe.csv", "not-a-file"),
        ("-", "bad-argument"),
    ],
)
def test_outputs_that_cannot_be(output: str, code: str, capsys: Capture) -> None:
    pictures(Path("imgs"), 2)
    os.mkfifo("pipe.csv")
    assert predict("imgs", "-o", output) == 1
    assert f"error[{code}]" in capsys.readouterr().err


def test_decoding_goes_no_further_ahead_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits decoded is bounded, however slow the net is."""
    pictures(Path("imgs"), 40)
    made, taken, most = [0], [0], [0]
    call, answered = Decoder.__call__, local.answered

    def counting(self: Any, part: Any, first: int) -> Any:
        made[0] += 1
        most[0] = max(most[0], made[0] - taken[0])
        return call(self, part, first)

    def slow(*given: Any) -> Any:
        time.sleep(0.01)
        taken[0] += 1
        return answered(*given)

    monkeypatch.setattr(Decoder, "__call__", counting)
    monkeypatch.setattr(local, "answered", slow)
    assert predict("imgs", "-o", "out.jsonl", "--batch", 1, "--decoders", 2) == 0
    assert taken[0] == 40 and most[0] <= 2 + 2 + 1


# Two at once


def test_two_runs_do_not_write_one_output(capsys: Capture) -> None:
    pictures(Path("imgs"), 4)
    assert predict("imgs", "-o", "out/", "--batch", "2") == 0
    for held, output in ((Path("out"), "out/"), (Path("one.jsonl.parts"), "one.jsonl")):
        held.mkdir(exist_ok=True)
        other = FolderLock(held)
        capsys.readouterr()
        assert predict("imgs", "-o", output, "--batch", "2", "--restart") == 1
        assert "error[output-in-use]" in capsys.readouterr().err
        other.release()
    assert lines("out/part-000000000000.jsonl")  # what the other had is still there
    assert predict("imgs", "-o", "one.jsonl") == 0


def test_labels_that_are_no_text_are_told(capsys: Capture) -> None:
    (image,) = pictures(Path("imgs"), 1)
    assert predict("imgs", "-o", "out.jsonl", "--labels", image) == 1
    assert "is no text of one label a line" in capsys.readouterr().err
