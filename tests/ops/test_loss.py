from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops import contrastive_loss, cross_entropy, infogain_loss, loss
from netc.ops.define import LayerContext, ShapeError
from tests.ops.cases import (
    assert_close,
    bind_layer,
    cases_of,
    check_case,
    context_of,
    load_case,
    run_layer,
)

OPS = (*loss.OPS, *cross_entropy.OPS, *contrastive_loss.OPS, *infogain_loss.OPS)
BY_NAME = {op.name: op for op in OPS}
FLT_MIN = 1.17549435e-38


def layer(kind: str, text: str = "", bottoms: int = 2, tops: int = 1):
    named = " ".join(f'bottom: "b{i}"' for i in range(bottoms))
    named += " " + " ".join(f'top: "t{i}"' for i in range(tops))
    return bind_layer(f'name: "loss" type: "{kind}" {named} {text}')


def run(message, *inputs: np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(array, np.float32) for array in inputs]
    return run_layer(BY_NAME[message.get("type")], message, arrays, [], "TRAIN")


def parse(message):
    return BY_NAME[message.get("type")].params(message, context_of(message, "TRAIN"))


@pytest.mark.parametrize("name", cases_of(*BY_NAME))
def test_golden(name: str) -> None:
    check_case(load_case(name), BY_NAME)


@pytest.mark.parametrize("op", OPS, ids=list(BY_NAME))
def test_a_loss_may_have_no_top_written(op) -> None:
    assert op.loss and op.arity.optional_top
    extra = 'infogain_loss_param { source: "H.binaryproto" }' if op.name == "InfogainLoss" else ""
    bottoms = op.arity.bottoms[0]
    message = layer(op.name, extra, bottoms=bottoms, tops=0)
    shapes = [
        (4, 5),
        (4,) if op.name not in ("EuclideanLoss", "SigmoidCrossEntropyLoss") else (4, 5),
    ]
    if op.name == "ContrastiveLoss":
        shapes = [(4, 5), (4, 5), (4,)]
    assert op.shape(parse(message), shapes) == ((),)


MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")
BLOCKS = {
    "outer": st.integers(1, 3),
    "classes": st.integers(1, 4),
    "inner": st.integers(1, 3),
    "mode": st.sampled_from(MODES),
    "ignored": st.sampled_from([None, 0, 255]),
    "seed": st.integers(0, 9999),
}


def normalizer(mode: str, outer: int, inner: int, valid: int) -> float:
    return max(1, {"FULL": outer * inner, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode])


def drawn(outer, classes, inner, ignored, seed):
    rng = np.random.default_rng(seed)
    data = rng.normal(scale=3, size=(outer, classes, inner)).astype(np.float32)
    labels = rng.integers(0, classes, (outer, inner)).astype(np.float32)
    if ignored == 255:
        labels[rng.random(labels.shape) < 0.3] = 255
    return rng, data, labels


def loss_text(mode, ignored) -> str:
    ignore = f" ignore_label: {ignored}" if ignored is not None else ""
    return f"loss_param {{ normalization: {mode}{ignore} }}"


def probabilities(data: np.ndarray) -> np.ndarray:
    raised = np.exp(data.astype(np.float64))
    return raised / raised.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(**BLOCKS)
def test_softmax_loss_one_by_one(outer, classes, inner, mode, ignored, seed) -> None:
    _, data, labels = drawn(outer, classes, inner, ignored, seed)
    message = layer("SoftmaxWithLoss", loss_text(mode, ignored), tops=2)
    loss, prob = run(message, data, labels)
    wanted, valid = 0.0, 0
    for i, j in np.ndindex(outer, inner):
        if labels[i, j] != ignored:
            wanted -= np.log(max(probabilities(data)[i, int(labels[i, j]), j], FLT_MIN))
            valid += 1
    assert_close(prob, probabilities(data))
    assert_close(loss, np.asarray(wanted / normalizer(mode, outer, inner, valid)))


@settings(max_examples=60, deadline=None)
@given(**BLOCKS)
def test_infogain_loss_one_by_one(outer, classes, inner, mode, ignored, seed) -> None:
    rng, data, labels = drawn(outer, classes, inner, ignored, seed)
    matrix = rng.random((classes, classes)).astype(np.float32)
    message = layer("InfogainLoss", loss_text(mode, ignored), bottoms=3, tops=2)
    loss, prob = run(message, data, labels, matrix)
    wanted, valid = 0.0, 0
    for i, j in np.ndindex(outer, inner):
        if labels[i, j] != ignored:
            row = matrix[int(labels[i, j])]
            wanted -= (row * np.log(np.maximum(probabilities(data)[i, :, j], 1e-20))).sum()
            valid += 1
    assert_close(prob, probabilities(data))
    assert_close(loss, np.asarray(wanted / normalizer(mode, outer, inner, valid)))


@settings(max_examples=60, deadline=None)
@given(**BLOCKS)
def test_sigmoid_loss_one_by_one(outer, classes, inner, mode, ignored, seed) -> None:
    rng, data, _ = drawn(outer, classes, inner, ignored, seed)
    target = rng.integers(0, 2, data.shape) + np.float32(0.25)
    loss = run(layer("SigmoidCrossEntropyLoss", loss_text(mode, ignored)), data, target)[0]
    chance = 1 / (1 + np.exp(-data.astype(np.float64)))
    terms = -(target * np.log(chance) + (1 - target) * np.log(1 - chance))
    kept = np.trunc(target) != ignored  # a target is cut to an integer before it is compared
    by = normalizer(mode, outer, classes * inner, int(kept.sum()))
    assert_close(loss, np.asarray(terms[kept].sum() / by))


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 4),
    size=st.integers(1, 5),
    norm=st.sampled_from(["L1", "L2"]),
    seed=st.integers(0, 9999),
)
def test_hinge_euclidean_and_multinomial_one_by_one(number, size, norm, seed) -> None:
    rng = np.random.default_rng(seed)
    data, other = rng.normal(size=(2, number, size)).astype(np.float32)
    labels = rng.integers(0, size, number).astype(np.float32)
    at = np.arange(number), labels.astype(int)
    (euclidean,) = run(layer("EuclideanLoss"), data, other)
    assert_close(euclidean, np.asarray(((data - other) ** 2).sum() / number / 2))
    signs = np.ones_like(data)
    signs[at] = -1
    margins = np.maximum(0, 1 + signs * data) ** (1 if norm == "L1" else 2)
    (hinge,) = run(layer("HingeLoss", f"hinge_loss_param {{ norm: {norm} }}"), data, labels)
    assert_close(hinge, np.asarray(margins.sum() / number))
    (log,) = run(layer("MultinomialLogisticLoss"), np.abs(data), labels)
    assert_close(log, np.asarray(-np.log(np.maximum(np.abs(data)[at], 1e-20)).sum() / number))


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(1, 5),
    legacy=st.booleans(),
    margin=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 9999),
)
def test_contrastive_one_by_one(number, legacy, margin, seed) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, number, 3)).astype(np.float32)
    alike = rng.integers(0, 2, number)
    wanted = 0.0
    for i in range(number):
        square = ((first[i] - second[i]) ** 2).sum()
        apart = max(margin - square, 0) if legacy else max(margin - np.sqrt(square), 0) ** 2
        wanted += square if alike[i] else apart
    text = f"contrastive_loss_param {{ margin: {margin} legacy_version: {str(legacy).lower()} }}"
    (loss,) = run(layer("ContrastiveLoss", text, bottoms=3), first, second, alike)
    assert_close(loss, np.asarray(wanted / number / 2))


def test_contrastive_by_the_classes_of_both() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 3))
    classes = [0, 1, 2, 2, 1], [0, 2, 2, 1, 1]
    alike = np.equal(*classes)
    (wanted,) = run(layer("ContrastiveLoss", bottoms=3), first, second, alike)
    text = "contrastive_loss_param { label_type: CATEGORY }"
    (found,) = run(layer("ContrastiveLoss", text, bottoms=4), first, second, *classes)
    assert_close(found, wanted)
    for fields, bottoms in ((text, 3), ("", 4)):
        with pytest.raises(NetcError, match=f"takes {7 - bottoms} bottoms, it has {bottoms}"):
            parse(layer("ContrastiveLoss", fields, bottoms=bottoms))


def test_the_floors_of_the_logarithms() -> None:
    sure = np.array([[0, -1000]], np.float32)
    (softmax,) = run(layer("SoftmaxWithLoss"), sure, [1])
    assert_close(softmax, np.asarray(-np.log(FLT_MIN)))
    (multinomial,) = run(layer("MultinomialLogisticLoss"), [[1, 0]], [1])
    assert_close(multinomial, np.asarray(-np.log(1e-20)))
    (infogain,) = run(layer("InfogainLoss", bottoms=3), sure, [1], np.eye(2))
    assert_close(infogain, np.asarray(-np.log(1e-20)))


def test_sigmoid_loss_of_large_scores_stays_finite() -> None:
    (loss,) = run(layer("SigmoidCrossEntropyLoss"), [[1e4, -1e4]], [[1, 0]])
    assert loss == 0
    (loss,) = run(layer("SigmoidCrossEntropyLoss"), [[1e4, -1e4]], [[0, 1]])
    assert loss == 2e4


def test_sigmoid_loss_divides_by_the_batch_unless_told_otherwise() -> None:
    data, target = np.zeros((2, 3)), np.ones((2, 3))
    (plain,) = run(layer("SigmoidCrossEntropyLoss"), data, target)
    old = {
        value: run(
            layer("SigmoidCrossEntropyLoss", f"loss_param {{ normalize: {value} }}"), data, target
        )[0]
        for value in ("true", "false")
    }
    assert_close(plain, np.asarray(6 * np.log(2) / 2))
    assert old["false"] == plain and old["true"] == pytest.approx(np.log(2))


def test_normalization_wins_over_the_old_normalize() -> None:
    for kind in ("SoftmaxWithLoss", "SigmoidCrossEntropyLoss"):
        both = layer(kind, "loss_param { normalize: false normalization: FULL }")
        assert parse(both).normalization == "FULL"


def test_all_labels_ignored_is_0() -> None:
    (loss,) = run(layer("SoftmaxWithLoss", "loss_param { ignore_label: 7 }"), [[1, 2]], [7])
    assert loss == 0


def test_an_empty_batch_gives_what_c_gives() -> None:
    assert run(layer("SoftmaxWithLoss"), np.ones((0, 3)), np.ones(0))[0] == 0
    assert np.isnan(run(layer("EuclideanLoss"), np.ones((0, 3)), np.ones((0, 3)))[0])
    assert np.isnan(run(layer("HingeLoss"), np.ones((0, 3)), np.ones(0))[0])


def test_values_that_are_no_numbers_raise_no_warning() -> None:
    bad = np.array([[np.nan, np.inf, -np.inf]])
    for kind in ("SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss"):
        run(layer(kind), bad, [1])
    run(layer("SigmoidCrossEntropyLoss"), bad, bad)
    run(layer("EuclideanLoss"), bad, bad)
    run(layer("ContrastiveLoss", bottoms=3), bad, bad, [0])


def test_the_two_axes_of_infogain_loss_are_apart() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 3, 4)).astype(np.float32)
    text = "infogain_loss_param { axis: 2 }"
    _, prob = run(layer("InfogainLoss", text, bottoms=3, tops=2), data, np.zeros((2, 3)), np.eye(4))
    assert_close(prob, probabilities(data))


def blob_file(path: Path, array: np.ndarray) -> Path:
    """A BlobProto as Caffe writes it: shape 7, packed data 5."""
    dims, data = bytes(array.shape), array.astype("<f4").tobytes()
    shape = bytes([0x0A, len(dims)]) + dims
    path.write_bytes(bytes([0x3A, len(shape)]) + shape + bytes([0x2A, len(data)]) + data)
    return path


TWO_BOTTOMS = """layer { name: "data" type: "Input" top: "data" input_param { shape { SHAPE } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: ITEMS } } }
layer { name: "loss" type: "InfogainLoss" bottom: "data" bottom: "label" top: "loss"
  infogain_loss_param { source: "H.binaryproto" } }
"""


def compiled(text: str, folder: Path, shape: tuple[int, ...]) -> netc.CompiledNet:
    """The net in a file of this folder, with data of this shape."""
    dims = " ".join(f"dim: {size}" for size in shape)
    path = folder / "net.prototxt"
    path.write_text(text.replace("SHAPE", dims).replace("ITEMS", str(shape[0])))
    return netc.compile(path, backend="reference", phase="TRAIN")


def test_infogain_matrix_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((3, 3)).astype(np.float32)
    source = blob_file(tmp_path / "H.binaryproto", matrix)
    data, labels = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    net = compiled(TWO_BOTTOMS, source.parent, (4, 3))
    fed = {"data": np.float32(data), "label": np.float32(labels)}
    from_file = net(fed)["loss"]
    (from_bottom,) = run(layer("InfogainLoss", bottoms=3), data, labels, matrix)
    assert from_file == from_bottom


def test_infogain_matrix_of_another_size(tmp_path: Path) -> None:
    source = blob_file(tmp_path / "H.binaryproto", np.eye(2))
    with pytest.raises(NetcError, match="9 elements, 3 by 3 for 3 classes, it has 4") as caught:
        compiled(TWO_BOTTOMS, source.parent, (1, 3))
    found = caught.value.diagnostics[0]
    assert found.code == "infogain-matrix" and found.span is not None and found.span.line == 3


def test_infogain_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NetcError, match=r"no file `H\.binaryproto`") as caught:
        compiled(TWO_BOTTOMS, tmp_path, (1, 3))
    assert caught.value.diagnostics[0].code == "missing-file"


def test_infogain_file_outside_of_the_folder(tmp_path: Path) -> None:
    blob_file(tmp_path / "H.binaryproto", np.eye(3))
    (tmp_path / "nets").mkdir()
    text = TWO_BOTTOMS.replace("H.binaryproto", "../H.binaryproto")
    with pytest.raises(NetcError) as caught:
        compiled(text, tmp_path / "nets", (1, 3))
    assert caught.value.diagnostics[0].code == "outside-file"


def test_a_definition_opens_no_file(tmp_path: Path) -> None:
    source = blob_file(tmp_path / "H.binaryproto", np.eye(3))
    message = layer("InfogainLoss", f'infogain_loss_param {{ source: "{source}" }}')
    with pytest.raises(NetcError, match="has not been read"):
        run(message, np.ones((1, 3)), [0])


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss"])
@pytest.mark.parametrize("label", [3.0, -1.0, 1e30, float("nan")])
def test_label_out_of_range(kind: str, label: float) -> None:
    with pytest.raises(NetcError) as caught:
        run(layer(kind), np.ones((2, 3)), [0, label])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "label-out-of-range"
    assert diagnostic.message == f"label {label:g} is no class, the 3 classes are 0 to 2"


@pytest.mark.parametrize(
    ("kind", "text", "bottoms", "code", "at"),
    [
        ("InfogainLoss", "", 2, "missing-field", None),
        ("InfogainLoss", "loss_param { normalize: true }", 3, "unsupported-value", "true"),
        ("SoftmaxWithLoss", "loss_param { label_smoothing: 0.1 }", 2, "unsupported-field", "0.1"),
    ],
)
def test_mistakes_in_the_text(kind, text, bottoms, code, at) -> None:
    message = layer(kind, text, bottoms=bottoms)
    with pytest.raises(NetcError) as caught:
        BY_NAME[kind].params(message, LayerContext("TRAIN", bottoms, 1))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert at is None or diagnostic.span.text == at


@pytest.mark.parametrize(
    ("kind", "text", "shapes", "wanted"),
    [
        ("SoftmaxWithLoss", "", ((4, 5), (3,)), "the prediction is 4x5 and the label 3"),
        ("SoftmaxWithLoss", "", ((4, 5), ()), "the prediction is 4x5 and the label a scalar"),
        ("SoftmaxWithLoss", "", ((4, 5, 2), (4,)), "8 labels are needed"),
        (
            "SoftmaxWithLoss",
            "softmax_param { axis: 3 }",
            ((4, 5), (4,)),
            "`axis` 3 is out of range for the 2 axes",
        ),
        ("EuclideanLoss", "", ((4, 5), (4, 6)), "5 in 4x5 and 6 in 4x6"),
        ("HingeLoss", "", ((4, 5), (4, 0)), "4 labels are needed"),
        ("MultinomialLogisticLoss", "", ((4, 5), (4, 2)), "channels, height and width 1, it is"),
        ("SigmoidCrossEntropyLoss", "", ((4, 5), (4,)), "20 in 4x5 and 4 in 4"),
        ("ContrastiveLoss", "", ((4, 5), (4, 6), (4,)), "5 in 4x5 and 6 in 4x6"),
        ("ContrastiveLoss", "", ((4, 5, 2), (4, 5, 2), (4,)), "first bottom must have height and"),
        ("ContrastiveLoss", "", ((4, 5), (4, 5), (4, 2)), "the third bottom must have channels"),
        ("ContrastiveLoss", "", ((4, 5), (4, 5), (3,)), "4 labels are needed"),
        ("ContrastiveLoss", "", ((4, 5), (3, 5), (4,)), "the prediction is 4x5 and the label 3x5"),
        ("InfogainLoss", "", ((4, 5), (4,), (5, 4)), "must have 25 elements, 5 by 5 for 5 classes"),
        ("InfogainLoss", "", ((4, 5), (4, 2), (5, 5)), "4 labels are needed"),
    ],
)
def test_shapes_that_do_not_fit(kind, text, shapes, wanted) -> None:
    params = parse(layer(kind, text, bottoms=len(shapes)))
    with pytest.raises(ShapeError) as caught:
        BY_NAME[kind].shape(params, shapes)
    assert wanted in caught.value.message
