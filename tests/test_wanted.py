"""What nothing asked for depends on is not needed: layers, weights, inputs, and their mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.cli.main import main
from netc.diagnostics import NetcError, Source

HEAD = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }
"""
TAIL = """
layer { name: "fc" type: "InnerProduct" bottom: "one" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
NET = Source("two.prototxt", HEAD + TAIL)
ONE = {"one": [np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32)]}
X = np.arange(-4, 4, dtype=np.float32).reshape(2, 4)


def test_weights_and_inputs_of_other_layers_are_not_asked_for(backend: str) -> None:
    net = netc.compile(NET, ONE, outputs=("one",), backend=backend)
    assert list(net.inputs) == ["data"] and list(net.outputs) == ["one"]
    assert list(net.params) == ["one"]
    assert not net.diagnostics
    np.testing.assert_array_equal(net(data=X)["one"], np.maximum(X[:, :3], 0))


def test_an_input_that_is_not_needed_may_be_fed() -> None:
    net = netc.compile(NET, ONE, outputs=("one",), inputs={"data": (2, 4), "label": (2,)})
    assert list(net(data=X, label=np.zeros(2, np.float32))) == ["one"]
    with pytest.raises(NetcError) as caught:
        net(data=X, lable=np.zeros(2, np.float32))
    assert caught.value.diagnostics[0].code == "unknown-input"


@pytest.mark.parametrize(
    "fault",
    [
        'layer { name: "x" type: "Unheard" bottom: "one" top: "x" }',
        'layer { name: "x" type: "Eltwise" bottom: "one" bottom: "data" top: "x" }',
        'layer { name: "x" type: "ReLU" bottom: "missing" top: "x" }',
        'layer { name: "x" type: "Data" top: "x" data_param { batch_size: 1 } }\n'
        'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }',
        'layer { name: "x" type: "Python" bottom: "one" top: "x" python_param { module: "m" } }',
    ],
)
def test_mistakes_of_other_layers_do_not_matter(fault: str) -> None:
    text = Source("faulty.prototxt", HEAD + fault)
    with pytest.raises(NetcError):
        netc.compile(text)
    assert netc.compile(text, ONE, outputs="one")(data=X)["one"].shape == (2, 3)


def test_several_outputs_in_the_order_asked_for() -> None:
    net = netc.compile(NET, outputs=("fc", "one@one", "fc", "data"))
    assert list(net.outputs) == ["fc", "one@one", "data"]
    out = net(data=X)
    np.testing.assert_array_equal(out["data"], X)
    assert out["one@one"].min() < 0


def test_an_input_alone() -> None:
    net = netc.compile(NET, outputs="label")
    assert net.inputs == {"label": (2,)}
    np.testing.assert_array_equal(net(label=np.ones(2, np.float32))["label"], [1, 1])


def test_an_unknown_output_is_told_with_a_near_name() -> None:
    with pytest.raises(NetcError) as caught:
        netc.compile(NET, outputs="fcc")
    assert caught.value.diagnostics[0].code == "unknown-output"
    assert "`fc`" in caught.value.diagnostics[0].help[0]


SILENCED = Source(
    "silenced.prototxt",
    HEAD
    + 'layer { name: "extra" type: "InnerProduct" bottom: "data" top: "extra"'
    + " inner_product_param { num_output: 2 } }"
    + 'layer { name: "quiet" type: "Silence" bottom: "label" bottom: "extra" }',
)


def test_what_is_silenced_is_not_needed_by_default(backend: str) -> None:
    net = netc.compile(SILENCED, ONE, backend=backend)
    assert list(net.inputs) == ["data", "label"]
    np.testing.assert_array_equal(net(data=X)["one"], np.maximum(X[:, :3], 0))
    assert net(data=X, label=np.zeros(2, np.float32))["one"].shape == (2, 3)


def test_run_goes_up_to_an_output(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, x = tmp_path / "two.prototxt", tmp_path / "x.npy"
    path.write_text(NET.text, encoding="utf-8")
    np.save(x, X)
    argv = ["run", str(path), "--input", f"data={x}", "--output", "one"]
    assert main(argv) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("one") and "fc" not in out
    assert main([*argv, "--input", f"label={tmp_path}/absent.npy"]) == 0
