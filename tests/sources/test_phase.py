"""A data layer's own `phase`: net.cpp gives a layer the net's only where it has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.data import prototxt_dir
from netc.diagnostics import Source
from netc.frontend import read_net
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.sources.catalog import open_sources

IMAGE = sorted((prototxt_dir() / "digits" / "images").glob("*.png"))[0]


def crops(folder: Path, own: str, phase: str) -> Array:
    (folder / "list.txt").write_text(f"{IMAGE} 0\n")
    text = f"""layer {{ name: "d" type: "ImageData" top: "d" top: "l" {own}
    transform_param {{ crop_size: 4 }}
    image_data_param {{ source: "list.txt" batch_size: 20 is_color: false }} }}"""
    net = read_net(Source("net.prototxt", text)).message
    sources = open_sources(net, NetState(phase), folder)
    assert sources is not None
    return sources(0)["d"]


@pytest.mark.parametrize(
    ("own", "phase", "moves"),
    [
        ("", "TRAIN", True),
        ("", "TEST", False),
        ("phase: TEST", "TRAIN", False),
        ("phase: TRAIN", "TEST", True),
    ],
)
def test_the_place_of_the_crop(own: str, phase: str, moves: bool, tmp_path: Path) -> None:
    found = crops(tmp_path, own, phase)
    assert (len(np.unique(found, axis=0)) > 1) == moves
