"""The kinds of files that strangers give, and what must hold of each."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import netc
from netc.analysis.feeds import drawn_inputs
from netc.diagnostics import NetcError, NetcWarning, Source
from netc.image_files import FORMATS, load_image
from netc.memory import budget_of, using
from netc.printable import printable
from netc.weights import load_mean, load_weights, save_weights
from netc.weights.numpy_file import load_array, open_archive
from netc.weights.seeded import seeded_weights
from netc.weights.solver_state import SolverState, load_solver_state, save_solver_state
from tests.conftest import ROOT
from tests.fuzz import data
from tests.fuzz.engine import Target, change_bytes, change_net, change_text, told

MEMORY = "300MB"  # that a file may take
_MOST_ELEMENTS = 200_000  # of a net that is run
_MOST_LAYERS = 40


# Texts


@cache
def _prototxts() -> tuple[bytes, ...]:
    """One net of each layer type, by its smallest text."""
    texts: dict[str, bytes] = {}
    for path in sorted((ROOT / "tests" / "golden" / "layers").glob("*.prototxt")):
        data = path.read_bytes()
        name = path.name.partition("__")[0]
        if name not in texts or len(data) < len(texts[name]):
            texts[name] = data
    return tuple(texts.values())


@cache
def _all_prototxts() -> tuple[bytes, ...]:
    paths = sorted((ROOT / "tests" / "golden" / "layers").glob("*.prototxt"))
    return tuple(path.read_bytes() for path in paths)


@cache
def _dialect() -> tuple[bytes, ...]:
    paths = sorted((ROOT / "prototxt").glob("*.netc"))
    return tuple(path.read_bytes() for path in paths if path.stat().st_size < 3000)


def compiled(text: str, **how: Any) -> netc.CompiledNet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        return netc.compile(
            Source("fuzz", text), missing="fill", max_memory=MEMORY, **{"threads": 1, **how}
        )


def _elements(net: netc.CompiledNet) -> int:
    graph = net.graph
    return sum(int(np.prod(v.shape)) for v in graph.values.values() if v.shape is not None)


def _runnable(net: netc.CompiledNet) -> bool:
    return len(net.graph.nodes) <= _MOST_LAYERS and _elements(net) <= _MOST_ELEMENTS


def attempt_text(data: bytes) -> None:
    """Every text is refused at a place in it, or runs; the definitions take what shapes allow."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        net = compiled(text, backend="reference", optimize=False)
        if _runnable(net):
            feeds = {net.graph.values[n].blob: a for n, a in drawn_inputs(net.graph).items()}
            net(feeds)
    except NetcError as error:
        told(error)


def attempt_difference(data: bytes) -> None:
    """One answer: of definitions and kernels, with passes and without, on one thread and two."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        plain = compiled(text, backend="reference", optimize=False)
        if not _runnable(plain) or not np.isfinite(_sizes_of_numbers(text)):
            return
        weights = seeded_weights(plain.graph)
        feeds = {plain.graph.values[n].blob: a for n, a in drawn_inputs(plain.graph).items()}
        want = compiled(text, backend="reference", optimize=False, weights=weights)(feeds)
    except NetcError as error:
        told(error)
        return
    for how in (
        {"backend": "reference", "optimize": True},
        {"backend": "cpu", "optimize": False},
        {"backend": "cpu", "optimize": True},
    ):
        net = compiled(text, weights=weights, **how)
        got = net(feeds)
        _check_same(want, got, str(how))
        if how["backend"] == "cpu":
            twice = compiled(text, weights=weights, **{**how, "threads": 2})(feeds)
            for name, array in got.items():
                np.testing.assert_array_equal(twice[name], array, err_msg=f"threads: {name}")


def _sizes_of_numbers(text: str) -> float:
    """The largest number written in a text, infinite beyond what rounding can be told of."""
    words = text.replace("{", " ").replace("}", " ").split()
    numbers = [1.0]
    for word in words:
        try:
            numbers.append(abs(float(word)))
        except ValueError:
            continue
    largest = max(number if number == number else np.inf for number in numbers)
    return largest if largest < 1e4 else float("inf")


def _check_same(want: dict[str, Any], got: dict[str, Any], how: str) -> None:
    assert list(want) == list(got), how
    for name, array in want.items():
        assert got[name].shape == array.shape, f"{how}: {name}"
        scale = float(np.abs(array[np.isfinite(array)]).max(initial=0)) if array.size else 0
        np.testing.assert_allclose(
            got[name], array, rtol=2e-3, atol=1e-4 * max(1, scale), err_msg=f"{how}: {name}"
        )


_COMMANDS = ("check --lint", "lint", "summary --memory", "summary --csv", "receptive", "passes",
             "fmt", "expand", "collapse", "upgrade -v", "draw", "check --json")  # fmt: skip


@cache
def _texts() -> tuple[bytes, ...]:
    """Nets of every age, solvers, a label map, and the dialect."""
    solvers = sorted((ROOT / "tests" / "golden" / "solvers").rglob("*.prototxt"))[:20]
    old = (
        'layers { name: "d" type: DATA top: "d" data_param { source: "x" batch_size: 2 } }\n'
        'layers { name: "c" type: CONVOLUTION bottom: "d" top: "c" blobs_lr: 1 weight_decay: 1\n'
        "  convolution_param { num_output: 3 kernel_size: 3 } include { phase: TRAIN } }\n",
        'input: "d" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9\n'
        'layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 3 pad: 1 }\n'
        '  bottom: "d" top: "c" }\n',
        'item { name: "a" label: 0 display_name: "b" }\nitem { name: "c" label: 1 }\n',
    )
    others = [path.read_bytes() for path in solvers if path.stat().st_size < 2000]
    return (*_prototxts(), *_dialect(), *others, *(text.encode() for text in old))


def attempt_commands(data: bytes) -> None:
    """Commands that look at a text end well or with a mistake of the text's, and print no more."""
    from netc.cli.main import _run

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.prototxt"
        path.write_bytes(data)
        for command in _COMMANDS:
            name, *options = command.split()
            out = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", newline="")
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                    assert _run([name, str(path), *options, "--max-memory", MEMORY]) in (0, 1)
            except NetcError as error:
                told(error)
            if name not in ("fmt", "expand", "collapse", "upgrade"):  # whose bytes are the text's
                out.seek(0)
                lines = out.read().split("\n")
                assert all(printable(line) == line for line in lines), command


# Files


def with_file(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """An attempt that writes the bytes to a file and reads that."""

    def attempt(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"a{suffix}"
            path.write_bytes(data)
            try:
                with using(budget_of(MEMORY)):
                    read(path)
            except NetcError as error:
                told(error)

    return attempt


def _read_weights(path: Path) -> None:
    for read in (load_weights, load_mean, load_solver_state):
        try:
            read(path)
        except NetcError as error:
            told(error)


def _saved(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)]
        save_weights(path, {"fc": arrays, "a/b": arrays[1:]})
        return path.read_bytes()


def _caffemodels() -> Sequence[bytes]:
    from tests.weights.test_fuzz import SEEDS

    return [
        *SEEDS.values(),
        _saved(".caffemodel"),
        b"\x2a\x08" + bytes(8),
        *_states(".solverstate"),
    ]


def _states(suffix: str) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        history = (np.ones((2, 3), np.float32), np.zeros(2, np.float32))
        save_solver_state(path, SolverState(7, "a.caffemodel", history, 1))
        return [path.read_bytes()]


def _hdf5() -> Sequence[bytes]:
    try:
        import h5py
    except ImportError:
        return []
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        data = file.create_group("data/fc")
        data.create_dataset("0", data=np.ones((8, 8)), chunks=(4, 4), compression="gzip")
        data.create_dataset("1", data=np.ones(3, "f2"))
        data["2"] = h5py.SoftLink("/data/fc/1")
    return [_saved(".h5"), packed.getvalue(), *_states(".solverstate.h5")]


def _npz() -> Sequence[bytes]:
    packed = io.BytesIO()
    np.savez_compressed(packed, **{"fc/0": np.ones((4, 5)), "data": np.arange(3)})
    lzma = io.BytesIO()
    with zipfile.ZipFile(lzma, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("fc/0.npy", _npy()[0])
    return [_saved(".npz"), packed.getvalue(), lzma.getvalue()]


def _npy() -> Sequence[bytes]:
    found = []
    turned = np.asfortranarray(np.ones((2, 3)))
    for array in (np.ones((3, 4), np.float32), np.arange(5), np.float64(3), turned):
        out = io.BytesIO()
        np.save(out, array)
        found.append(out.getvalue())
    return found


def _read_archive(path: Path) -> None:
    with open_archive(path, "input-format") as archive:
        for name in archive.names:
            archive.read(name)


def _images() -> Sequence[bytes]:
    from PIL import Image

    rng = np.random.default_rng(0)
    found = []
    for name in FORMATS:
        for mode in ("RGB", "L"):
            picture = Image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8)).convert(mode)
            out = io.BytesIO()
            picture.save(out, name)
            found.append(out.getvalue())
    for method in ("tiff_lzw", "tiff_deflate", "jpeg"):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8)).save(
            out, "TIFF", compression=method
        )
        found.append(out.getvalue())
    return found


def _read_image(path: Path) -> None:
    for channels in (1, 3):
        image = load_image(path, channels)
        assert image.ndim == 3 and image.shape[0] == channels and image.dtype == np.float32


TARGETS = {
    target.name: target
    for target in (
        Target("prototxt", _prototxts, attempt_text, change_text, 300),
        Target("netc", _dialect, attempt_text, change_text, 60),
        Target("net", _all_prototxts, attempt_text, change_net, 300),
        Target("difference", _all_prototxts, attempt_difference, change_net, 25),
        Target("commands", _texts, attempt_commands, change_net, 25),
        Target("caffemodel", _caffemodels, with_file(".caffemodel", _read_weights), change_bytes),
        Target("hdf5", _hdf5, with_file(".h5", _read_weights), change_bytes, 100),
        Target("npz", _npz, with_file(".npz", _read_weights), change_bytes),
        Target("npy", _npy, with_file(".npy", load_array), change_bytes),
        Target("feed", _npz, with_file(".npz", _read_archive), change_bytes),
        Target("image", _images, with_file(".png", _read_image), change_bytes),
        *data.TARGETS,
    )
}
