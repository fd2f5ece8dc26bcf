"""Deep dream, merged batch norm, siamese nets, edges, colours, poses and drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

CONV = (
    'layer { name: "NAME" type: "Convolution" bottom: "IN" top: "NAME" convolution_param { '
    'num_output: OUT kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.2 } } } '
)


def conv(name: str, bottom: str, outputs: int) -> str:
    return CONV.replace("NAME", name).replace("IN", bottom).replace("OUT", str(outputs))


def test_deep_dream_climbs_the_norm_of_a_layer(tmp_path: Path) -> None:
    import caffe
    from caffe.proto import caffe_pb2

    text = 'name: "net" input: "data" input_dim: 1 input_dim: 3 input_dim: 16 input_dim: 16 '
    text += conv("a", "data", 4) + 'layer { name: "r" type: "ReLU" bottom: "a" top: "a" } '
    (tmp_path / "deploy.prototxt").write_text(text + conv("end", "a", 2))
    model = caffe_pb2.NetParameter()
    text_format.Merge((tmp_path / "deploy.prototxt").read_text(), model)
    model.force_backward = True
    (tmp_path / "tmp.prototxt").write_text(str(model))
    caffe.Net(str(tmp_path / "tmp.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    net = caffe.Classifier(
        str(tmp_path / "tmp.prototxt"), str(tmp_path / "w.caffemodel"),
        mean=np.array([104.0, 116.0, 122.0], dtype=np.float32), channel_swap=(2, 1, 0),
    )  # fmt: skip

    def preprocess(img: Any) -> Any:
        return np.float32(np.rollaxis(img, 2)[::-1]) - net.transformer.mean["data"]

    rng, src, norms = np.random.default_rng(0), net.blobs["data"], []
    image = preprocess(rng.random((20, 24, 3)) * 255)
    src.reshape(1, 3, 20, 24)
    src.data[0] = image
    for _ in range(4):
        dst = net.blobs["a"]
        ox, oy = rng.integers(-3, 4, 2)
        src.data[0] = np.roll(np.roll(src.data[0], ox, -1), oy, -2)
        net.forward(end="a")
        norms.append(float((dst.data**2).sum()))
        dst.diff[:] = dst.data
        net.backward(start="a")
        g = src.diff[0]
        src.data[:] += 1.5 / np.abs(g).mean() * g
        src.data[0] = np.roll(np.roll(src.data[0], -ox, -1), -oy, -2)
        bias = net.transformer.mean["data"]
        src.data[:] = np.clip(src.data, -bias, 255 - bias)
    assert norms[-1] > norms[0]


def merged(layer: Any) -> tuple[Any, Any]:
    mean, variance, factor = (blob.data for blob in layer)
    return mean / factor, variance / factor


def test_batch_norm_is_merged_into_convolutions(tmp_path: Path) -> None:
    import caffe

    start = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 6 '
    tail = 'layer { name: "act" type: "ReLU" bottom: "conv1" top: "conv1" }'
    train = start + conv("conv1", "data", 4).replace("pad: 1", "pad: 1 bias_term: false")
    train += 'layer { name: "conv1/bn" type: "BatchNorm" bottom: "conv1" top: "conv1" } '
    train += (
        'layer { name: "conv1/scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { '
        "bias_term: true filler { value: 1 } } } "
    )
    (tmp_path / "train.prototxt").write_text(train + tail)
    (tmp_path / "deploy.prototxt").write_text(start + conv("conv1", "data", 4) + tail)
    net = caffe.Net(str(tmp_path / "train.prototxt"), caffe.TEST)
    rng = np.random.default_rng(1)
    for blob, value in zip(net.params["conv1/bn"], (rng.normal(size=4), rng.random(4) + 1, [2]),
                           strict=True):  # fmt: skip
        blob.data[...] = value
    net.params["conv1/scale"][0].data[...] = rng.random(4) + 0.5
    net.params["conv1/scale"][1].data[...] = rng.normal(size=4)
    net.save(str(tmp_path / "train.caffemodel"))
    net = caffe.Net(
        str(tmp_path / "train.prototxt"), str(tmp_path / "train.caffemodel"), caffe.TRAIN
    )
    nobn = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    for key in net.params.keys():
        if type(net.params[key]) is tuple:
            continue
        if key.endswith("/bn") or key.endswith("/scale"):
            continue
        if key + "/bn" not in net.params:
            for i, w in enumerate(net.params[key]):
                nobn.params[key][i].data[...] = w.data
            continue
        wt = net.params[key][0].data
        mean, var = merged(net.params[key + "/bn"])
        scales, bias = (blob.data for blob in net.params[key + "/scale"])
        rstd = scales / np.sqrt(var + 1e-5)
        nobn.params[key][0].data[...] = wt * rstd.reshape(-1, 1, 1, 1)
        nobn.params[key][1].data[...] = bias - mean * rstd
    nobn.save(str(tmp_path / "deploy.caffemodel"))
    image = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    answers = []
    for name in ("train", "deploy"):
        made = caffe.Net(
            str(tmp_path / f"{name}.prototxt"), str(tmp_path / f"{name}.caffemodel"), caffe.TEST
        )
        made.blobs["data"].data[...] = image
        answers.append(made.forward()["conv1"].copy())
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_a_siamese_net_learns_and_embeds(tmp_path: Path, monkeypatch: Any) -> None:
    import caffe

    monkeypatch.chdir(tmp_path)
    branch = (
        'layer { name: "ipTAG" type: "InnerProduct" bottom: "dataTAG" top: "featTAG" '
        'param { name: "w" lr_mult: 1 } param { name: "b" lr_mult: 2 } inner_product_param { '
        'num_output: 2 weight_filler { type: "xavier" } } } '
    )
    text = (
        'layer { name: "pairs" type: "Input" top: "pair_data" top: "sim" input_param { '
        "shape { dim: 16 dim: 2 dim: 4 dim: 4 } shape { dim: 16 } } } "
        'layer { name: "slice" type: "Slice" bottom: "pair_data" top: "data" top: "data_p" '
        "slice_param { slice_dim: 1 slice_point: 1 } } "
        + branch.replace("TAG", "") + branch.replace("TAG", "_p")
        + 'layer { name: "loss" type: "ContrastiveLoss" bottom: "feat" bottom: "feat_p" '
        'bottom: "sim" top: "loss" contrastive_loss_param { margin: 1 } }'
    )  # fmt: skip
    (tmp_path / "siamese.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        'net: "siamese.prototxt" base_lr: 0.02 momentum: 0.9 lr_policy: "inv" gamma: 0.0001 '
        "power: 0.75 max_iter: 1000"
    )
    solver = caffe.SGDSolver("solver.prototxt")
    rng, losses = np.random.default_rng(2), []
    kinds = 0.3 * rng.normal(size=(2, 4, 4))
    for _ in range(60):
        classes = rng.integers(0, 2, (16, 2))
        pairs = kinds[classes] + 0.05 * rng.normal(size=(16, 2, 4, 4))
        solver.net.blobs["pair_data"].data[...] = pairs
        solver.net.blobs["sim"].data[...] = classes[:, 0] == classes[:, 1]
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    assert (
        solver.net.params["ip"][0].data.ctypes.data == solver.net.params["ip_p"][0].data.ctypes.data
    )
    solver.net.save("siamese.caffemodel")
    (tmp_path / "one.prototxt").write_text(
        'input: "data" input_dim: 5 input_dim: 1 input_dim: 4 input_dim: 4 '
        + branch.replace("TAG", "")
    )
    net = caffe.Net("one.prototxt", "siamese.caffemodel", caffe.TEST)
    raw = rng.random((5, 1, 4, 4)).astype(np.float32)
    out = net.forward_all(data=raw)
    assert out["feat"].shape == (5, 2)


def test_edges_colours_and_poses(tmp_path: Path) -> None:
    import caffe

    text = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 '
    text += conv("side", "data", 1) + conv("conv8_313_rh", "data", 3)
    text += (
        'layer { name: "sigmoid-dsn1" type: "Sigmoid" bottom: "side" top: "sigmoid-dsn1" } '
        'layer { name: "class8_313_rh" type: "Softmax" bottom: "conv8_313_rh" top: "p" } '
        'layer { name: "class8_ab" type: "Convolution" bottom: "p" top: "class8_ab" '
        "convolution_param { num_output: 2 kernel_size: 1 } }"
    )
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    hull = np.random.default_rng(3).normal(size=(3, 2))
    net.params["class8_ab"][0].data[:, :, 0, 0] = hull.transpose((1, 0))
    for size in ((8, 8), (12, 10), (6, 9)):
        image = np.random.default_rng(4).random((*size, 3))
        net.blobs["data"].reshape(1, 3, *size)
        net.blobs["data"].data[...] = image.transpose((2, 0, 1))[np.newaxis]
        out = net.forward()
        edges = net.blobs["sigmoid-dsn1"].data[0][0, :, :]
        assert edges.shape == size and edges.min() > 0 and edges.max() < 1
        ab = net.blobs["class8_ab"].data[0].transpose((1, 2, 0))
        prob = net.blobs["p"].data[0].transpose((1, 2, 0))
        np.testing.assert_allclose(ab, prob @ hull, rtol=1e-4, atol=1e-5)
        heat = np.squeeze(list(out.values())[-1])
        assert heat.shape[-2:] == size


def test_a_net_is_drawn(tmp_path: Path) -> None:
    import caffe
    import caffe.draw
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter()
    text_format.Merge('name: "n" input: "data" input_dim: 1 input_dim: 1 input_dim: 4 '
                      "input_dim: 4 " + conv("c", "data", 2), net)  # fmt: skip
    pydotplus = pytest.importorskip("shutil").which("dot")
    if pydotplus is None:
        pytest.skip("Graphviz's dot is not here")
    caffe.draw.draw_net_to_file(net, str(tmp_path / "net.png"), "LR")
    assert (tmp_path / "net.png").read_bytes()[:4] == b"\x89PNG"


def test_pictures_are_read_and_prepared(tmp_path: Path) -> None:
    import caffe
    from PIL import Image

    pixels = np.random.default_rng(5).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = caffe.io.load_image(str(tmp_path / "a.png"))
    np.testing.assert_allclose(image, pixels / 255, atol=1e-6)
    grey = caffe.io.load_image(str(tmp_path / "a.png"), color=False)
    assert grey.shape == (20, 30, 1)
    small = caffe.io.resize_image(image, (16, 16))
    crops = caffe.io.oversample([small], (8, 8))
    assert crops.shape == (10, 8, 8, 3)
    blob = caffe.io.array_to_blobproto(small.transpose(2, 0, 1)[None])
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob)[0], small.transpose(2, 0, 1))
    datum = caffe.io.array_to_datum(pixels.transpose(2, 0, 1), 7)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), pixels.transpose(2, 0, 1))
    assert datum.label == 7
