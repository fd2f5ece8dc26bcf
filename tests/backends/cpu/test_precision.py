"""Inner products with weights kept as float16: the definition's answers with rounded weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.backends.cpu import backend
from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from tests.backends.cpu.arena import close
from tests.backends.cpu.test_layers import images, layer, text_of
from tests.machines import HERE, runnable

MACHINES = st.sampled_from(HERE or ("plain 256K",)).map(runnable)


def source_of(shape, *layers):
    return Source("net", text_of({"x": shape}, layers))


def random_weights(source, scale=1.0):
    rng = np.random.default_rng(3)
    params = netc.compile(source, backend="reference").params
    return {
        name: [(scale * rng.standard_normal(a.shape)).astype(np.float32) for a in arrays]
        for name, arrays in params.items()
    }


def rounded(weights):
    """With the matrices as float16 has them."""
    return {
        name: [a.astype(np.float16).astype(np.float32) if a.ndim == 2 else a for a in arrays]
        for name, arrays in weights.items()
    }


@settings(max_examples=15, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    outputs=st.integers(1, 70),
    scale=st.sampled_from([1, 1e-6, 9e3]),
)
def test_answers_are_those_of_rounded_weights(target, data, outputs, scale):
    shape = images(data.draw)
    source = source_of(
        shape,
        layer("InnerProduct", "x", "a", f"inner_product_param {{ num_output: {outputs} }}"),
        layer("ReLU", "a", "b"),
        layer("InnerProduct", "b", "c", "inner_product_param { num_output: 33 transpose: true }"),
    )
    weights = random_weights(source, scale)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    want = netc.compile(source, rounded(weights), backend="reference")(x=x)["c"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        net = netc.compile(source, weights, precision="fp16")
        close(net(x=x)["c"], want)
        assert net.report()["float16_weights"] == ["l_a", "l_c"]


def test_a_machine_without_the_instruction(monkeypatch):
    """Halves are widened by integer arithmetic."""
    own = runnable("avx2 256K" if "avx2 256K" in HERE else HERE[0])
    features = ",".join([*filter(None, own.features.split(",")), "-f16c"])
    monkeypatch.setattr(backend, "machine", lambda: replace(own, features=features))
    source = source_of((2, 37), layer("InnerProduct", "x", "y", IP))
    weights = random_weights(source)
    x = np.random.default_rng(1).standard_normal((2, 37)).astype(np.float32)
    want = netc.compile(source, rounded(weights), backend="reference")(x=x)["y"]
    close(netc.compile(source, weights, precision="fp16")(x=x)["y"], want)


IP = "inner_product_param { num_output: 48 }"


@pytest.mark.parametrize("worst", [65505.0, -1e9, np.inf, np.nan])
def test_weights_beyond_the_range_stay_float32(worst):
    source = source_of((1, 64), layer("InnerProduct", "x", "y", IP))
    weights = random_weights(source)
    weights["l_y"][0][3, 5] = worst
    net = netc.compile(source, weights, precision="fp16")
    report = net.report()
    assert (report["float16_weights"], report["float32_weights"]) == ([], ["l_y"])
    x = np.random.default_rng(1).standard_normal((1, 64)).astype(np.float32)
    want = netc.compile(source, weights, backend="reference")(x=x)["y"]
    np.testing.assert_allclose(net(x=x)["y"], want, rtol=1e-4)


def test_the_report_tells_what_is_read():
    layers = [
        layer("Convolution", "x", "c", "convolution_param { num_output: 16 kernel_size: 3 }"),
        layer("InnerProduct", "c", "y", IP),
    ]
    source = source_of((1, 16, 10, 10), *layers)
    plain = netc.compile(source).report()
    halved = netc.compile(source, precision="fp16").report()
    assert (plain["precision"], halved["precision"]) == ("float32", "fp16")
    assert plain["weights_bytes"] - halved["weights_bytes"] == 2 * 48 * 16 * 64
    assert "float16_weights" not in plain


def test_tf32_is_a_gpus():
    with pytest.raises(NetcError, match="unsupported-option"):
        netc.compile(source_of((1, 4), layer("ReLU", "x", "y")), precision="tf32")


def test_commands(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text(text_of({"x": (1, 8)}, [layer("InnerProduct", "x", "y", IP)]))
    assert main(["bench", str(path), "--precision", "fp16", "--rounds", "1", "--json"]) == 0
    assert '"precision": "fp16"' in capsys.readouterr().out
    np.save(tmp_path / "x.npy", np.ones((1, 8), np.float32))
    feed = f"x={tmp_path / 'x.npy'}"
    assert main(["run", str(path), "-i", feed, "--precision", "fp16"]) == 0
    assert main(["run", str(path), "-i", feed, "--precision", "fp8"]) == 1
    assert "unknown-precision" in capsys.readouterr().err
