"""Kernels of gradients against their definitions, on each machine that can run here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.cpu import backend
from netc.diagnostics import Source
from netc.ops.random import generator_key
from netc.train.differentiate import differentiate
from netc.train.generator import KEY, with_generator
from tests.backends.cpu.test_layers import layer, text_of
from tests.machines import HERE, runnable

MACHINES = HERE or ("plain 256K",)

CONVOLUTIONS = [
    ((2, 3, 9, 8), "num_output: 20 kernel_size: 3"),
    ((1, 20, 7, 7), "num_output: 5 kernel_size: 5 pad: 2"),
    ((3, 16, 8, 9), "num_output: 17 kernel_size: 3 stride: 2 pad: 1"),
    ((2, 33, 6, 6), "num_output: 50 kernel_size: 1"),
    ((2, 8, 9, 9), "num_output: 12 kernel_size: 3 group: 4 dilation: 2 pad: 2"),
    (
        (1, 2, 12, 5),
        "num_output: 70 kernel_h: 5 kernel_w: 2 stride_h: 3 stride_w: 1",
    ),
    ((1, 4, 3, 3), "num_output: 3 kernel_size: 7 pad: 5"),
    ((2, 8, 9, 8), "num_output: 12 kernel_size: 1 stride: 2"),
    ((2, 6, 8, 8), "num_output: 6 kernel_size: 3 pad: 1 group: 6"),
    ((2, 37, 9, 8), "num_output: 37 kernel_size: 3 pad: 1 group: 37 stride: 2"),
    ((3, 16, 30, 31), "num_output: 16 kernel_size: 5 pad: 2 group: 16"),
    ((1, 16, 7, 9), "num_output: 16 kernel_h: 2 kernel_w: 3 group: 16 dilation: 2"),
    ((9, 6, 40, 40), "num_output: 40 kernel_size: 3 pad: 1"),  # several blocks of rows
    ((2, 33, 29, 30), "num_output: 40 kernel_size: 3 pad: 1"),  # by Winograd's algorithm
    ((3, 64, 14, 14), "num_output: 45 kernel_size: 3"),
    ((5, 1, 28, 27), "num_output: 20 kernel_size: 5"),  # a window's rows as numbers
    ((3, 1, 17, 16), "num_output: 33 kernel_h: 4 kernel_w: 3 stride: 2 pad_h: 1"),
    ((2, 2, 11, 9), "num_output: 6 kernel_size: 3 group: 2"),
    ((2, 20, 28, 26), "num_output: 36 kernel_size: 5 pad: 2"),
    ((2, 64, 23, 21), "num_output: 38 kernel_size: 3 pad: 1 group: 2"),
    ((2, 24, 7, 6), "num_output: 36 kernel_size: 3 pad: 1 group: 12"),
    ((1, 64, 5, 5), "num_output: 64 kernel_size: 3 pad: 1 stride: 2 group: 32"),
    ((2, 48, 4, 4), "num_output: 24 kernel_size: 1 group: 24"),
]
FILLERS = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.5 }'
SOME = 'type: "gaussian" std: 1.5'
DECONVOLUTION = "num_output: 7 kernel_size: 3"
OTHERS = [
    ((7, 20), "InnerProduct", f"inner_product_param {{ num_output: 9 {FILLERS} }}"),
    ((3, 5, 4, 6), "InnerProduct", f"inner_product_param {{ num_output: 21 {FILLERS} }}"),
    ((40, 3, 1, 1), "InnerProduct", f"inner_product_param {{ num_output: 65 {FILLERS} }}"),
    (
        (2, 6, 5, 5),
        "Deconvolution",
        f"convolution_param {{ num_output: 7 kernel_size: 3 {FILLERS} }}",
    ),
    ((2, 18, 5, 6), "LRN", "lrn_param { alpha: 0.5 }"),
    ((1, 70, 3, 3), "LRN", "lrn_param { local_size: 9 beta: 0.6 alpha: 2 k: 2 }"),
    ((2, 3, 3, 3), "LRN", "lrn_param { local_size: 41 beta: 0.5 alpha: 2 }"),
    ((2, 18, 9, 9), "Pooling", "pooling_param { kernel_size: 2 stride: 2 }"),
    ((2, 5, 9, 8), "Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    ((1, 33, 7, 7), "Pooling", "pooling_param { kernel_size: 3 stride: 1 pool: AVE pad: 1 }"),
    ((2, 4, 6, 6), "Pooling", "pooling_param { global_pooling: true pool: AVE }"),
    ((3, 17, 6, 7), "BatchNorm", ""),
    ((40, 33), "BatchNorm", "batch_norm_param { eps: 0.01 }"),
    ((2, 70, 23, 29), "BatchNorm", "batch_norm_param { use_global_stats: true }"),
    ((3, 5, 40, 41), "BatchNorm", "batch_norm_param { scale_bias: true }"),
    ((3, 17, 6, 7), "BN", f"bn_param {{ scale_filler {{ {SOME} }} shift_filler {{ {SOME} }} }}"),
    ((40, 33), "BN", f"bn_param {{ scale_filler {{ {SOME} }} }}"),
    ((2, 19, 23, 9), "BN", f"bn_param {{ slope_filler {{ {SOME} }} bias_filler {{ {SOME} }} }}"),
    ((2, 19, 5, 9), "Scale", "scale_param { bias_term: true }"),
    ((5, 33), "Scale", "scale_param { bias_term: true }"),
    ((2, 600, 3, 3), "Bias", ""),
    ((2, 19, 4, 5), "Sigmoid", ""),
    ((5, 33), "TanH", ""),
    ((4, 19, 20, 20), "ReLU6", "relu6_param { negative_slope: 0.25 }"),
    ((2, 18, 5, 5), "ReLU", ""),
    ((3, 7), "ReLU", "relu_param { negative_slope: 0.1 }"),
    ((2, 18, 5, 5), "ELU", "elu_param { alpha: 0.7 }"),
    ((5, 33), "ELU", ""),
    ((2, 19, 4, 5), "Clip", "clip_param { min: -0.5 max: 0.25 }"),
    ((3, 19, 7, 5), "PReLU", ""),
    ((40, 33), "PReLU", 'prelu_param { filler { type: "constant" value: -0.3 } }'),
    ((3, 2, 40, 41), "PReLU", ""),
]


def check(target: str, shape: tuple[int, ...], body: str, kind: str) -> list[str]:
    """Gradients of a layer behind another; returns the steps that no kernel does."""
    text = text_of({"x": shape}, [layer("Power", "x", "y", "power_param { scale: 2 }"), body])
    random = np.random.default_rng(0)
    x = random.standard_normal(shape, np.float32)
    plain = netc.compile(Source("net", text), phase="TRAIN", backend="reference")
    top = next(iter(plain.outputs))
    seeds = {top: random.standard_normal(plain.outputs[top], np.float32)}
    weights = {name: list(arrays) for name, arrays in plain.params.items()}
    want = plain.gradients({"x": x}, seeds=seeds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: runnable(target))
        net = netc.compile(Source("net", text), weights, phase="TRAIN", threads=2)
        got = net.gradients({"x": x}, seeds=seeds)
    pairs = [(got.blobs["x"], want.blobs["x"])]
    for name, arrays in want.params.items():
        pairs += zip(got.params[name], arrays, strict=True)
    for mine, theirs in pairs:
        scale = np.abs(theirs).max() + 1e-3
        np.testing.assert_allclose(mine / scale, theirs / scale, atol=2e-5)
    return slow_steps(net)


def slow_steps(net: netc.CompiledNet) -> list[str]:
    """The steps of a net's gradients that run by definition."""
    programs = net._joint
    assert programs is not None
    found = []
    for _, executable in programs._programs.values():
        found += executable.program.by_definition
    return found


@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize(("shape", "fields"), CONVOLUTIONS)
def test_convolutions(target: str, shape: tuple[int, ...], fields: str) -> None:
    body = layer("Convolution", "y", "z", f"convolution_param {{ {fields} {FILLERS} }}")
    assert check(target, shape, body, "Convolution") == []


@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize(("shape", "kind", "param"), OTHERS)
def test_other_layers(target: str, shape: tuple[int, ...], kind: str, param: str) -> None:
    slow = check(target, shape, layer(kind, "y", "z", param), kind)
    assert kind == "Deconvolution" or slow == []


@pytest.mark.parametrize("target", MACHINES)
def test_a_product_of_three(target: str) -> None:
    body = layer("Eltwise", "y x y", "z", "eltwise_param { operation: PROD }")
    assert check(target, (3, 18, 4, 5), body, "Eltwise") == []


@pytest.mark.parametrize("target", MACHINES)
@pytest.mark.parametrize("bottoms", ["y x", "x y", "y y"])
def test_a_maximum_of_two(target: str, bottoms: str) -> None:
    body = layer("Eltwise", bottoms, "z", "eltwise_param { operation: MAX }")
    assert check(target, (3, 18, 4, 5), body, "Eltwise") == []


def test_equal_and_infinite_elements_of_a_maximum() -> None:
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    values = np.array([0, -0.0, 1, tiny, np.inf, -np.inf, np.nan, 3e38], np.float32)
    first, second = (grid.reshape(1, -1) for grid in np.meshgrid(values, values))
    shapes = {"a": first.shape, "b": first.shape}
    body = layer("Eltwise", "a b", "c", "eltwise_param { operation: MAX }")
    feeds, seeds = {"a": first, "b": second}, {"c": np.ones(first.shape, np.float32)}
    source = Source("net", text_of(shapes, [body]))
    want, got = (
        netc.compile(source, phase="TRAIN", backend=name).gradients(feeds, seeds=seeds).blobs
        for name in ("reference", "cpu")
    )
    for name in shapes:
        np.testing.assert_array_equal(got[name], want[name])


@settings(max_examples=20, deadline=None)
@drawn(
    target=st.sampled_from(MACHINES),
    shape=st.sampled_from(
        [(3, 40), (2, 19, 4, 7), (7,), (2, 3, 4, 5), (5, 1, 9, 3), (3, 17, 1, 1)]
    ),
    kind=st.sampled_from(["Dropout", "DropPath"]),
    ratio=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    own=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    iteration=st.integers(0, 2**32 - 1),
)
def test_what_is_dropped_is_what_the_definition_draws(
    target: str,
    shape: tuple[int, ...],
    kind: str,
    ratio: float,
    own: bool,
    seed: int,
    iteration: int,
) -> None:
    fields = f"dropout_ratio: {ratio} scale_train: {'true' if own else 'false'}"
    if kind == "DropPath":
        per_item = "true" if own and len(shape) != 1 else "false"
        fields = f"survival_ratio: {1 - ratio} per_sample: {per_item}"
    name = {"Dropout": "dropout_param", "DropPath": "drop_path_param"}[kind]
    text = text_of({"x": shape}, [layer(kind, "x", "y", f"{name} {{ {fields} }}")])
    graph = with_generator(netc.compile(Source("net", text), phase="TRAIN").graph)
    joint = differentiate(graph, seeds=("y",), values=("x",)).graph
    random = np.random.default_rng(0)
    given = {name: random.standard_normal(shape, np.float32) for name in joint.inputs}
    given[KEY] = generator_key(seed, iteration)
    want = reference.run(joint, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: runnable(target))
        made = backend.CpuBackend().prepare(joint, Options(threads=2))
        got = made.run(given)
    assert made.report()["reference_steps"] == []
    for value, array in want.items():
        np.testing.assert_array_equal(got[value], array)
