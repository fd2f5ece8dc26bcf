"""Whole models: names, inputs, open batches, what is left out."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.data import prototxt_dir
from netc.diagnostics import NetcError, Source
from netc.export.onnx import OPSET, save, to_bytes, to_onnx
from netc.ir.graph import Graph
from tests.export.onnx.running import exported, ort, run
from tests.export.onnx.test_rules import FILLED, feeds_of

INPUT = 'layer { name: "x" type: "Input" top: "%s" input_param { shape { %s } } }'


def graph_of(*layers: str, **options: Any) -> Graph:
    return netc.compile(Source("net", "\n".join(layers)), backend="reference", **options).graph


def of_x(*layers: str, **options: Any) -> Graph:
    return graph_of(INPUT % ("x", "dim: 2 dim: 4"), *layers, **options)


def dims(value: Any) -> list[Any]:
    sizes = value.type.tensor_type.shape.dim
    return [size.dim_param or size.dim_value for size in sizes]


def test_names_are_those_of_layers_and_blobs() -> None:
    graph = of_x(
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "y" '
        f"inner_product_param {{ num_output: 3 {FILLED} }} }}",
        'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }',
        'layer { name: "log" type: "Log" bottom: "y" top: "z" log_param { base: 2 shift: 1 } }',
    )
    model = to_onnx(graph)
    assert [n.name for n in model.graph.node] == ["fc", "relu", "log/Add", "log/Log", "log"]
    assert [n.output[0] for n in model.graph.node][:2] == ["y@fc", "y"]
    assert [t.name for t in model.graph.initializer][:2] == ["fc/0", "fc/1"]
    assert [v.name for v in model.graph.input] == ["x"]
    assert [v.name for v in model.graph.output] == ["z"]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]


def test_layers_and_blobs_may_be_called_anything() -> None:
    graph = of_x(
        'layer { name: "x" type: "Log" bottom: "x" top: "x:Add" log_param { shift: 9 } }',
        'layer { name: "x/Add" type: "Log" bottom: "x:Add" top: "x:shift" log_param { shift: 9 } }',
        'layer { type: "Log" bottom: "x:shift" top: "y" log_param { shift: 9 scale: 2 } }',
    )
    feeds = {"x": np.ones((2, 4), np.float32)}
    got = exported(graph, feeds)["y"]
    np.testing.assert_allclose(got, reference.run(graph, feeds)["y"], rtol=1e-5)
    names = [node.name for node in to_onnx(graph).graph.node]
    assert len(set(names)) == len(names)


def test_an_input_that_is_rewritten_keeps_its_name() -> None:
    graph = of_x(
        'layer { name: "a" type: "Power" bottom: "x" top: "x" power_param { scale: 2 } }',
        'layer { name: "b" type: "AbsVal" bottom: "x" top: "y" }',
    )
    assert graph.inputs == ("x@x",)
    x = np.full((2, 4), -3, np.float32)
    assert (exported(graph, {"x": x})["y"] == 6).all()


def test_an_output_that_is_a_rewritten_input() -> None:
    graph = of_x('layer { name: "a" type: "AbsVal" bottom: "x" top: "x" }')
    got = exported(graph, {"x": np.full((2, 4), -3, np.float32)})
    assert (got["x@a"] == 3).all() and list(got) == ["x@a"]


def test_an_input_that_is_rewritten_and_given_back_with_it() -> None:
    graph = of_x(
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "x" }',
        'layer { name: "b" type: "Power" bottom: "x" top: "x" power_param { scale: 2 } }',
        'layer { name: "c" type: "AbsVal" bottom: "x" top: "x@b" }',
    )
    graph = graph.replace(outputs=(*graph.outputs, "x", "x@a"))
    got = exported(graph, {"x": np.full((2, 4), -3, np.float32)})
    assert {name: float(array[0, 0]) for name, array in got.items()} == {
        "x@a": 3, "x@b": 6, "x@b'": 6,
    }  # fmt: skip


def test_an_input_that_nobody_reads_is_an_output_as_in_caffe() -> None:
    graph = of_x(INPUT % ("l", "dim: 2"), 'layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }')
    got = exported(graph, {"x": np.zeros((2, 4), np.float32), "l": np.ones(2, np.float32)})
    assert set(got) == {"l", "y"} and (got["l"] == 1).all()


def test_an_input_that_is_silenced_is_left_out() -> None:
    graph = of_x(
        INPUT % ("l", "dim: 2"),
        'layer { name: "s" type: "Silence" bottom: "l" }',
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }',
    )
    assert [v.name for v in to_onnx(graph).graph.input] == ["x"]


DUMMY = (
    'layer {{ name: "d" type: "DummyData" top: "d" dummy_data_param {{ shape {{ dim: 2 dim: 4 }} '
    'data_filler {{ type: "{}" value: 3 std: 1 }} }} }}'
)
SUM = 'layer { name: "s" type: "Eltwise" bottom: "x" bottom: "d" top: "y" }'


def test_dummy_data_are_constants() -> None:
    graph = of_x(DUMMY.format("constant"), SUM)
    assert (exported(graph, {"x": np.ones((2, 4), np.float32)})["y"] == 4).all()
    with pytest.raises(NetcError, match=r"batch-misfit.*bottom 0 is 4x4 and bottom 1 is 2x4"):
        to_onnx(graph, batch="N")


def test_random_dummy_data_are_inputs() -> None:
    model = to_onnx(of_x(DUMMY.format("gaussian"), SUM), batch="N")
    assert [v.name for v in model.graph.input] == ["x", "d"]


def test_dummy_data_alone_are_inputs() -> None:
    text = 'layer { name: "a" type: "AbsVal" bottom: "d" top: "y" }'
    model = to_onnx(graph_of(DUMMY.format("constant"), text), batch="N")
    assert dims(model.graph.input[0]) == ["N", 4]


def test_fixed_and_open_sizes() -> None:
    layers = (
        'layer { name: "r" type: "Reshape" bottom: "x" top: "y" '
        "reshape_param { shape { dim: -1 dim: 2 } } }",
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "z" }',
    )
    fixed, opened = to_onnx(of_x(*layers)), to_onnx(of_x(*layers), batch="N")
    assert [dims(v) for v in fixed.graph.output] == [[4, 2], [2, 4]]
    assert [dims(v) for v in opened.graph.output] == [[0, 2], ["N", 4]]  # 0: not told
    assert run(opened, {"x": np.zeros((7, 4), np.float32)})["y"].shape == (14, 2)


def test_only_inputs_as_long_as_the_first_are_open() -> None:
    layers = (
        INPUT % ("i", "dim: 1 dim: 3"),
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }',
        'layer { name: "b" type: "AbsVal" bottom: "i" top: "z" }',
    )
    model = to_onnx(of_x(*layers), batch="N")
    assert [dims(v) for v in model.graph.input] == [["N", 4], [1, 3]]


@pytest.mark.parametrize(
    "text, words",
    [
        (
            'type: "Reshape" reshape_param { shape { dim: 2 dim: 2 dim: 2 } }',
            r"with 4 for 2: layer `y` \(Reshape\)",
        ),
        ('type: "Slice" slice_param { axis: 0 slice_point: 1 } top: "z"', "`y` .Slice. depends"),
        (
            f'type: "InnerProduct" inner_product_param {{ axis: 0 num_output: 2 {FILLED} }}',
            "parameter `y/0` would be 2x16, and it is 2x8",
        ),
    ],
)
def test_nets_that_fix_their_batch(text: str, words: str) -> None:
    graph = of_x(f'layer {{ name: "y" bottom: "x" top: "y" {text} }}')
    with pytest.raises(NetcError, match=rf"net:2:\d+: error\[batch-misfit\].*{words}"):
        to_onnx(graph, batch="N")
    to_onnx(graph)


def test_an_owner_of_weights_that_is_left_out() -> None:
    param = f"inner_product_param {{ num_output: 3 bias_term: false {FILLED} }}"
    layers = [
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{name}" '
        f'param {{ name: "w" }} {param} }}'
        for name in "ab"
    ]
    graph = of_x(*layers, 'layer { name: "s" type: "Silence" bottom: "a" }')
    feeds = feeds_of(graph)
    want = reference.run(graph, feeds)["b"]
    np.testing.assert_allclose(exported(graph, feeds, "N")["b"], want, rtol=1e-5)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NetcError, match=r"missing-package[\s\S]*pip install 'netc\[onnx\]'"):
        to_onnx(of_x('layer { name: "a" type: "AbsVal" bottom: "x" top: "y" }'))


def test_large_weights_lie_beside_the_model(tmp_path: Path) -> None:
    graph = of_x(
        f'layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "h" '
        f"inner_product_param {{ num_output: 900 {FILLED} }} }}",
        'layer { name: "r" type: "Reshape" bottom: "h" top: "y" '
        "reshape_param { shape { dim: 0 dim: 3 dim: 300 } } }",
    )
    path, feeds = tmp_path / "net.onnx", feeds_of(graph)
    with pytest.raises(NetcError, match=r"too-large.*18,\d{3} bytes.*holds 1,000"):
        to_bytes(to_onnx(graph), limit=1000)
    assert save(to_onnx(graph), path, limit=1000) == (path, tmp_path / "net.onnx.data")
    import onnx

    onnx.checker.check_model(str(path), full_check=True)
    assert path.stat().st_size < 2000
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    want = reference.run(graph, feeds)["y"]
    np.testing.assert_allclose(session.run(None, feeds)[0], want, rtol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]


SMALL = (
    "lenet", "lenet5", "tinyvgg", "squeezenet", "nin", "mobilenet2", "se_resnet50",
    "dcgan_generator", "vae", "lppool",
)  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_bundled_net_of_another_batch(name: str) -> None:
    text = prototxt_dir() / f"{name}.netc"
    graph = netc.compile(text, backend="reference").graph
    model = to_onnx(graph, batch="N")
    rng = np.random.default_rng(0)
    feeds = {
        v.name: rng.standard_normal((3, *dims(v)[1:])).astype(np.float32) for v in model.graph.input
    }
    got = run(model, feeds)
    own = netc.compile(text, backend="cpu", optimize=False)
    want = own({**{k: np.zeros(s, np.float32) for k, s in own.inputs.items()}, **feeds})
    for output, array in got.items():
        excess = np.abs(array - want[output]) - (1e-5 + 1e-4 * np.abs(want[output]))
        assert not (excess > 0).any(), output
