"""Data layers ask for the memory of what a text or a file makes large, before they take it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import netc
from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.memory import Budget, using
from netc.sources.catalog import open_sources


def refused(layer: str, folder: Path, limit: int) -> str:
    """What a layer's first batch is refused with."""
    message = read_net(Source("net", f"layer {{ {layer} }}")).message
    with using(Budget(limit)), pytest.raises(NetcError) as caught:
        sources = open_sources(message, NetState("TEST", 0, ()), folder)
        assert sources is not None
        sources(0)
    (told,) = caught.value.diagnostics
    assert told.code == "too-little-memory" and told.span is not None
    return told.message


def test_a_picture_resized_to_what_the_text_says(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 0\n")
    layer = (
        'name: "d" type: "ImageData" top: "x" top: "y" image_data_param { source: "list.txt" '
        "batch_size: 1 new_height: 3000 new_width: 4000 }"
    )
    told = refused(layer, tmp_path, 100 << 20)
    assert told.startswith("layer `d`: line 1 of ") and "of 8x8, resized to 3000x4000," in told


def test_the_pixels_of_a_picture(tmp_path: Path) -> None:
    Image.new("1", (6000, 5000)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 0\n")
    layer = (
        'name: "d" type: "ImageData" top: "x" top: "y" image_data_param { source: "list.txt" '
        "batch_size: 1 new_height: 30 new_width: 40 }"
    )
    assert "of a picture of 5000x6000 need 343.3 MiB" in refused(layer, tmp_path, 100 << 20)


def test_a_chunk_that_is_larger_than_its_dataset(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "x", (2, 10), "f4", chunks=(1_000_000, 10), maxshape=(None, 10), compression="gzip"
        )
    (tmp_path / "list.txt").write_text("a.h5\n")
    layer = (
        'name: "d" type: "HDF5Data" top: "x" hdf5_data_param { source: "list.txt" batch_size: 1 }'
    )
    assert "the bytes of a chunk of `x`" in refused(layer, tmp_path, 20 << 20)


@pytest.mark.parametrize("kind", ["link", "group", "virtual", "external"])
def test_rows_in_another_file_are_not_read(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = file["g/x"] = [[42.0]]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if kind == "link":
            file["x"] = h5py.ExternalLink("secret.h5", "/x")
        elif kind == "group":
            file["g"] = h5py.ExternalLink("secret.h5", "/g")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((1, 1), "f8")
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (1, 1))
            file.create_virtual_dataset("x", layout)
        else:
            place = [(str(tmp_path / "secret.h5"), 0, 8)]
            file.create_dataset("x", (1, 1), "f8", external=place)
    (tmp_path / "list.txt").write_text("a.h5\n")
    top = "g/x" if kind == "group" else "x"
    text = f'''layer {{ name: "d" type: "HDF5Data" top: "{top}"
        hdf5_data_param {{ source: "list.txt" batch_size: 1 }} }}'''
    with pytest.raises(NetcError, match="lies in another file"):
        open_sources(read_net(Source("net", text)).message, NetState("TEST", 0, ()), tmp_path)


DATA = 'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 dim: %d } } } '


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            DATA % 10 + 'layer { name: "t" type: "Tile" bottom: "x" top: "t" '
            "tile_param { tiles: 2000000 } }",
            "the net's values in float64, up to layer `t` (Tile), need",
        ),
        (
            DATA % 20000000 + 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }',
            "input `x` in float32 and float64 need 457.8 MiB",
        ),
    ],
)
def test_a_check_of_gradients(text: str, told: str) -> None:
    with using(Budget(100 << 20)), pytest.raises(NetcError) as caught:
        netc.check_gradient(Source("n", text))
    (found,) = caught.value.diagnostics
    assert found.code == "too-little-memory" and found.message.startswith(told)
    assert found.span is not None


def test_a_check_that_fits() -> None:
    text = DATA % 10 + 'layer { name: "t" type: "TanH" bottom: "x" top: "t" }'
    with using(Budget(100 << 20)):
        assert netc.check_gradient(Source("n", text))
