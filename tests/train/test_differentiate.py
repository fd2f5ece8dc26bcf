"""Joint graphs: what they are made of, and that every way of running them agrees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.registry import backend as backend_of
from netc.diagnostics import NetcError, Source
from netc.ir.graph import Graph
from netc.ir.text import parse_graph, print_graph
from netc.ir.verify import verify
from netc.ops.catalog import CATALOG
from netc.ops.params_from_text import load_params
from netc.ops.python import unregister_python_layer
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL
from netc.train.differentiate import differentiate
from netc.train.gradients import joint_of, requested
from netc.train.joint import Joint
from netc.train.wanted import owner_of
from tests.passes.weights import he_normal
from tests.strategies import nets, random_arrays
from tests.test_golden import GOLDEN, arrays, params
from tests.train.test_golden_gradients import BACKWARD

DATA = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 6 } } }'
LABEL = 'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 4 } } }'


def product(name: str, bottom: str, more: str = "", outputs: int = 3) -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {more} '
        f"inner_product_param {{ num_output: {outputs} "
        'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" } } }'
    )


def loss(bottom: str, more: str = "", label: str = "l") -> str:
    return (
        f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "{label}" '
        f'top: "loss" {more} }}'
    )


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}'


def compiled(*layers: str, phase: str = "TRAIN", backend: str = "reference") -> Any:
    text = Source("net.prototxt", "\n".join(layers) + "\n")
    return netc.compile(text, backend=backend, phase=phase)


FEEDS = {
    "x": np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32),
    "l": np.array([0, 2, 1, 2], np.float32),
}


def joint(graph: Graph, seeds: Sequence[str]) -> Joint:
    return joint_of(graph, requested(graph, None, seeds))


def same(got: dict[str, Any], want: dict[str, Any], rate: float = 2e-3) -> None:
    for name, array in want.items():
        limit = rate * max(1e-3, float(np.abs(array).max(initial=0)))
        np.testing.assert_allclose(got[name], array, rate, limit, err_msg=name)


# What a joint graph is


@pytest.mark.parametrize("case", BACKWARD, ids=lambda c: c["case"])
def test_joint_graphs_of_golden_cases(case: dict[str, Any]) -> None:
    """They verify, print and read back, and every pass keeps what they compute."""
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    data = text.with_suffix(".npz")
    net = netc.compile(text, params(data), backend="reference", phase=case["phase"])
    seeds = arrays(data, "topdiff/")
    made = joint(net.graph, tuple(seeds))
    verify(made.graph, "loaded", CATALOG)
    printed = print_graph(made.graph)
    assert print_graph(parse_graph(printed, load_params)) == printed
    given = {net.graph.input_blobs[name]: a for name, a in arrays(data, "in/").items()}
    feeds = given | {made.seeds[v]: a for v, a in seeds.items() if v in made.seeds}
    after, _ = run_passes(made.graph, ALL)
    same(reference.run(after, feeds), reference.run(made.graph, feeds))


@settings(max_examples=40)
@given(nets())
def test_random_nets_on_the_reference_and_the_cpu(source: Source) -> None:
    graph = he_normal(netc.compile(source, backend="reference").graph)
    made = joint(graph, graph.outputs)
    verify(made.graph, "loaded", CATALOG)
    feeds = random_arrays({name: made.graph.shape(name) for name in made.graph.inputs})
    want = reference.run(made.graph, feeds)
    if not all(np.isfinite(array).all() for array in want.values()):
        return
    got = backend_of("cpu").prepare(made.graph, Options(ALL)).run(feeds)
    if _lies_on_a_kink(want, got, graph):
        return
    same(got, want)


def _lies_on_a_kink(want: dict[str, Any], got: dict[str, Any], graph: Graph) -> bool:
    """Whether results that agree forward lead to slopes that differ: a maximum of two that are
    equal but for rounding, a rectifier at 0. Such elements are few.
    """
    off = [
        float((np.abs(got[n] - a) > 2e-3 * np.abs(a).max(initial=1e-3)).mean())
        for n, a in want.items()
        if n not in graph.outputs and a.size
    ]
    kinds = {node.op for node in graph.nodes}
    kinked = kinds & {"Pooling", "ReLU", "PReLU", "ELU", "Eltwise", "Clip"}
    return bool(kinked) and 0 < max(off, default=0) < 0.05


def test_nothing_is_made_below_what_is_wanted() -> None:
    net = compiled(DATA, LABEL, product("a", "x"), product("b", "a"), loss("b"))
    made = differentiate(net.graph, parameters=("b/0",))
    backward = [node for node in made.graph.nodes if "~grad" in node.name]
    assert [node.op for node in backward] == ["Parameter", "Gradient", "Gradient"]
    assert backward[-1].parameters == () and backward[-1].inputs[0] == "a"
    assert set(made.parameters) == {"b/0"} and not made.values


def test_what_is_not_read_is_not_kept() -> None:
    """ReLU reads its output, max pooling where its maxima stood; their bottoms are free."""
    image = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 6 '
        "dim: 6 } } }"
    )
    net = compiled(
        image,
        layer("Convolution", "x", "c", "convolution_param { num_output: 2 kernel_size: 1 }"),
        layer("ReLU", "c", "r"),
        layer("Pooling", "r", "p", "pooling_param { kernel_size: 2 stride: 2 }"),
    )
    graph = joint(net.graph, ("p",)).graph
    backward = {v for node in graph.nodes if "~grad" in node.name for v in node.inputs}
    assert "c" not in backward and "p" not in backward and {"r", "pooling~record"} & backward


def test_inference_loads_no_gradient() -> None:
    code = (
        "import sys, netc\n"
        f"net = netc.compile(netc.Source('n', {DATA + product('a', 'x')!r}), backend='reference')\n"
        "import numpy as np\n"
        "net(x=np.zeros((4, 6), np.float32))\n"
        "print([m for m in sys.modules if m.startswith(('netc.ops.gradients', 'netc.train'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


# What comes out: facts of Caffe's


def test_a_parameter_that_is_shared_has_the_sum_of_its_users_gradients(backend: str) -> None:
    own = product("a", "x", 'param { name: "w" } param { name: "b" }', 6)
    other = product("c", "a", 'param { name: "w" } param { name: "b" }', 6)
    net = compiled(DATA, LABEL, own, other, loss("c"), backend=backend)
    alone = compiled(
        DATA, LABEL, product("a", "x", outputs=6), product("c", "a", outputs=6), loss("c")
    ).graph
    weights = {name: list(array) for name, array in net.params.items()}
    apart = netc.compile(
        Source(
            "net.prototxt",
            "\n".join(
                (DATA, LABEL, product("a", "x", outputs=6), product("c", "a", outputs=6), loss("c"))
            ),
        ),
        weights,
        backend=backend,
        phase="TRAIN",
    )
    assert owner_of(alone, "c/0") == "c/0"
    got, want = net.gradients(FEEDS), apart.gradients(FEEDS)
    for index in range(2):
        total = want.params["a"][index] + want.params["c"][index]
        np.testing.assert_allclose(got.params["a"][index], total, 1e-4, 1e-6)
        np.testing.assert_array_equal(got.params["a"][index], got.params["c"][index])


def test_a_loss_weight_counts_on_any_top_and_each_of_its_elements(backend: str) -> None:
    plain = compiled(DATA, product("a", "x"), backend=backend)
    weights = {name: list(a) for name, a in plain.params.items()}
    text = Source("net.prototxt", DATA + product("a", "x", "loss_weight: 0.5"))
    weighed = netc.compile(text, weights, backend=backend)
    got = weighed.gradients({"x": FEEDS["x"]})
    want = plain.gradients({"x": FEEDS["x"]}, seeds={"a": np.full((4, 3), 0.5)})
    np.testing.assert_allclose(got.blobs["x"], want.blobs["x"], 1e-6)
    np.testing.assert_allclose(got.params["a"][0], want.params["a"][0], 1e-6)


def test_a_seed_at_a_loss_stands_for_its_weight(backend: str) -> None:
    net = compiled(DATA, LABEL, product("a", "x"), loss("a", "loss_weight: 3"), backend=backend)
    tripled, seeded = net.gradients(FEEDS), net.gradients(FEEDS, seeds={"loss": 1.0})
    np.testing.assert_allclose(tripled.blobs["x"], 3 * seeded.blobs["x"], 1e-5)


def test_losses_and_seeds_add_up(backend: str) -> None:
    net = compiled(DATA, LABEL, product("a", "x"), product("s", "a"), loss("a"), backend=backend)
    seed = {"s": np.random.default_rng(1).random((4, 3), dtype=np.float32)}
    alone = compiled(DATA, product("a", "x"), product("s", "a"), backend=backend)
    weights = {name: list(a) for name, a in net.params.items()}
    alone = netc.compile(
        Source("net.prototxt", DATA + product("a", "x") + product("s", "a")), weights,
        backend=backend,
    )  # fmt: skip
    both = net.gradients(FEEDS, seeds=seed).blobs["x"]
    parts = net.gradients(FEEDS).blobs["x"]
    parts = parts + alone.gradients({"x": FEEDS["x"]}, seeds=seed).blobs["x"]
    np.testing.assert_allclose(both, parts, 1e-4, 1e-5)


def test_what_no_loss_depends_on_has_gradient_0(backend: str) -> None:
    net = compiled(DATA, LABEL, product("a", "x"), product("b", "x"), loss("a"), backend=backend)
    got = net.gradients(FEEDS)
    assert not got.params["b"][0].any() and got.params["a"][0].any()
    assert set(got.blobs) == {"x"}  # a label has none at all
    assert set(got.outputs) == {"b", "loss"}


def test_propagate_down_false_stops_a_gradient(backend: str) -> None:
    net = compiled(
        DATA, LABEL, product("a", "x"), product("b", "a", "propagate_down: false"), loss("b"),
        backend=backend,
    )  # fmt: skip
    got = net.gradients(FEEDS)
    assert got.params["b"][0].any()
    assert not got.params["a"][0].any() and not got.blobs["x"].any()


def test_frozen_parameters_have_gradients_here(backend: str) -> None:
    net = compiled(DATA, LABEL, product("a", "x", "param { lr_mult: 0 }"), loss("a"))
    assert net.gradients(FEEDS).params["a"][0].any()
    assert net.graph.parameters["a/0"].lr_mult == 0


def test_gradients_of_blobs_between(backend: str) -> None:
    net = compiled(
        DATA, LABEL, product("a", "x"), layer("ReLU", "a", "a").replace('"a" type', '"r" type'),
        product("b", "a"), loss("b"), backend=backend,
    )  # fmt: skip
    got = net.gradients(FEEDS, wrt=("a", "a@a", "b"))
    assert set(got.blobs) == {"a", "a@a", "b"}
    after, before = got.blobs["a"], got.blobs["a@a"]
    forward = netc.compile(
        Source("net.prototxt", DATA + product("a", "x")),
        {"a": list(net.params["a"])}, backend="reference",
    )(x=FEEDS["x"])["a"]  # fmt: skip
    np.testing.assert_allclose(before, after * (forward > 0), 1e-5, 1e-7)
    np.testing.assert_allclose(after, got.blobs["b"] @ net.params["b"][0], 1e-4, 1e-6)


def test_a_seed_may_be_a_gradient_as_it_stands(backend: str) -> None:
    net = compiled(DATA, layer("Split", "x", "y"), backend=backend)
    seed = np.random.default_rng(1).random((4, 6), dtype=np.float32)
    got = net.gradients({"x": FEEDS["x"]}, seeds={"y": seed})
    np.testing.assert_array_equal(got.blobs["x"], seed)


def test_other_input_shapes_have_programs_of_their_own(backend: str) -> None:
    net = compiled(DATA, LABEL, product("a", "x"), loss("a"), backend=backend)
    whole = net.gradients(FEEDS)
    half = net.gradients({name: array[:2] for name, array in FEEDS.items()})
    assert half.blobs["x"].shape == (2, 6)
    np.testing.assert_array_equal(net.gradients(FEEDS).blobs["x"], whole.blobs["x"])


def test_variables_are_read_when_it_runs(backend: str) -> None:
    text = Source("net.prototxt", "\n".join((DATA, LABEL, product("a", "x"), loss("a"))))
    net = netc.compile(text, backend=backend, phase="TRAIN", variables=True)
    before = net.gradients(FEEDS).blobs["x"]
    net.params["a"][0][...] *= 2
    again = netc.compile(
        text, {"a": list(net.params["a"])}, backend=backend, phase="TRAIN"
    ).gradients(FEEDS).blobs["x"]  # fmt: skip
    after = net.gradients(FEEDS).blobs["x"]
    np.testing.assert_allclose(after, again, 1e-5, 1e-7)
    assert (after != before).any()


def test_rows_that_only_a_run_tells(backend: str) -> None:
    """A Filter keeps some items; gradients go back to those."""
    flags = 'layer { name: "f" type: "Input" top: "f" input_param { shape { dim: 4 } } }'
    chosen = 'layer { name: "s" type: "Filter" bottom: "x" bottom: "f" top: "s" }'
    net = compiled(DATA, flags, chosen, product("a", "s", "loss_weight: 1"), backend=backend)
    kept = np.array([1, 0, 0, 1], np.float32)
    got = net.gradients({"x": FEEDS["x"], "f": kept})
    want = np.where(kept[:, None], net.params["a"][0].sum(axis=0), 0)
    np.testing.assert_allclose(got.blobs["x"], want, 1e-5)
    np.testing.assert_allclose(got.params["a"][0][0], FEEDS["x"][[0, 3]].sum(axis=0), 1e-5)


def chosen_twice(rest: str, backend: str) -> Any:
    """Two Filters of the data, by flags of their own, and what is made of the items they keep."""
    flag = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ dim: 4 }} }} }}'
    pick = 'layer {{ name: "{1}" type: "Filter" bottom: "x" bottom: "{0}" top: "{1}" }}'
    parts = (flag.format("f"), flag.format("g"), pick.format("f", "s"), pick.format("g", "t"))
    return compiled(DATA, *parts, rest, backend=backend)


F, G = np.array([1, 0, 0, 1], np.float32), np.array([1, 1, 0, 1], np.float32)


@pytest.mark.parametrize("axis", [0, -2])
def test_rows_of_several_choices_are_joined(axis: int, backend: str) -> None:
    """Where a joint gradient is cut, only the run tells: not at the bounds, 4 and 8."""
    join = (f'layer {{ name: "j" type: "Concat" bottom: "s" bottom: "t" top: "j" '
            f"concat_param {{ axis: {axis} }} }}")  # fmt: skip
    net = chosen_twice(join + product("a", "j") + layer("Power", "a", "p", "power_param "
        "{ power: 2 }") + layer("Reduction", "p", "l", "loss_weight: 1"), backend)  # fmt: skip
    got = net.gradients({"x": FEEDS["x"], "f": F, "g": G})
    weight, bias = (np.asarray(array) for array in net.params["a"])
    each = 2 * (FEEDS["x"] @ weight.T + bias) @ weight
    np.testing.assert_allclose(got.blobs["x"], each * (F + G)[:, None], 1e-4, 1e-6)


@pytest.mark.parametrize(
    "shapes", [("dim: 1 dim: -1", "dim: -1 dim: 1"), ("dim: 1 dim: -1 dim: 2", "dim: 2 dim: -1")]
)
def test_rows_that_become_another_axis(shapes: tuple[str, str], backend: str) -> None:
    """What a reshape is turned back into are the sizes of the run, on whatever axis they lie."""
    rest = "".join(
        layer("Reshape", bottom, top, f"reshape_param {{ shape {{ {dims} }} }}")
        for bottom, top, dims in zip("sp", "pq", shapes, strict=True)
    )
    square = layer("Power", "q", "r", "power_param { power: 2 }")
    net = chosen_twice(rest + square + layer("Reduction", "r", "l", "loss_weight: 1"), backend)
    got = net.gradients({"x": FEEDS["x"], "f": F, "g": G})
    np.testing.assert_allclose(got.blobs["x"], 2 * FEEDS["x"] * F[:, None], 1e-5)


# What is refused


def fault(net: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(NetcError) as error:
        net.gradients(*args, **more)
    return str(error.value)


def test_no_gradient_is_told_at_the_layer() -> None:
    net = compiled(
        DATA, LABEL, product("a", "x"), layer("ArgMax", "a", "m"), product("b", "m"), loss("b")
    )
    text = fault(net, FEEDS)
    assert text.startswith("net.prototxt:4:15: error[no-gradient]: layer `m` (ArgMax)")
    assert "layer `a`" in text and "propagate_down: false" in text


def test_a_label_that_learns_is_told_at_the_loss() -> None:
    net = compiled(DATA, LABEL, product("a", "x"), product("t", "x", outputs=1),
                   loss("a", label="t"))  # fmt: skip
    text = fault(net, FEEDS)
    assert "net.prototxt:5:15: error[no-gradient]: layer `loss` (SoftmaxWithLoss)" in text
    assert "its bottom `t`" in text and "layer `t`" in text


def test_propagate_down_on_a_label_is_an_error() -> None:
    net = compiled(
        DATA, LABEL, product("a", "x"), loss("a", "propagate_down: true propagate_down: true")
    )
    assert "its bottom `l`" in fault(net, FEEDS)


def test_accuracy_beside_a_loss_is_no_matter() -> None:
    accuracy = 'layer { name: "acc" type: "Accuracy" bottom: "a" bottom: "l" top: "acc" }'
    net = compiled(DATA, LABEL, product("a", "x"), loss("a"), accuracy)
    assert net.gradients(FEEDS).blobs["x"].any()
    assert "error[no-gradient]: layer `acc` (Accuracy)" in fault(net, FEEDS, seeds={"acc": 1.0})


def test_a_label_asked_for_by_name_is_an_error() -> None:
    net = compiled(DATA, LABEL, product("a", "x"), loss("a"))
    assert "error[no-gradient]" in fault(net, FEEDS, wrt=("l",))


def test_arguments() -> None:
    net = compiled(DATA, LABEL, product("a", "x"), loss("a"))
    assert "unknown-blob" in fault(net, FEEDS, wrt=("y",))
    assert "unknown-blob" in fault(net, FEEDS, seeds={"y": 1.0})
    text = fault(net, FEEDS, seeds={"a": np.zeros((4, 2))})
    assert "input-shape" in text and "4x2" in text and "4x3" in text
    assert "missing-input" in fault(net, {"x": FEEDS["x"]})
    assert net.gradients(FEEDS, wrt=()).blobs == {}


def test_no_loss() -> None:
    net = compiled(DATA, product("a", "x"))
    text = fault(net, {"x": FEEDS["x"]})
    assert "error[no-loss]" in text and 'seeds={"a": array}' in text


# Python layers


CUBE = (
    'layer { name: "c" type: "Python" bottom: "x" top: "c" loss_weight: 1 '
    'python_param { module: "m" layer: "Cube" } }'
)


@pytest.fixture
def cube() -> Any:
    def register(gradient: Any) -> None:
        netc.register_python_layer(
            "m", "Cube", lambda xs, text: [xs[0] ** 3], lambda shapes, text: shapes,
            gradient=gradient,
        )  # fmt: skip

    yield register
    unregister_python_layer("m", "Cube")


def test_a_python_layers_own_gradient(cube: Any, backend: str) -> None:
    cube(lambda xs, tops, text: [3 * xs[0] ** 2 * tops[0]])
    got = compiled(DATA, CUBE, backend=backend).gradients({"x": FEEDS["x"]})
    np.testing.assert_allclose(got.blobs["x"], 3 * FEEDS["x"] ** 2, 1e-6)
    assert netc.check_gradient(Source("net.prototxt", DATA + CUBE)).ok


def test_a_wrong_gradient_of_a_python_layer_is_found(cube: Any) -> None:
    cube(lambda xs, tops, text: [2 * xs[0] * tops[0]])
    assert not netc.check_gradient(Source("net.prototxt", DATA + CUBE)).ok


def test_a_python_layer_without_a_gradient(cube: Any) -> None:
    cube(None)
    assert "error[no-gradient]: layer `c` (Python)" in fault(
        compiled(DATA, CUBE), {"x": FEEDS["x"]}
    )


def test_a_python_gradient_that_does_not_fit(cube: Any) -> None:
    cube(lambda xs, tops, text: [xs[0][:2]])
    text = fault(compiled(DATA, CUBE), {"x": FEEDS["x"]})
    assert "error[python-layer]: the gradient of layer `c` (Python): the gradient" in text
    assert "(2, 6)" in text and "(4, 6)" in text
    cube(lambda xs, tops, text: [None, None])
    assert "2 arrays for 1 bottoms" in fault(compiled(DATA, CUBE), {"x": FEEDS["x"]})


def test_what_a_layer_in_place_has_left_is_told() -> None:
    """Caffe's gradient of a Softmax reads its top, which the layer behind has rewritten."""
    behind = layer("TanH", "s", "s").replace('name: "s"', 'name: "t"')
    text = DATA + layer("Softmax", "x", "s") + behind
    found = netc.check_gradient(Source("net.prototxt", text))
    assert found.ok and not found.rows[0].ok and "in place" in found.rows[0].note
