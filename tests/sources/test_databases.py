"""Databases that several nets read, and that are made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import Source
from netc.driver import read_net
from netc.lower.rules import State
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
    found = open_sources(message, State("TRAIN"))
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
