"""Training scripts as people write them: gradients by hand, solvers, layers of the script's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
import netc.compat.pycaffe as caffe
from netc.diagnostics import NetcError, Source

pytestmark = pytest.mark.filterwarnings("ignore")  # nets without weights are filled

INPUT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 2 dim: 2 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
"""
END = """
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" }
"""
IN_PLACE = [
    'type: "ReLU" relu_param { negative_slope: 0.2 }',
    'type: "PReLU"',
    'type: "TanH"',
    'type: "ELU"',
    'type: "Scale" scale_param { bias_term: true }',
    'type: "BatchNorm"',
    'type: "Dropout"',
    'type: "Power" power_param { scale: 2 shift: 1 }',
]


def text(layer: str = "") -> str:
    middle = f'layer {{ name: "m" bottom: "c" top: "c" {layer} }}' if layer else ""
    return "force_backward: true\n" + INPUT + middle + END


def values(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def fed(net: caffe.Net) -> caffe.Net:
    net.blobs["x"].data[...], net.blobs["t"].data[...] = values(1, 3, 4, 2, 2), values(2, 3, 5)
    return net


@pytest.mark.parametrize("layer", IN_PLACE)
def test_layers_in_place_have_the_gradients_that_one_program_gives(layer: str) -> None:
    net = fed(caffe.Net(Source("n", text(layer)), caffe.TRAIN))
    for _ in range(2):  # the second time what is overwritten has been kept
        net.clear_param_diffs()
        net.forward()
        net.backward()
    drawn = "Dropout" in layer
    params = {name: [b.data.copy() for b in blobs] for name, blobs in net.params.items()}
    made = netc.compile(Source("n", text(layer)), params, phase="TRAIN")
    if drawn:  # another mask at each forward, the same in its backward
        kept = net.blobs["c"].data != 0
        assert not kept.all() and (net.blobs["c"].diff[~kept] == 0).all()
        return
    want = made.gradients({"x": values(1, 3, 4, 2, 2), "t": values(2, 3, 5)})
    for name, arrays in want.params.items():
        if name == "m" and "BatchNorm" in layer:
            continue
        for blob, array in zip(net.params[name], arrays, strict=True):
            np.testing.assert_allclose(blob.diff, array, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.blobs["x"].diff, want.blobs["x"], rtol=1e-4, atol=1e-5)


def solver_text(folder: Path, net: str, more: str = "") -> str:
    (folder / "net.prototxt").write_text(net)
    path = folder / "solver.prototxt"
    path.write_text(
        f'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 20 {more}\n'
        f'snapshot_prefix: "{folder}/s" snapshot_after_train: false'
    )
    return str(path)


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "Adam", "AdaDelta"])
def test_a_solver_ends_where_the_fused_one_ends(tmp_path: Path, kind: str) -> None:
    path = solver_text(tmp_path, text('type: "TanH"'), f'type: "{kind}" iter_size: 2')
    solver = caffe.get_solver(path)
    begin = {n: [b.data.copy() for b in blobs] for n, blobs in solver.net.params.items()}
    fed(solver.net)
    solver.step(5)
    other = netc.Solver(path, begin, feeds={"x": values(1, 3, 4, 2, 2), "t": values(2, 3, 5)})
    other.step(5)
    for name, arrays in other.params.items():
        for blob, array in zip(solver.net.params[name], arrays, strict=True):
            np.testing.assert_allclose(blob.data, array, rtol=1e-4, atol=1e-6)


def test_a_log_is_written_unless_it_is_silenced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = solver_text(tmp_path, text(), "display: 1")
    fed(caffe.SGDSolver(path).net)
    caffe.SGDSolver(path).step(1)
    assert "Iteration 0, lr = 0.05" in capsys.readouterr().err
    monkeypatch.setenv("GLOG_minloglevel", "2")
    caffe.SGDSolver(path).step(1)
    assert capsys.readouterr().err == ""


MODULE = """
import caffe

class Halve(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * top[0].diff
"""
NAMED = 'type: "Python" python_param { module: "halving_layer" layer: "Halve" param_str: "0.5" }'


@pytest.fixture
def halving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "halving_layer.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = set(sys.modules)
    yield
    caffe.python_layers.allow_imports(False)
    for name in set(sys.modules) - names:
        if name.split(".")[0] in ("caffe", "halving_layer"):
            del sys.modules[name]


def test_a_module_is_imported_only_when_the_script_says_so(halving: None) -> None:
    with pytest.raises(NetcError) as error:
        caffe.Net(Source("n", text(NAMED)), caffe.TEST)
    (told,) = error.value.diagnostics
    assert told.code == "python-layer" and any("python_layers=True" in line for line in told.help)
    assert "halving_layer" not in sys.modules
    caffe.install(python_layers=True)
    net = fed(caffe.Net(Source("n", text(NAMED)), caffe.TEST))
    net.forward()
    net.backward()
    assert type(net.layer_dict["m"]).__name__ == "Halve" and net.layers[3].type == "Python"
    assert np.any(net.blobs["x"].diff)


def test_a_class_is_handed_over() -> None:
    class Halve(caffe.Layer):
        def setup(self, bottom: Any, top: Any) -> None: ...
        def reshape(self, bottom: Any, top: Any) -> None: ...
        def forward(self, bottom: Any, top: Any) -> None:
            bottom[0].data[...] *= 0.5

    caffe.add_python_layer(Halve, "handed_over")
    plain = fed(caffe.Net(Source("n", text()), caffe.TEST))
    net = fed(
        caffe.Net(Source("n", text(NAMED.replace("halving_layer", "handed_over"))), caffe.TEST)
    )
    net.share_with(plain)
    net.forward()
    plain.forward()
    np.testing.assert_allclose(net.blobs["c"].data, plain.blobs["c"].data * 0.5, rtol=1e-6)


def test_nets_that_share_weights_have_gradients_of_their_own(tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_text(tmp_path, text()))
    worker = caffe.Net(Source("n", text()), caffe.TRAIN)
    solver.share_weights(worker)
    fed(worker).forward()
    worker.backward()
    assert np.any(worker.params["c"][0].diff) and not np.any(solver.net.params["c"][0].diff)
    solver.net.params["c"][0].diff[...] = worker.params["c"][0].diff
    before = worker.params["c"][0].data.copy()
    solver.apply_update()
    assert np.any(worker.params["c"][0].data != before) and solver.iter == 1
