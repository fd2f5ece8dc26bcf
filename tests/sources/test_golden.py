"""Batches as Caffe's own data layers read them, from the same databases, files and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.sources.catalog import NetSources, open_sources

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"
CASES: list[dict[str, Any]] = [
    case
    for case in json.loads((GOLDEN / "manifest.json").read_text())
    if case["name"].startswith(("hdf5_", "image_", "leveldb_", "lmdb_", "window_"))
]
NEEDS = {"hdf5": "h5py", "leveldb": "plyvel", "lmdb": "lmdb"}

# Resized and grey pictures: OpenCV's integers may round otherwise by one.
_NEAR = {
    "image_resize_up",
    "image_resize_down",
    "image_gray_resize",
    "window_warp",
    "window_context_pad",
    "lmdb_png_force_gray",
}
_JPEG = {"lmdb_jpg"}


def sources(name: str, phase: str = "TRAIN", seed: int = 0) -> NetSources:
    package = NEEDS.get(name.partition("_")[0])
    if package is not None:
        pytest.importorskip(package, exc_type=ImportError)
    message = read_net(GOLDEN / f"{name}_data.prototxt").message
    opened = open_sources(message, NetState(phase), GOLDEN, seed)
    assert opened is not None
    return opened


def wanted(name: str) -> list[tuple[int, str, np.ndarray[Any, Any]]]:
    """Pass, blob and array."""
    found = []
    with np.load(GOLDEN / f"{name}.npz") as file:
        for key in file.files:
            kind, _, blob = key.partition("/")
            if kind == "batch":
                found += [(i, blob, array) for i, array in enumerate(file[key])]
            elif kind.startswith("batch"):
                found.append((int(kind.removeprefix("batch")), blob, file[key]))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_batches_of_caffe(case: dict[str, Any]) -> None:
    name = case["name"]
    phase = "TRAIN" if "phase TRAIN" in case["note"] else "TEST"
    batches = sources(name, phase)
    text = (GOLDEN / f"{name}_data.prototxt").read_text()
    scale = float(text.partition("scale:")[2].split()[0]) if "scale:" in text else 1.0
    units = 2 if name in _JPEG else 1 if name in _NEAR else 0
    checks = wanted(name)
    assert checks
    for position, blob, array in sorted(checks, key=lambda c: c[0]):
        got = batches(position)[blob]
        assert got.shape == array.shape
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, array, rtol=1e-6, atol=units * scale * 1.001)


def test_a_batch_depends_on_its_number_alone() -> None:
    forward = [sources("image_plain")(i)["data"] for i in range(4)]
    batches = sources("image_plain")
    for position in (3, 0, 2, 1):
        np.testing.assert_array_equal(batches(position)["data"], forward[position])


@pytest.mark.parametrize("name", ["leveldb_gray", "lmdb_gray"])
def test_a_database_is_left_as_it_is(name: str) -> None:
    folder = GOLDEN / f"{name}_src"

    def files() -> dict[str, bytes]:
        return {
            str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }

    before = files()
    sources(name)(0)
    assert files() == before
