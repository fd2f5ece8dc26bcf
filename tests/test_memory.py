"""What would not fit in memory is refused before it is allocated, with both numbers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc import memory
from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.memory import Budget

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
INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 1, 8, 8] } } }'
)
SMALL = f"""{INPUT}
layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param {{ num_output: 8192 }} }}
"""


def layer(text: str) -> str:
    return f'{INPUT}\nlayer {{ name: "x" bottom: "data" top: "x" {text} }}\n'


def refused(text: str, limit: str = "4GB", **options: Any) -> netc.Diagnostic:
    options = {"backend": "reference", **options}
    with pytest.raises(NetcError) as caught:
        netc.compile(Source("net.prototxt", text), max_memory=limit, **options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "too-little-memory"
    return diagnostic


@pytest.fixture
def nothing_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail, rather than fill the memory, where the refusal is missing."""

    def empty(shape: object, *args: object, **more: object) -> object:
        raise AssertionError(f"allocated {shape}")

    monkeypatch.setattr(np, "empty", empty)


@pytest.mark.usefixtures("nothing_large")
class TestBeforeAnythingIsTaken:
    def test_weights(self) -> None:
        told = refused(WIDE)
        assert told.message == (
            "parameters without weights, the largest `fc/0` of 32767x65536, need 8.0 GiB of "
            "memory, and there are 4.0 GiB"
        )
        assert told.span is not None and told.span.line == 3

    def test_blobs(self) -> None:
        told = refused(LARGE)
        assert told.message == (
            "the blobs of layer `tile` (Tile) need 7.5 GiB of memory, and there are 4.0 GiB"
        )
        assert told.span is not None and told.span.line == 2
        assert any("--max-memory" in help and "4.0 GiB" in help for help in told.help)

    @pytest.mark.parametrize("text", [WIDE, LARGE])
    def test_command_line(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "net.prototxt"
        path.write_text(text, encoding="utf-8")
        assert main(["check", str(path), "--max-memory", "4GB"]) == 0, "only a run takes memory"
        assert main(["run", str(path), "--max-memory=4GB"]) == 1
        assert "error[too-little-memory]" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(
    "text",
    [
        'type: "Interp" interp_param { height: 2000 width: 2000 }',
        'type: "Tile" tile_param { tiles: 60000 }',
        'type: "Deconvolution" convolution_param { num_output: 1 kernel_size: 1 stride: 300 }',
        'type: "Im2col" convolution_param { kernel_size: 200 pad: 100 }',
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 1200 pad: 600 }',
    ],
)
def test_in_what_a_layer_takes(text: str, backend: str) -> None:
    told = refused(layer(text), "8MB", backend=backend, optimize=False)
    assert "MiB of memory, and there are" in told.message
    assert told.span is not None and told.span.line == 2


def test_padding_alone_is_no_reason_to_take_memory() -> None:
    """Of 301x301 weights 17x17 meet the image; the others would be packed for nothing."""
    text = layer(
        'type: "Convolution" convolution_param { num_output: 1 kernel_size: 301 pad: 150 }'
    )
    weights = np.random.default_rng(0).standard_normal((1, 1, 301, 301)).astype(np.float32)
    x = np.random.default_rng(1).standard_normal((1, 1, 8, 8)).astype(np.float32)
    arrays = {"x": [weights, np.ones(1, np.float32)]}
    found = [
        netc.compile(Source("n", text), arrays, backend=backend, max_memory=limit)(data=x)["x"]
        for backend, limit in (("cpu", "2MB"), ("reference", None))
    ]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pad", [10**5, 10**9])
def test_pads_beyond_the_kernel(pad: int) -> None:
    """Only the middle one of 3x3 places sees the image at all."""
    param = f"num_output: 1 kernel_size: 3 pad: {pad} stride: {pad}"
    text = layer(f'type: "Convolution" convolution_param {{ {param} }}')
    weights = [np.full((1, 1, 3, 3), 2, np.float32), np.full(1, 5, np.float32)]
    x = np.ones((1, 1, 8, 8), np.float32)
    for backend in ("cpu", "reference"):
        net = netc.compile(Source("n", text), {"x": weights}, backend=backend, max_memory="8MB")
        (got,) = net(data=x)["x"].reshape(-1, *net.outputs["x"][2:])
        assert got[1, 1] == 23 and (np.delete(got.reshape(-1), 4) == 5).all()


def test_multiplied_weights_are_counted() -> None:
    fc = 'type: "InnerProduct" inner_product_param { num_output: 2048 bias_term: false }'
    text = layer(fc) + f'layer {{ name: "y" bottom: "x" top: "y" {fc} }}\n'
    told = refused(text, "17MB", backend="cpu")
    assert told.span is not None
    assert "layers `x` and `y`" in told.message or "(InnerProduct)" in told.message


class TestBudget:
    def test_what_is_held_counts_until_it_is_given_back(self) -> None:
        budget, owner = Budget(10 << 20), np.zeros(1)
        budget.hold(6 << 20, owner)
        with pytest.raises(NetcError, match=r"the rest need 5.0 MiB of memory, and there are 4.0"):
            budget.ask(5 << 20, "the rest")
        del owner
        budget.ask(5 << 20, "the rest")
        assert budget.held == 0

    def test_what_is_garbage_is_collected_before_anything_is_refused(self) -> None:
        class Knot:
            def __init__(self) -> None:
                self.itself = self

        budget = Budget(10 << 20)
        budget.hold(6 << 20, Knot())
        budget.ask(9 << 20, "the rest")

    def test_two_nets_share_one(self) -> None:
        budget = Budget(4 << 20)
        one = netc.compile(Source("n", SMALL), backend="reference", max_memory=budget)
        assert budget.held >= 8192 * 65 * 4
        with pytest.raises(NetcError, match="too-little-memory"):
            netc.compile(Source("n", SMALL), backend="reference", max_memory=budget)
        assert one(data=np.ones((1, 1, 8, 8), np.float32))["fc"].shape == (1, 8192)

    def test_by_default_a_share_of_what_is_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "free_memory", lambda: 10 << 20)
        budget = Budget()
        budget.ask(8 << 20, "these")
        with pytest.raises(NetcError, match=r"need 9.0 MiB of memory, and there are 8.0 MiB"):
            budget.ask(9 << 20, "these")

    def test_where_nothing_tells_nothing_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "free_memory", lambda: None)
        Budget().ask(1 << 60, "the weights")

    def test_by_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NETC_MAX_MEMORY", "3 MiB")
        with pytest.raises(NetcError, match=r"and there are 3\.0 MiB"):
            memory.check_memory(4 << 20, "these")
        monkeypatch.setenv("NETC_MAX_MEMORY", "plenty")
        with pytest.raises(NetcError, match=r"`NETC_MAX_MEMORY` is a size such as"):
            memory.check_memory(4 << 20, "these")

    def test_copies_have_the_limit_and_nothing_held(self) -> None:
        budget, owner = Budget(1 << 30), np.zeros(1)
        budget.hold(1 << 20, owner)
        for other in (copy.deepcopy(budget), pickle.loads(pickle.dumps(budget))):
            assert (other.limit, other.held) == (1 << 30, 0)

    @pytest.mark.parametrize(
        ("text", "size"),
        [("2GB", 2 << 30), ("512 MiB", 512 << 20), ("1.5g", 3 << 29), ("4096", 4096), (7, 7)],
    )
    def test_sizes(self, text: str | int, size: int) -> None:
        assert memory.size_of(text, "max_memory") == size

    @pytest.mark.parametrize("text", ["", "0", "-1GB", "GB", "1PB", "2 G B", True, 0])
    def test_no_sizes(self, text: str | int) -> None:
        with pytest.raises(NetcError, match=r"`max_memory` is a size"):
            memory.size_of(text, "max_memory")

    def test_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "x.prototxt", "--max-memory", "much"]) == 2
        assert "`much` is no size such as 2GB" in capsys.readouterr().err


class TestFreeMemory:
    def test_container(self, tmp_path: Path) -> None:
        limit, used, stat = (tmp_path / n for n in ("memory.max", "memory.current", "memory.stat"))
        used.write_text("1073741824\n", encoding="ascii")
        stat.write_text("anon 5\ninactive_file 536870912\n", encoding="ascii")
        for text, size in (("8589934592\n", 15 << 29), ("max\n", None), ("", None), ("5", 0)):
            limit.write_text(text, encoding="ascii")
            found = memory._group_room((str(limit), str(used)), str(stat))
            assert found == size if size != 0 else found == 0
        assert memory._group_room((str(tmp_path / "no"), str(used)), str(stat)) is None
