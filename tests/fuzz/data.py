"""Data that nets are trained on and asked about, as folders: databases, lists, HDF5, ONNX models.

A folder is one file here, a zip without compression, of which one member is changed at a time.
"""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.driver import compile
from netc.export.onnx import save, to_onnx
from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.memory import budget_of, using
from netc.sources.catalog import open_sources
from tests.fuzz.engine import Target, change_bytes, change_text, told

NET = "net.prototxt"  # never changed: it says what is to be read
MEMORY = "300MB"  # that a folder may take
_BATCHES = 3


def _packed(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size:
                file.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes())
    return out.getvalue()


def in_folder(attempt: Callable[[Path], object]) -> Callable[[bytes], None]:
    """An attempt at a packed folder; what is no zip, as parts of a find are, is passed over."""

    def unpacked(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            try:
                with zipfile.ZipFile(io.BytesIO(data)) as file:
                    file.extractall(folder)
            except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
                return
            try:
                with using(budget_of(MEMORY)):
                    attempt(folder)
            except NetcError as error:
                told(error)

    return unpacked


def change_member(rng: random.Random, data: bytes) -> bytes:
    """A packed folder with one of its files changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(sorted(set(members) - {NET}) or sorted(members))
    change = change_text if name.endswith(".txt") and rng.random() < 0.7 else change_bytes
    members[name] = change(rng, members[name]) or b"\0"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def read_batches(folder: Path) -> None:
    """Some batches of what the net's data layers name."""
    sources = open_sources(read_net(folder / NET).message, NetState("TRAIN"), folder, 0)
    assert sources is not None
    for position in range(_BATCHES):
        for array in sources(position).values():
            assert array.dtype == np.float32 and array.shape[0] == 2


def command(*arguments: str) -> Callable[[Path], None]:
    """A command on files of the folder ends well, or with a mistake of theirs, not netc's."""

    def run(folder: Path) -> None:
        words = [str(folder / word[1:]) if word.startswith("@") else word for word in arguments]
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            assert main(words) in (0, 1)

    return run


def _show(source: str) -> Callable[[Path], None]:
    return command("data", "show", source)


def _pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number, kind in enumerate(("PNG", "JPEG", "BMP")):
        picture = Image.fromarray(rng.integers(0, 255, (8, 7, 3), np.uint8))
        picture.save(folder / f"{number}.png", kind)
    (folder / "list.txt").write_text("0.png 0\n1.png 1\n2.png 2\n")


def _arrays(folder: Path) -> Path:
    path = folder / "all.npz"
    pixels = np.random.default_rng(0).integers(0, 255, (5, 3, 8, 7), np.uint8)
    np.savez(path, data=pixels, label=np.arange(5))
    return path


def _layer(kind: str, block: str) -> str:
    return f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {block} }}\n'


def _image_list(folder: Path) -> None:
    _pictures(folder)
    block = 'image_data_param { source: "list.txt" batch_size: 2 new_height: 8 new_width: 7 }'
    (folder / NET).write_text(_layer("ImageData", block))


def _windows(folder: Path) -> None:
    _pictures(folder)
    (folder / "list.txt").write_text(
        "# 0\n0.png\n3 8 7\n2\n1 0.9 0 0 5 5\n2 0.1 1 1 6 6\n# 1\n1.png\n3 8 7\n1\n1 0.8 0 0 5 5\n"
    )
    block = (
        'window_data_param { source: "list.txt" batch_size: 2 } transform_param { crop_size: 5 }'
    )
    (folder / NET).write_text(_layer("WindowData", block))


def _lmdb(folder: Path) -> None:
    path = _arrays(folder)
    assert main(["data", "make", str(path), "-o", str(folder / "db")]) == 0
    path.unlink()
    (folder / "db" / "lock.mdb").unlink(missing_ok=True)
    block = 'data_param { source: "db" backend: LMDB batch_size: 2 }'
    (folder / NET).write_text(_layer("Data", block))


def _hdf5_rows(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "rows.h5", "w") as file:
        rows = np.ones((5, 3, 4), np.float32)
        file.create_dataset("data", data=rows, chunks=(2, 3, 4), compression="gzip")
        file["label"] = np.arange(5, dtype=np.float32)
    (folder / "list.txt").write_text("rows.h5\n")
    block = 'hdf5_data_param { source: "list.txt" batch_size: 2 }'
    (folder / NET).write_text(_layer("HDF5Data", block))


_SMALL = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "f" type: "InnerProduct" bottom: "p" top: "f"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "s" type: "Softmax" bottom: "f" top: "s" }
"""


_LINEAR = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 7 }
layer { name: "f" type: "InnerProduct" bottom: "data" top: "f"
        inner_product_param { num_output: 3 weight_filler { type: "constant" } } }
"""


def _rows_to_predict(folder: Path) -> None:
    _arrays(folder)
    (folder / NET).write_text(_LINEAR)


def _database(folder: Path) -> None:
    _lmdb(folder)
    (folder / NET).unlink()


def _onnx(folder: Path) -> None:
    save(to_onnx(compile(text=_SMALL, backend="reference").graph), folder / "model.onnx")


def _seeds(make: Callable[[Path], None], *packages: str) -> Callable[[], Sequence[bytes]]:
    """The folder that a function fills; none where a package for it is not installed."""

    @cache
    def packed() -> tuple[bytes, ...]:
        if not all(map(find_spec, packages)):
            return ()
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            make(Path(name))
            return (_packed(Path(name)),)

    return packed


TARGETS = (
    Target("images", _seeds(_image_list), in_folder(read_batches), change_member, 100),
    Target("windows", _seeds(_windows), in_folder(read_batches), change_member, 100),
    Target("lmdb", _seeds(_lmdb, "lmdb"), in_folder(read_batches), change_member, 15),
    Target("hdf5-rows", _seeds(_hdf5_rows, "h5py"), in_folder(read_batches), change_member, 100),
    Target("show-arrays", _seeds(_arrays), in_folder(_show("@all.npz")), change_member, 100),
    Target("show-lmdb", _seeds(_database, "lmdb"), in_folder(_show("@db")), change_member, 15),
    Target(
        "predict",
        _seeds(_rows_to_predict),
        in_folder(command("predict", f"@{NET}", "@all.npz", "-o", "@out.jsonl")),
        change_member,
        30,
    ),
    Target(
        "onnx",
        _seeds(_onnx, "onnx"),
        in_folder(command("import", "@model.onnx", "-o", "@new.prototxt")),
        change_member,
        60,
    ),
)
