"""What py-faster-rcnn's and SSD's scripts do with nets of their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

FASTER = """
input: "data" input_shape { dim: 1 dim: 3 dim: 48 dim: 64 }
input: "im_info" input_shape { dim: 1 dim: 3 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 6 kernel_size: 3 pad: 1 stride: 16 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "rpn_cls" type: "Convolution" bottom: "conv" top: "rpn_cls" convolution_param {
  num_output: 18 kernel_size: 1 weight_filler { type: "gaussian" std: 0.05 } } }
layer { name: "rpn_bbox" type: "Convolution" bottom: "conv" top: "rpn_bbox" convolution_param {
  num_output: 36 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "shaped" type: "Reshape" bottom: "rpn_cls" top: "shaped" reshape_param { shape {
  dim: 0 dim: 2 dim: -1 dim: 0 } } }
layer { name: "prob" type: "Softmax" bottom: "shaped" top: "prob" }
layer { name: "probs" type: "Reshape" bottom: "prob" top: "probs" reshape_param { shape {
  dim: 0 dim: 18 dim: -1 dim: 0 } } }
layer { name: "proposal" type: "Python" bottom: "probs" bottom: "rpn_bbox" bottom: "im_info"
  top: "rois" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
  param_str: "'feat_stride': 16" } }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.0625 } }
layer { name: "cls_score" type: "InnerProduct" bottom: "pool" top: "cls_score"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "bbox_pred" type: "InnerProduct" bottom: "pool" top: "bbox_pred"
  inner_product_param { num_output: 12 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "cls_prob" type: "Softmax" bottom: "cls_score" top: "cls_prob" }
"""


def blob_of(image: Any, target: int) -> tuple[Any, float]:
    """An image less its mean, resized, as (1, colours, rows, columns), and the scale."""
    scale = target / min(image.shape[:2])
    size = tuple(round(side * scale) for side in image.shape[:2])
    rows, columns = (
        (np.arange(new) / scale).astype(int).clip(0, old - 1)
        for new, old in zip(size, image.shape, strict=False)
    )
    resized = image[rows][:, columns].astype(np.float32) - np.array([102.9, 115.9, 122.7])
    return resized.transpose(2, 0, 1)[None].astype(np.float32), scale


def transformed(boxes: Any, deltas: Any) -> Any:
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + 0.5 * sizes
    out = np.zeros(deltas.shape)
    for k in range(2):
        middle = deltas[:, k::4] * sizes[:, k : k + 1] + centre[:, k : k + 1]
        side = np.exp(deltas[:, k + 2 :: 4]) * sizes[:, k : k + 1]
        out[:, k::4], out[:, k + 2 :: 4] = middle - 0.5 * side, middle + 0.5 * side
    return out


def nms(dets: Any, threshold: float) -> list[int]:
    order, keep = dets[:, 4].argsort()[::-1], []
    areas = (dets[:, 2] - dets[:, 0] + 1) * (dets[:, 3] - dets[:, 1] + 1)
    while order.size:
        best, rest = order[0], order[1:]
        keep.append(int(best))
        low = np.maximum(dets[best, :2], dets[rest, :2])
        high = np.minimum(dets[best, 2:4], dets[rest, 2:4])
        common = np.maximum(0, high - low + 1).prod(axis=1)
        order = rest[common / (areas[best] + areas[rest] - common) <= threshold]
    return keep


def test_faster_rcnn_detects_in_pictures_of_any_size(tmp_path: Path) -> None:
    import caffe

    (tmp_path / "test.pt").write_text(FASTER)
    first = caffe.Net(str(tmp_path / "test.pt"), caffe.TEST)
    first.save(str(tmp_path / "rcnn.caffemodel"))
    net = caffe.Net(str(tmp_path / "test.pt"), str(tmp_path / "rcnn.caffemodel"), caffe.TEST)
    net.name = "rcnn"
    for seed, size in enumerate(((60, 90), (100, 70), (60, 90))):
        image = np.random.default_rng(seed).integers(0, 255, (*size, 3))
        data, scale = blob_of(image, 64)
        blobs = {
            "data": data,
            "im_info": np.array([[data.shape[2], data.shape[3], scale]], np.float32),
        }
        net.blobs["data"].reshape(*(blobs["data"].shape))
        net.blobs["im_info"].reshape(*(blobs["im_info"].shape))
        kwargs = {name: blob.astype(np.float32, copy=False) for name, blob in blobs.items()}
        out = net.forward(**kwargs)
        rois = net.blobs["rois"].data.copy()
        boxes = rois[:, 1:5] / scale
        assert out["cls_prob"].shape == (len(rois), 3)
        assert len(rois) > 3
        found = transformed(boxes, out["bbox_pred"].reshape(len(rois), -1))
        scores = out["cls_prob"]
        dets = np.hstack((found[:, 4:8], scores[:, 1, np.newaxis])).astype(np.float32)
        keep = nms(dets, 0.3)
        assert 0 < len(keep) <= len(dets)


def test_ssd_is_built_by_netspec_and_detects(tmp_path: Path) -> None:
    import caffe
    from caffe import layers as L  # noqa: N812
    from caffe import params as P  # noqa: N812
    from caffe.proto import caffe_pb2

    net = caffe.NetSpec()
    net.data = L.Input(shape=dict(dim=[1, 3, 32, 32]))
    net.conv = L.Convolution(
        net.data, num_output=8, kernel_size=3, pad=1, stride=4,
        weight_filler=dict(type="xavier"), param=[dict(lr_mult=1), dict(lr_mult=2)],
    )  # fmt: skip
    net.relu = L.ReLU(net.conv, in_place=True)
    kinds = {}
    for name, number in (("loc", 4 * 2), ("conf", 3 * 2)):
        net[name] = L.Convolution(net.relu, num_output=number, kernel_size=3, pad=1,
                                  weight_filler=dict(type="xavier"))  # fmt: skip
        net[name + "_perm"] = L.Permute(net[name], order=[0, 2, 3, 1])
        net[name + "_flat"] = L.Flatten(net[name + "_perm"], axis=1)
        kinds[name] = net[name + "_flat"]
    net.priorbox = L.PriorBox(
        net.relu, net.data, min_size=8.0, max_size=16.0, clip=False, variance=[0.1, 0.1, 0.2, 0.2]
    )
    net.reshaped = L.Reshape(kinds["conf"], shape=dict(dim=[0, -1, 3]))
    net.softmaxed = L.Softmax(net.reshaped, axis=2)
    net.flat = L.Flatten(net.softmaxed, axis=1)
    net.detection_out = L.DetectionOutput(
        kinds["loc"], net.flat, net.priorbox,
        detection_output_param=dict(
            num_classes=3, share_location=True, background_label_id=0,
            nms_param=dict(nms_threshold=0.45, top_k=400), keep_top_k=200,
            confidence_threshold=0.01, code_type=P.PriorBox.CENTER_SIZE,
        ),
        include=dict(phase=caffe_pb2.Phase.Value("TEST")),
    )  # fmt: skip
    proto = net.to_proto()
    proto.name = "SSD_test"
    (tmp_path / "deploy.prototxt").write_text(str(proto))
    read = caffe_pb2.NetParameter()
    text_format.Merge((tmp_path / "deploy.prototxt").read_text(), read)
    assert read.layer[-1].detection_output_param.code_type == 2

    labels = caffe_pb2.LabelMap()
    text_format.Merge(
        'item { name: "none" label: 0 display_name: "background" } '
        'item { name: "a" label: 1 display_name: "cat" } '
        'item { name: "b" label: 2 display_name: "dog" }',
        labels,
    )
    ssd = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    transformer = caffe.io.Transformer({"data": ssd.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.array([104, 117, 123]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    image = np.random.default_rng(1).random((40, 50, 3)).astype(np.float32)
    ssd.blobs["data"].reshape(1, 3, 32, 32)
    ssd.blobs["data"].data[...] = transformer.preprocess("data", image)
    detections = ssd.forward()["detection_out"]
    assert detections.shape[3] == 7
    top = [i for i, conf in enumerate(detections[0, 0, :, 2]) if conf >= 0.1]
    names = {item.label: item.display_name for item in labels.item}
    assert {names[int(detections[0, 0, i, 1])] for i in top} <= {"cat", "dog"}
    assert top


def test_ssds_solver_is_written_and_read(tmp_path: Path, monkeypatch: Any) -> None:
    import caffe
    from caffe.proto import caffe_pb2

    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param { '
        'shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } data_filler { type: "gaussian" } } } '
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { '
        'num_output: 1 weight_filler { type: "xavier" } } } '
        'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" }'
    )
    given = {
        "base_lr": 0.01, "weight_decay": 0.0005, "lr_policy": "multistep", "stepvalue": [4, 6],
        "gamma": 0.1, "momentum": 0.9, "iter_size": 1, "max_iter": 8, "snapshot": 8,
        "display": 0, "average_loss": 10, "type": "SGD", "debug_info": False,
        "snapshot_after_train": True,
    }  # fmt: skip
    solver_param = caffe_pb2.SolverParameter(
        train_net="train.prototxt", snapshot_prefix="ssd", **given
    )
    (tmp_path / "solver.prototxt").write_text(str(solver_param))
    solver = caffe.get_solver("solver.prototxt")
    solver.solve()
    assert solver.iter == 8
    assert (tmp_path / "ssd_iter_8.caffemodel").exists()
    resumed = caffe.get_solver("solver.prototxt")
    resumed.restore("ssd_iter_8.solverstate")
    assert resumed.iter == 8
    for name in solver.net.params:
        np.testing.assert_array_equal(
            solver.net.params[name][0].data, resumed.net.params[name][0].data
        )
