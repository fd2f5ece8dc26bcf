"""Losses and their gradients by kernels, over random shapes and labels, against definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import netc
from netc.backends.cpu import backend
from netc.diagnostics import NetcError, Source
from netc.ir.graph import Array
from netc.memory import Budget, using
from tests.backends.cpu.test_gradients import slow_steps
from tests.backends.cpu.test_layers import layer, text_of
from tests.machines import HERE, runnable

MACHINES = st.sampled_from(HERE or ("plain 256K",)).map(runnable)
SMALL = st.integers(1, 6)
NORMALIZATIONS = st.sampled_from(
    ["", "normalization: FULL", "normalization: BATCH_SIZE", "normalization: NONE"]
)


def compare(target, text: str, feeds: dict[str, Array], wrt: tuple[str, ...]) -> None:
    """Outputs and gradients are those of the definitions, of kernels alone, on 1, 2, 4 threads."""
    source = Source("net", text)
    plain = netc.compile(source, phase="TRAIN", backend="reference")
    want, slopes = plain(feeds), plain.gradients(feeds, wrt=wrt).blobs
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        for threads in (1, 2, 4):
            net = netc.compile(source, phase="TRAIN", threads=threads)
            assert net.report()["reference_steps"] == []
            found.append((net(feeds), net.gradients(feeds, wrt=wrt).blobs))
            assert slow_steps(net) == []
    for mine, theirs in ((found[0][0], want), (found[0][1], slopes)):
        for name, array in theirs.items():
            scale = max(1e-3, float(np.abs(array).max(initial=0)))
            np.testing.assert_allclose(mine[name], array, rtol=0, atol=3e-6 * scale, err_msg=name)
    for others in found[1:]:
        for mine, theirs in zip(found[0], others, strict=True):
            for name in mine:
                np.testing.assert_array_equal(mine[name], theirs[name])


@st.composite
def labelled(draw):
    """Scores' shape, labels' shape, the softmax's axis, and classes."""
    classes = draw(st.sampled_from([1, 2, 3, 7, 16, 19, 40]))
    batch, height, width = draw(st.sampled_from([1, 3, 70])), draw(SMALL), draw(SMALL)
    kind = draw(st.sampled_from(["rows", "map", "map of 3", "steps"]))
    if kind == "rows":
        return (batch, classes), draw(st.sampled_from([(batch,), (batch, 1, 1, 1)])), 1, classes
    if kind == "steps":
        return (height, batch, classes), (height, batch), 2, classes
    labels = (batch, height, width) if kind == "map of 3" else (batch, 1, height, width)
    return (batch, classes, height, width), labels, 1, classes


@settings(max_examples=30, deadline=None)
@given(
    target=MACHINES,
    sizes=labelled(),
    normalization=NORMALIZATIONS,
    ignored=st.sampled_from([None, 0, 1, 255, -1]),
    tops=st.sampled_from(["loss", "loss prob"]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_softmax_with_loss(target, sizes, normalization, ignored, tops, weighted, seed):
    shape, labels, axis, classes = sizes
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, labels).astype(np.float32)
    fields = normalization
    if ignored is not None:
        label[random.random(labels) < 0.4] = ignored
        fields += f" ignore_label: {ignored}"
    if weighted:
        numbers = " ".join(f"class_weighting: {0.5 + i % 3}" for i in range(classes))
        fields += f" weight_by_label_freqs: true {numbers}"
    params = f"loss_param {{ {fields} }} softmax_param {{ axis: {axis} }} loss_weight: 0.7"
    params += " loss_weight: 0" if " " in tops else ""
    body = layer("SoftmaxWithLoss", "x label", tops, params)
    feeds = {"x": random.standard_normal(shape, np.float32) * 5, "label": label}
    compare(target, text_of({"x": shape, "label": labels}, [body]), feeds, ("x",))


def test_scores_that_overflow_and_those_that_are_no_numbers():
    x = np.array([[0, 200, -200], [1e38, -1e38, 0], [np.nan, 0, 1], [np.inf, 0, 1]], np.float32)
    body = layer("SoftmaxWithLoss", "x label", "loss", "loss_param { normalization: NONE }")
    text = text_of({"x": (1, 3), "label": (1,)}, [body])
    plain, net = (
        netc.compile(Source("net", text), phase="TRAIN", backend=b) for b in ("reference", "cpu")
    )
    for row in x:
        for label in range(3):
            feeds = {"x": row[None], "label": np.array([label], np.float32)}
            np.testing.assert_allclose(net(feeds)["loss"], plain(feeds)["loss"], rtol=1e-6)
            mine, theirs = (n.gradients(feeds, wrt=("x",)).blobs["x"] for n in (net, plain))
            np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("label", [5.0, -1.0, 3e9, -4e12, float("nan"), float("inf")])
def test_a_label_that_is_no_class_is_named_at_the_layer(label: float) -> None:
    body = layer("SoftmaxWithLoss", "x label", "loss", "loss_param { ignore_label: 255 }")
    text = text_of({"x": (4, 5), "label": (4,)}, [body])
    net = netc.compile(Source("net", text), phase="TRAIN")
    feeds = {"x": np.zeros((4, 5), np.float32), "label": np.array([1, 255, 4.9, label], np.float32)}
    for run in (net, lambda given: net.gradients(given, wrt=("x",))):
        with pytest.raises(NetcError) as caught:
            run(feeds)
        (found,) = caught.value.diagnostics
        assert found.code == "label-out-of-range"
        assert found.message.startswith("layer `l_loss` (SoftmaxWithLoss): label ")
        assert found.span is not None


@settings(max_examples=25, deadline=None)
@given(
    target=MACHINES,
    shape=st.sampled_from(
        [(1, 1), (3, 40), (2, 5, 4, 7), (1, 2, 60, 60), (9, 1, 33, 50), (2, 3, 5)]
    ),
    flat=st.booleans(),
    kind=st.sampled_from(["EuclideanLoss", "SigmoidCrossEntropyLoss"]),
    normalization=st.one_of(NORMALIZATIONS, st.just("normalization: VALID")),
    ignored=st.sampled_from([None, 0, -1, 2]),
    seed=st.integers(0, 99),
)
def test_losses_of_pairs(target, shape, flat, kind, normalization, ignored, seed):
    random = np.random.default_rng(seed)
    other = (shape[0], int(np.prod(shape[1:]))) if flat else shape
    assume(not flat or len(shape) != 4 or shape[1] == 1)  # else they lie in different orders
    second = random.random(other, np.float32) * 1.3
    params, wrt = "loss_weight: 3", ("x", "y")
    if kind != "EuclideanLoss":
        wrt = ("x",)
        fields = normalization
        if ignored is not None:
            second[random.random(other) < 0.4] = ignored
            fields += f" ignore_label: {ignored}"
        params += f" loss_param {{ {fields} }}"
    feeds = {"x": random.standard_normal(shape, np.float32) * 4, "y": second}
    compare(
        target, text_of({"x": shape, "y": other}, [layer(kind, "x y", "loss", params)]), feeds, wrt
    )


def test_no_memory_is_asked_for_a_definition_that_does_not_run() -> None:
    """The probabilities of a large map are never stored: three copies of it would not fit."""
    shape, labels = (1, 16, 512, 512), (1, 1, 512, 512)
    body = layer("SoftmaxWithLoss", "x label", "loss")
    source = Source("net", text_of({"x": shape, "label": labels}, [body]))
    feeds = {"x": np.zeros(shape, np.float32), "label": np.zeros(labels, np.float32)}
    net = netc.compile(source, phase="TRAIN", max_memory=40_000_000)
    np.testing.assert_allclose(net(feeds)["loss"], np.log(16), rtol=1e-6)
    plain = netc.compile(source, phase="TRAIN", backend="reference")
    with using(Budget(40_000_000)), pytest.raises(NetcError, match="too-little-memory"):
        plain(feeds)
