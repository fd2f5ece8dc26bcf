"""Databases that several nets read, and that are made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.sources.base import NamesRecords
from netc.sources.catalog import NetSources, open_sources

TEXT = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
         data_param {{ source: "{path}" backend: LMDB batch_size: 2 }} }}
"""


def make(path: Path, value: int) -> None:
    pictures = np.full((3, 1, 2, 2), value, np.uint8)
    archive = path.with_suffix(".npz")
    np.savez(archive, data=pictures, label=np.arange(3))
    assert main(["data", "make", str(archive), "-o", str(path)]) == 0


def opened(path: Path) -> NetSources:
    message = read_net(Source("net.prototxt", TEXT.format(path=path))).message
    found = open_sources(message, NetState("TRAIN"))
    assert found is not None
    return found


def test_two_nets_read_one_database(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    path = tmp_path / "db"
    make(path, 7)
    one, other = opened(path), opened(path)
    for position in range(3):
        batches = one(position), other(position)
        assert all((batch["data"] == 7).all() for batch in batches)
        assert (batches[0]["label"] == batches[1]["label"]).all()


def test_a_database_made_anew_is_read_anew(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    path = tmp_path / "db"
    make(path, 7)
    before = opened(path)
    shutil.rmtree(path)
    make(path, 9)
    assert (opened(path)(0)["data"] == 9).all()
    assert (before(2)["data"] == 7).all()


LIST = """
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
         image_data_param {{ source: "{path}" batch_size: 4 {more} }} }}
"""


def listed(folder: Path, more: str = "", *, seed: int = 0, skip: bool = False) -> NetSources:
    text = LIST.format(path=folder / "list.txt", more=more)
    message = read_net(Source("net.prototxt", text)).message
    found = open_sources(message, NetState("TRAIN"), folder, seed, skip_broken=skip)
    assert found is not None
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures of which the second is damaged and the fourth is not there."""
    for number in (0, 1, 2, 4, 5):
        Image.new("RGB", (3, 3), (number, number, number)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"not a picture")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(6)))
    return tmp_path


def test_a_broken_record_is_an_error(pictures: Path) -> None:
    with pytest.raises(NetcError, match="line 2 of"):
        listed(pictures)(0)


def test_the_next_record_stands_in_for_a_broken_one(pictures: Path) -> None:
    batches = listed(pictures, skip=True)
    assert [list(batches(i)["label"]) for i in range(2)] == [[0, 2, 2, 4], [4, 5, 0, 2]]
    assert len(batches.broken or ()) == 2
    (source,) = batches.sources.values()
    assert isinstance(source, NamesRecords)
    assert [name.split(" of ")[0] for name in source.names(0)] == [
        "line 1", "line 3", "line 3", "line 5"
    ]  # fmt: skip
    again = listed(pictures, skip=True)
    assert list(again(1)["label"]) == [4, 5, 0, 2], "a batch depends on its number alone"


def test_a_list_without_a_picture(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    with pytest.raises(NetcError, match="none of 2 records can be read"):
        listed(tmp_path, skip=True)(0)


def test_rand_skip_leaves_out_lines_of_the_first_epoch(tmp_path: Path) -> None:
    for number in range(6):
        Image.new("RGB", (3, 3)).save(tmp_path / f"{number}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(6)))
    firsts = set()
    for seed in range(20):
        labels = [listed(tmp_path, "rand_skip: 3", seed=seed)(i)["label"] for i in range(2)]
        first = int(labels[0][0])
        assert list(np.concatenate(labels)) == [(first + i) % 6 for i in range(8)]
        firsts.add(first)
    assert firsts == {0, 1, 2}
    with pytest.raises(NetcError, match="`rand_skip` leaves out"):
        listed(tmp_path, "rand_skip: 1000000")
