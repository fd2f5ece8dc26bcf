"""What files take in memory is counted before it is taken, and walked over once."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.image_files import load_image, read_header
from netc.images import Preprocessing, load_input, preprocess
from netc.memory import Budget, using
from netc.weights.load import load_weights

h5py = pytest.importorskip("h5py", reason="HDF5 weights need h5py")
Image = pytest.importorskip("PIL.Image")


def refused(path: Path, limit: int = 64 << 20) -> netc.Diagnostic:
    with pytest.raises(NetcError) as caught, using(Budget(limit)):
        load_weights(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_hdf5_groups_are_a_tree(tmp_path: Path) -> None:
    """Linked twice at each of 20 levels a walk would find a million of them."""
    path = tmp_path / "dag.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        for _ in range(20):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
        group.create_dataset("0", data=np.ones(1, "f4"))
    told = refused(path)
    assert told.code == "malformed-weights"
    assert "by another name" in told.message


def test_an_hdf5_group_may_not_hold_itself(tmp_path: Path) -> None:
    path = tmp_path / "cycle.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/a")
        group["b"] = file["data"]
    assert "by another name" in refused(path).message


def chunked(path: Path, rows: int) -> None:
    """A dataset of 2x48 that is a corner of one chunk of many rows, deflated twice."""
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((rows, 48))
        plan.set_deflate(9)
        plan.set_deflate(9)
        group = file.create_group("data/fc")
        space = h5py.h5s.create_simple((2, 48), (h5py.h5s.UNLIMITED, 48))
        data = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, plan)
        once = zlib.compress(bytes(min(rows, 1000) * 192), 9)
        data.write_direct_chunk((0, 0), zlib.compress(once, 9))


def test_hdf5_chunks_are_counted_whole(tmp_path: Path) -> None:
    path = tmp_path / "chunk.h5"
    chunked(path, 10_000_000)
    told = refused(path, 1 << 40)
    assert told.code == "too-large"
    assert "`fc/0`" in told.message and "3,840,000,384 bytes" in told.message
    chunked(path, 500_000)
    assert refused(path).code == "too-little-memory", "its size allows it, 64 MB do not"
    chunked(path, 1000)
    assert load_weights(path).layers["fc"].arrays[0].shape == (2, 48)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".caffemodel"])
def test_weights(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    arrays = {f"fc{i}": [np.ones((512, 1024), np.float32)] for i in range(4)}
    netc.save_weights(path, arrays)
    with using(Budget(9 << 20)):
        assert len(load_weights(path).layers) == 4
    told = refused(path, 7 << 20)
    assert told.code == "too-little-memory"
    assert str(path) in told.message and "8.0 MiB" in told.message and "7.0 MiB" in told.message


class TestImages:
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_few_rows_give_the_same_numbers(
        self, mode: str, channels: int, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(0)
        if mode == "I;16":
            image = Image.fromarray(rng.integers(0, 65536, (61, 47), dtype=np.uint16))
        elif mode == "F":
            image = Image.fromarray(rng.random((61, 47), dtype=np.float32))
        else:
            colours = Image.fromarray(rng.integers(0, 256, (61, 47, 3), dtype=np.uint8))
            image = colours.convert(mode)
        path = tmp_path / "x.tif"
        image.save(path)
        how = Preprocessing((9, 70), channels, mean=np.full(channels, 3, np.float32))
        np.testing.assert_array_equal(
            load_input(path, how), preprocess(load_image(path, channels), how)
        )

    @pytest.mark.parametrize(("mode", "suffix"), [("1", "png"), ("L", "gif"), ("1", "tif")])
    def test_a_small_file_of_many_pixels(self, mode: str, suffix: str, tmp_path: Path) -> None:
        """Nine million floats would be 108 MB; decoded they are 9."""
        path = tmp_path / f"x.{suffix}"
        more = {"compression": "group4"} if suffix == "tif" else {}
        Image.new(mode, (3000, 3000)).save(path, **more)
        with using(Budget(12 << 20)):
            assert load_input(path, Preprocessing((4, 4))).shape == (1, 3, 4, 4)
            with pytest.raises(NetcError, match=r"3,000 by 3,000, need 274\.7 MiB .* 12\.0 MiB"):
                load_image(path)
        with using(Budget(8 << 20)), pytest.raises(NetcError, match=r"need 8\.6 MiB"):
            load_input(path, Preprocessing((4, 4)))

    def test_nothing_is_decoded_before_it_is_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(*args: Any) -> Any:
            raise AssertionError("decoded")

        path = tmp_path / "x.png"
        Image.new("RGB", (2000, 2000)).save(path)
        monkeypatch.setattr(Image.Image, "load", load)
        for read in (load_image, read_header):
            with using(Budget(4 << 20)), pytest.raises(NetcError, match="too-little-memory"):
                read(path)
