"""Products in fewer bits: kernels give what the definitions say, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.cpu import backend
from netc.backends.cpu.backend import CpuBackend
from netc.backends.cpu.faster import BY_WINOGRAD
from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.machine import machine
from netc.diagnostics import NetcError, NetcWarning, Source
from netc.ir.graph import Array, Graph, Node
from netc.ops.reduced import Bfloat16, Int8, Number
from netc.passes.pipeline import ALL
from netc.passes.reduce import kept_reduced, reduction, with_reduction
from netc.weights.seeded import seeded_weights
from tests.machines import DESCRIBED, HERE, ONE_OF_EACH, described, runnable

CONV = "convolution_param {{ num_output: {} kernel_size: {} pad: {} stride: {} {} }}"
NUMBERS: Mapping[str, Number] = {
    "bf16": Bfloat16(),
    "int8 signed": Int8(0.0625, 128),
    "int8 unsigned": Int8(0.03125, 0),
}


def layer(kind: str, bottom: str, top: str, params: str = "") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return f'layer {{ name: "{top}" type: "{kind}" {bottoms} top: "{top}" {params} }}'


def conv(bottom: str, top: str, n: int, k: int = 1, p: int = 0, s: int = 1, more: str = "") -> str:
    return layer("Convolution", bottom, top, CONV.format(n, k, p, s, more))


def deconv(bottom: str, top: str, n: int, k: int, p: int, s: int, more: str = "") -> str:
    return layer("Deconvolution", bottom, top, CONV.format(n, k, p, s, more))


def net_of(shape: tuple[int, ...], *layers: str) -> Source:
    dims = " ".join(f"dim: {size}" for size in shape)
    first = f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}'
    return Source("net", "\n".join((first, *layers)))


IP = "inner_product_param { num_output: 21 }"
NETS = {
    "stem": net_of((2, 3, 23, 19), conv("x", "a", 24, 7, 3, 2), layer("ReLU", "a", "b")),
    "kept": net_of(
        (1, 8, 9, 10), conv("x", "a", 40), layer("ReLU", "a", "b"), conv("b", "c", 24, 3, 1)
    ),
    "groups": net_of(
        (1, 16, 9, 8),
        conv("x", "a", 24, 3, 1, 1, "group: 2"),
        conv("a", "b", 16, 3, 2, 1, "group: 2 dilation: 2"),
    ),
    "residual": net_of(
        (2, 12, 6, 7),
        conv("x", "a", 32),
        layer("ReLU", "a", "r"),
        conv("r", "b", 16, 3, 1),
        layer("ReLU", "b", "br"),
        conv("br", "c", 32),
        layer("Eltwise", "r c", "s"),
        layer("ReLU", "s", "t", "relu_param { negative_slope: 0.25 }"),
        conv("t", "d", 20),
    ),
    "odd channels": net_of((1, 5, 6, 7), conv("x", "a", 7, 3, 1), conv("a", "b", 9, 2)),
    "long sums": net_of((1, 256, 7, 7), conv("x", "a", 72, 3, 1)),
    "slices of a concatenation": net_of(
        (1, 8, 7, 6),
        conv("x", "a", 6),
        conv("x", "b", 10),
        layer("Concat", "a b", "c"),
        conv("c", "d", 8, 3),
        layer("PReLU", "d", "e"),
    ),
    "pooling": net_of(
        (2, 3, 17, 19),
        conv("x", "a", 36, 3, 1),
        layer("ReLU", "a", "r"),
        layer("Pooling", "r", "p", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
        conv("p", "b", 12, 3, 1),
    ),
    "inception": net_of(
        (1, 8, 9, 8),
        conv("x", "i", 16),
        layer("ReLU", "i", "s"),
        conv("s", "a", 8),
        layer("ReLU", "a", "ar"),
        conv("s", "b", 20, 3, 1),
        layer("Pooling", "s", "p", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }"),
        layer("Concat", "ar b p", "c"),
        conv("c", "d", 8, 3),
        layer("Pooling", "c", "q", "pooling_param { kernel_size: 2 stride: 2 }"),
        conv("q", "e", 12),
    ),
    "depthwise": net_of(
        (2, 5, 12, 13),
        conv("x", "a", 40),
        layer("ReLU", "a", "ar"),
        conv("ar", "b", 40, 3, 1, 1, "group: 40"),
        layer("ReLU", "b", "br"),
        conv("br", "c", 40),
        layer("Eltwise", "ar c", "s"),
        conv("s", "d", 40, 3, 1, 2, "group: 40 bias_term: false"),
        layer("ReLU", "d", "dr"),
        conv("dr", "e", 40, 5, 4, 1, "group: 40 dilation: 2"),
        layer("ReLU6", "e", "er"),
        conv("er", "f", 6),
        conv("f", "g", 6, 3, 0, 1, "group: 6"),
        layer("PReLU", "g", "h"),
    ),
    "deconvolutions": net_of(
        (2, 8, 5, 6),
        deconv("x", "a", 12, 4, 1, 2),
        layer("ReLU", "a", "ar"),
        deconv("ar", "b", 24, 3, 1, 2, "dilation: 2 group: 3"),
        conv("b", "c", 24),
        layer("ReLU", "c", "cr"),
        deconv("cr", "d", 24, 4, 1, 2, "group: 24"),
        layer("ReLU", "d", "dr"),
        conv("dr", "e", 8),
        deconv("e", "f", 5, 2, 0, 3),
        deconv("f", "g", 8, 3, 1, 1),
    ),
    "inner products": net_of(
        (3, 10, 5, 4),
        layer("InnerProduct", "x", "a", IP),
        layer("ReLU", "a", "b"),
        layer("InnerProduct", "b", "c", IP),
    ),
}


def graph_of(net: Source) -> Graph:
    """A net's graph with weights."""
    graph = netc.compile(net, backend="reference").graph
    weights = seeded_weights(graph)
    return netc.compile(net, weights, backend="reference").graph


def feeds_of(graph: Graph) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    return {n: rng.standard_normal(graph.shape(n)).astype(np.float32) for n in graph.inputs}


def prepared(graph: Graph, number: Number, threads: int = 1) -> backend.CpuExecutable:
    passes = with_reduction(ALL, reduction(number.name, lambda node: number))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        made = CpuBackend().prepare(graph, Options(passes, threads=threads))
    assert isinstance(made, backend.CpuExecutable)
    return made


IN_INT8_ALONE = ("depthwise", "deconvolutions")
CASES = [(k, n) for k in NETS for n in NUMBERS if n != "bf16" or k not in IN_INT8_ALONE]


@pytest.mark.parametrize("kind, number", CASES)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_kernels_give_what_the_definitions_say(
    name: str, kind: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "machine", lambda: runnable(name))
    graph = graph_of(NETS[kind])
    feeds = feeds_of(graph)
    for threads in (1, 2):
        made = prepared(graph, NUMBERS[number], threads)
        (optimized,) = made.graphs()
        want, found = reference.run(optimized, feeds), made.run(feeds)
        for output in graph.outputs:
            np.testing.assert_array_equal(found[output], want[output], output)


@pytest.mark.parametrize("kind", ["long sums"])
@pytest.mark.parametrize("number", ["bf16", "int8 signed"])
@pytest.mark.parametrize("name", HERE)
def test_caches_change_nothing(
    name: str, kind: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(NETS[kind])
    feeds, found = feeds_of(graph), []
    for target in (runnable(name), machine()):
        monkeypatch.setattr(backend, "machine", lambda target=target: target)
        found.append(prepared(graph, NUMBERS[number]).run(feeds))
    for output in graph.outputs:
        np.testing.assert_array_equal(found[0][output], found[1][output])


@pytest.mark.parametrize("number", ["bf16", "int8 signed"])
def test_instructions_and_their_substitutes_agree(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same machine without its instructions for sums of small products."""
    own = NUMBERS[number]
    if not has_products(machine(), own.name):
        pytest.skip(f"this processor has no instructions for {own.name}")
    graph = graph_of(NETS["residual"])
    feeds = feeds_of(graph)
    fast = prepared(graph, own).run(feeds)
    off = machine().features.replace("+avx512vnni", "-avx512vnni")
    poorer = replace(machine(), features=off.replace("+avx512bf16", "-avx512bf16"))
    monkeypatch.setattr(backend, "machine", lambda: poorer)
    slow = prepared(graph, own).run(feeds)
    for output in graph.outputs:
        np.testing.assert_array_equal(slow[output], fast[output])


def test_who_keeps_its_result_in_fewer_bits() -> None:
    graph = graph_of(NETS["residual"])
    (optimized,) = prepared(graph, Bfloat16()).graphs()
    assert set(kept_reduced(optimized)) == {"r", "br", "t"}
    graph = graph_of(NETS["odd channels"])
    (optimized,) = prepared(graph, Bfloat16()).graphs()
    assert not kept_reduced(optimized)


def test_what_passes_codes_on() -> None:
    """The largest of codes is the code of the largest; parts beside each other are kept so."""
    graph = graph_of(NETS["inception"])
    (optimized,) = prepared(graph, Int8(0.1, 0)).graphs()
    assert set(kept_reduced(optimized)) == {"s", "ar", "b", "p", "c", "q"}
    # Of bfloat16 windows are not pooled, and so nothing that one reads is kept.
    (optimized,) = prepared(graph, Bfloat16()).graphs()
    assert not kept_reduced(optimized)


def test_depthwise_layers_and_deconvolutions_read_and_keep_codes() -> None:
    graph = graph_of(NETS["depthwise"])
    made = prepared(graph, Int8(0.1, 0))
    (optimized,) = made.graphs()
    assert set(kept_reduced(optimized)) == {"ar", "br", "s", "dr", "er"}
    assert not made.report()["float32_layers"]
    graph = graph_of(NETS["deconvolutions"])
    made = prepared(graph, Int8(0.1, 0))
    (optimized,) = made.graphs()
    assert set(kept_reduced(optimized)) == {"ar", "b", "cr", "dr", "e"}
    assert not made.report()["float32_layers"]
    # In bfloat16 there are neither.
    told = prepared(graph, Bfloat16()).report()["float32_layers"]
    assert set(told) == {"a", "b", "d", "f", "g"}
    assert set(told.values()) == {"there are no deconvolutions in bf16"}


def test_a_part_in_float32_keeps_all_parts_in_float32() -> None:
    net = net_of(
        (1, 8, 9, 8),
        conv("x", "a", 8),
        layer("Pooling", "a", "p", "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }"),
        conv("x", "b", 8),
        layer("Concat", "b p", "c"),
        conv("c", "d", 8),
    )
    (optimized,) = prepared(graph_of(net), Int8(0.1, 128)).graphs()
    assert not kept_reduced(optimized)


def test_kept_values_take_less_room() -> None:
    graph = graph_of(NETS["kept"])
    arena = [
        prepared(graph, number).report()["arena_bytes"] for number in (Int8(0.1, 0), Bfloat16())
    ]
    assert arena[0] < arena[1] < CpuBackend().prepare(graph, Options(ALL)).report()["arena_bytes"]


def test_some_layers_may_stay_in_float32() -> None:
    """Neither kind reads what the other keeps."""
    graph = graph_of(NETS["residual"])

    def choose(node: Node) -> Number | None:
        return Bfloat16() if node.name in ("a", "d") else None

    passes = with_reduction(ALL, reduction("bf16", choose))
    made = CpuBackend().prepare(graph, Options(passes))
    report = made.report()
    assert report["reduced_layers"] == ["a", "d"] and [*report["float32_layers"]] == ["b", "c"]
    (optimized,) = made.graphs()
    feeds = feeds_of(graph)
    want = reference.run(optimized, feeds)["d"]
    np.testing.assert_allclose(made.run(feeds)["d"], want, atol=1e-2 * np.abs(want).max())


# What people ask for


def test_bf16_is_asked_for_by_its_name() -> None:
    net = NETS["kept"]
    weights = seeded_weights(netc.compile(net, backend="reference").graph)
    x = np.random.default_rng(1).standard_normal((1, 8, 9, 10)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        reduced = netc.compile(net, weights, precision="bf16")
    plain = netc.compile(net, weights)
    want, found = plain(x=x)["c"], reduced(x=x)["c"]
    assert 0 < np.abs(found - want).max() < 0.02 * np.abs(want).max()
    report = reduced.report()
    assert report["precision"] == "bf16" and report["reduced_layers"] == ["a", "c"]
    assert report["weights_bytes"] < plain.report()["weights_bytes"]


MIXED = net_of(
    (1, 64, 28, 28),
    conv("x", "a", 64),
    layer("ReLU", "a", "r"),
    conv("r", "b", 64, 3, 1),
    layer("ReLU", "b", "s"),
    conv("s", "c", 32),
)


ALONE = net_of((1, 64, 28, 28), conv("x", "b", 64, 3, 1))


def test_what_winograd_does_faster_stays_in_float32() -> None:
    """The definition leaves the same layers in float32 as the kernels do."""
    weights = seeded_weights(netc.compile(MIXED, backend="reference").graph)
    x = np.random.default_rng(2).standard_normal((1, 64, 28, 28)).astype(np.float32)
    made = {}
    for name in ("cpu", "reference"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NetcWarning)
            made[name] = netc.compile(MIXED, weights, backend=name, precision="bf16")
        report = made[name].report()
        assert report["precision"] == "bf16" and report["reduced_layers"] == ["a", "c"]
        assert report["float32_layers"] == {"b": BY_WINOGRAD}
    slow, fast = (net(x=x)["c"] for net in made.values())
    np.testing.assert_allclose(fast, slow, atol=1e-2 * np.abs(slow).max())


def test_a_layer_left_in_float32_is_that_of_float32() -> None:
    x = np.random.default_rng(3).standard_normal((1, 64, 28, 28)).astype(np.float32)
    weights = seeded_weights(netc.compile(ALONE, backend="reference").graph)
    found = [
        netc.compile(ALONE, weights, precision=precision, threads=threads)(x=x)["b"]
        for precision, threads in (("float32", 1), ("bf16", 1), ("bf16", 2))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_where_sums_must_keep_their_order_no_layer_is_faster_in_float32() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        net = netc.compile(MIXED, precision="bf16", optimize="exact")
    assert net.report()["reduced_layers"] == ["a", "b", "c"]


def test_a_net_may_have_nothing_that_is_faster_in_fewer_bits() -> None:
    report = netc.compile(ALONE, precision="bf16").report()
    assert report["precision"] == "bf16" and not report["reduced_layers"]
    assert report["float32_layers"] == {"b": BY_WINOGRAD}


def test_a_machine_without_the_instructions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    target = runnable(next(name for name in HERE if DESCRIBED[name].isa == "plain"))
    monkeypatch.setattr(backend, "machine", lambda: target)
    with pytest.warns(NetcWarning, match=r"emulated-precision.*no instructions for bf16.*slower"):
        net = netc.compile(NETS["kept"], precision="bf16")
    assert net.report()["instructions"] is False


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_described_machine_has_the_instructions_that_its_features_say(name: str) -> None:
    plain = described(name)
    assert not has_products(plain, "bf16") and not has_products(plain, "int8")
    rich = replace(plain, features="+avx512bf16,+avx512vnni,-amx-bf16")
    wide = plain.width in (8, 16)
    assert has_products(rich, "bf16") is wide and has_products(rich, "int8") is wide
    narrow = replace(plain, features="+avxvnni,-avx512vnni")
    assert has_products(narrow, "int8") is (plain.width == 8)
    assert not has_products(replace(plain, features="-avx512vnni,-avxvnni"), "int8")


def test_who_cannot_compute_so_says_what_it_can() -> None:
    said = r"backend `cpu` computes in float32, fp16, bf16 or int8, and precision `tf32` .*`cuda`"
    with pytest.raises(NetcError, match=f"(?s){said}"):
        netc.compile(NETS["kept"], precision="tf32")


def test_the_definition_runs_as_a_backend() -> None:
    net = NETS["residual"]
    weights = seeded_weights(netc.compile(net, backend="reference").graph)
    x = np.random.default_rng(1).standard_normal((2, 12, 6, 7)).astype(np.float32)
    slow = netc.compile(net, weights, backend="reference", precision="bf16")(x=x)["d"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        fast = netc.compile(net, weights, precision="bf16")(x=x)["d"]
    np.testing.assert_array_equal(slow, fast)


def test_names_that_people_have_for_it() -> None:
    with pytest.raises(NetcError, match="bfloat16 is `bf16`"):
        netc.compile(NETS["kept"], precision="bfloat16")
