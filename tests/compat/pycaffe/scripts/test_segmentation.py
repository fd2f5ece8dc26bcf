"""What FCN's scripts do: surgery of nets, inference, histograms of classes, a solver by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 3

BASE = """
layer { name: "input" type: "Input" top: "data" input_param {
  shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2
  stride: 2 } }
"""
CLASSIFIER = (
    BASE
    + """
layer { name: "fc6" type: "InnerProduct" bottom: "pool1" top: "fc6" inner_product_param {
  num_output: 5 weight_filler { type: "gaussian" std: 0.3 } } }
"""
)
FULLY = (
    BASE
    + """
layer { name: "fc6" type: "Convolution" bottom: "pool1" top: "fc6" convolution_param {
  num_output: 5 kernel_size: 4 pad: 2 } }
layer { name: "score_fr" type: "Convolution" bottom: "fc6" top: "score_fr" convolution_param {
  num_output: 3 kernel_size: 1 } }
layer { name: "upscore" type: "Deconvolution" bottom: "score_fr" top: "upscore" convolution_param {
  num_output: 3 kernel_size: 4 stride: 2 bias_term: false } }
layer { name: "score" type: "Crop" bottom: "upscore" bottom: "data" top: "score" crop_param {
  axis: 2 offset: 1 } }
"""
)


def bilinear(size: int) -> Any:
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    rows, columns = np.ogrid[:size, :size]
    return (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)


def transplant(new: Any, old: Any) -> None:
    for name in old.params:
        if name not in new.params:
            continue
        for at in range(len(old.params[name])):
            if at > len(new.params[name]) - 1:
                break
            new.params[name][at].data.flat = old.params[name][at].data.flat


def interpolate(net: Any, layers: list[str]) -> None:
    for name in layers:
        outputs, inputs, high, wide = net.params[name][0].data.shape
        assert outputs == inputs and high == wide
        net.params[name][0].data[range(outputs), range(inputs), :, :] = bilinear(high)


def histogram(truth: Any, guess: Any, number: int) -> Any:
    known = (truth >= 0) & (truth < number)
    return np.bincount(
        number * truth[known].astype(int) + guess[known], minlength=number**2
    ).reshape(number, number)


def test_a_classifier_becomes_fully_convolutional(tmp_path: Path) -> None:
    import caffe

    (tmp_path / "vgg.prototxt").write_text(CLASSIFIER)
    (tmp_path / "fcn.prototxt").write_text(FULLY)
    old = caffe.Net(str(tmp_path / "vgg.prototxt"), caffe.TEST)
    old.save(str(tmp_path / "vgg.caffemodel"))
    old = caffe.Net(str(tmp_path / "vgg.prototxt"), str(tmp_path / "vgg.caffemodel"), caffe.TEST)
    net = caffe.Net(str(tmp_path / "fcn.prototxt"), caffe.TEST)
    transplant(net, old)
    interpolate(net, [name for name in net.params.keys() if "up" in name])
    image = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    old.blobs["data"].data[...] = image
    wanted = old.forward()["fc6"][0]
    net.blobs["data"].reshape(1, *image.shape)
    net.blobs["data"].data[...] = image
    net.forward()
    # the middle place sees what the classifier saw
    np.testing.assert_allclose(net.blobs["fc6"].data[0, :, 2, 2], wanted, rtol=1e-4, atol=1e-5)
    assert net.blobs["score"].data[0].argmax(axis=0).shape == (8, 8)
    np.testing.assert_allclose(net.params["upscore"][0].data[1, 1], bilinear(4))
    assert not net.params["upscore"][0].data[0, 1].any()


TRAIN = """
layer { name: "data" type: "Python" top: "data" top: "label" python_param {
  module: "own_data" layer: "Segments" param_str: "{'seed': 3, 'side': 6}" } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score" convolution_param {
  num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalize: false } }
"""
OWN_DATA = """
import caffe
import numpy as np


class Segments(caffe.Layer):
    def setup(self, bottom, top):
        params = eval(self.param_str)
        self.random = np.random.RandomState(params["seed"])
        self.side = params["side"]
        if len(top) != 2:
            raise Exception("Need to define two tops: data and label.")
        if len(bottom) != 0:
            raise Exception("Do not define a bottom.")

    def reshape(self, bottom, top):
        self.side = 6 if self.side == 7 else 7
        self.data = self.random.rand(3, self.side, self.side)
        self.label = self.data.argmax(axis=0)[np.newaxis]
        top[0].reshape(1, *self.data.shape)
        top[1].reshape(1, *self.label.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.data
        top[1].data[...] = self.label

    def backward(self, top, propagate_down, bottom):
        pass
"""


def test_a_solver_steps_and_classes_are_counted(tmp_path: Path, monkeypatch: Any) -> None:
    import caffe

    (tmp_path / "own_data.py").write_text(OWN_DATA)
    (tmp_path / "train.prototxt").write_text(TRAIN)
    (tmp_path / "solver.prototxt").write_text(
        'train_net: "train.prototxt" test_net: "train.prototxt" test_iter: 4 '
        'test_interval: 1000000 base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 '
        "test_initialization: false display: 0 max_iter: 1000"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    caffe.set_mode_cpu()
    solver = caffe.SGDSolver("solver.prototxt")
    overall = []
    for _ in range(2):
        solver.test_nets[0].share_with(solver.net)
        counts, loss = np.zeros((CLASSES, CLASSES)), 0.0
        for _ in range(4):
            solver.test_nets[0].forward()
            guess = solver.test_nets[0].blobs["score"].data[0].argmax(0).flatten()
            counts += histogram(
                solver.test_nets[0].blobs["label"].data[0].flatten(), guess, CLASSES
            )
            loss += solver.test_nets[0].blobs["loss"].data.flat[0]
        overall.append(np.diag(counts).sum() / counts.sum())
        assert np.isfinite(loss)
        solver.step(60)
    assert solver.iter == 120
    assert overall[1] > max(0.6, overall[0])
