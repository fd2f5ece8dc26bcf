"""The layers that are left after upgrade and phase rules are those that Caffe was left with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.diagnostics import Source
from netc.lower import lower
from netc.migrate.generations import bind_net
from netc.migrate.upgrade import upgrade_net
from netc.schema.load import load_schema
from netc.syntax.parser import parse_document

SHAPES = json.loads(
    (Path(__file__).parent.parent / "golden" / "shapes.json").read_text(encoding="utf-8")
)
# When the golden shapes were made these (DummyData apart) were replaced by Input layers.
DATA = {"Data", "ImageData", "HDF5Data", "MemoryData", "WindowData"}


@pytest.mark.parametrize("key", SHAPES)
def test_layers(key: str, corpus: Path) -> None:
    name, _, phase = key.rpartition("#")
    source = Source(name, (corpus / "files" / name).read_text(encoding="utf-8", errors="replace"))
    net = bind_net(parse_document(source), load_schema().message("NetParameter"))
    layers = lower(upgrade_net(net)[0], phase=phase).layers
    ours = [[m.get("name"), "Input" if m.get("type") in DATA else m.get("type")] for m in layers]
    assert ours == SHAPES[key]["layers"]
