"""What would not fit in memory is refused before it is allocated, with both numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc
from netc import memory
from netc.cli.main import main
from netc.diagnostics import NetcError, Source

WIDE = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 65536] } } }
layer {
  name: "fc"
  type: "InnerProduct"
  bottom: "data"
  top: "fc"
  inner_product_param { num_output: 32767 bias_term: false }
}
"""
LARGE = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1] } } }
layer { name: "tile" type: "Tile" bottom: "data" top: "a" tile_param { tiles: 2000000000 } }
layer { name: "sum" type: "Reduction" bottom: "a" top: "sum" }
"""


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 4 GiB."""
    monkeypatch.setattr(memory, "physical_memory", lambda: 4 << 30)


@pytest.fixture(autouse=True)
def nothing_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail, rather than fill the memory, where the refusal is missing."""

    def empty(shape: object, *args: object, **more: object) -> object:
        raise AssertionError(f"allocated {shape}")

    monkeypatch.setattr(np, "empty", empty)


def refused(text: str) -> netc.Diagnostic:
    with pytest.raises(NetcError) as caught:
        netc.compile(Source("net.prototxt", text), backend="reference")
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_weights() -> None:
    told = refused(WIDE)
    assert told.code == "too-little-memory"
    assert told.message == (
        "parameters without weights, the largest `fc/0` of 32767x65536, need 8.0 GiB of memory, "
        "and there are 4.0 GiB"
    )
    assert told.span is not None and told.span.line == 3


def test_blobs() -> None:
    told = refused(LARGE)
    assert told.code == "too-little-memory"
    assert told.message == (
        "the blobs of layer `tile` (Tile) need 7.5 GiB of memory, and there are 4.0 GiB"
    )
    assert told.span is not None and told.span.line == 2


@pytest.mark.parametrize("text", [WIDE, LARGE])
def test_command_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path)]) == 0, "the text is right; only running it takes memory"
    assert main(["run", str(path)]) == 1
    assert "error[too-little-memory]" in capsys.readouterr().err


def test_where_nothing_tells_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    memory.check_memory(1 << 60, "the weights")


def test_limit_of_a_container(tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    for text, size in (("8589934592\n", 8 << 30), ("max\n", None), ("", None)):
        file.write_text(text, encoding="ascii")
        assert memory._limit(str(file)) == size
    assert memory._limit(str(tmp_path / "absent")) is None
