"""Products in fewer bits: kernels give what the definitions say, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

import netc
from netc.backends import reference
from netc.backends.base import Options
from netc.backends.cpu import backend
from netc.backends.cpu import machine as machines
from netc.backends.cpu.backend import CpuBackend
from netc.backends.cpu.faster import BY_WINOGRAD
from netc.backends.cpu.instructions import has_products
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.precision import precision_report
from netc.backends.registry import backend_options
from netc.backends.variables import Variables
from netc.diagnostics import NetcError, NetcWarning, Source
from netc.ir.graph import Array, Graph, Node
from netc.ops.reduced import Bfloat16, Int8, Number
from netc.passes.base import Pass
from netc.passes.pipeline import ALL
from netc.passes.reduce import kept_reduced, reduction, with_reduction
from netc.weights.seeded import seeded_weights
from tests.machines import DESCRIBED, HERE, ONE_OF_EACH, described, runnable, runnable_with

# Most machines of the table have no instructions for fewer bits, and are told so.
pytestmark = pytest.mark.filterwarnings(r"ignore:warning\[emulated-precision")

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


# Where nothing depends on the instructions: every processor has these.
ANY = "plain 256K"


@pytest.fixture(autouse=True)
def _one_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets are compiled as for a machine of the table, whatever processor this is."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    use(runnable(name if name in HERE else ANY), monkeypatch)


def use(target: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nets be compiled and run as for this machine from here on."""
    for module in (backend, machines):
        monkeypatch.setattr(module, "machine", lambda *isa: target)


def prepared(graph: Graph, number: Number, threads: int = 1) -> backend.CpuExecutable:
    made = CpuBackend().prepare(graph, Options(passes_of(number), threads=threads))
    assert isinstance(made, backend.CpuExecutable)
    return made


def passes_of(number: Number) -> tuple[Pass, ...]:
    return with_reduction(ALL, reduction(number.name, lambda node: number))


# Machines that are planned for and need not be here.
PLANNED_FOR = ("avx512 2M", "avx2 256K", "neon 256K", ANY)


class Planned(NamedTuple):
    """A graph after passes, bytes of its arena, and why layers stay in float32."""

    graph: Graph
    arena: int
    float32: Mapping[str, str]


def planned(kind: str | Source, options: Options | Number, name: str) -> Planned:
    """What the CPU backend plans for a machine; no kernel is compiled."""
    graph = graph_of(kind if isinstance(kind, Source) else NETS[kind])
    chosen = options if isinstance(options, Options) else Options(passes_of(options))
    built = backend.build_program(graph, chosen, Variables(), described(name))
    context = built.plan.context
    report = precision_report(graph, context, built.program, built.applied)
    return Planned(context.graph, built.plan.arena.size, report.get("float32_layers", {}))


IN_INT8_ALONE = ("depthwise", "deconvolutions")
CASES = [(k, n) for k in NETS for n in NUMBERS if n != "bf16" or k not in IN_INT8_ALONE]


@pytest.mark.parametrize("kind, number", CASES)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_kernels_give_what_the_definitions_say(name: str, kind: str, number: str) -> None:
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
    own = runnable(name)
    for target in (own, replace(own, l1=2 * own.l1, l2=own.l2 // 4)):
        use(target, monkeypatch)
        found.append(prepared(graph, NUMBERS[number]).run(feeds))
    for output in graph.outputs:
        np.testing.assert_array_equal(found[0][output], found[1][output])


INSTRUCTIONS = ("avx512bf16", "avx512vnni", "avxvnni")


@pytest.mark.parametrize(
    ("name", "number", "feature"),
    [
        ("avx512 2M", "bf16", "avx512bf16"),
        ("avx512 2M", "int8 signed", "avx512vnni"),
        ("avx2 256K", "int8 signed", "avxvnni"),
    ],
)
def test_instructions_and_their_substitutes_agree(
    name: str, number: str, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same machine with and without its instructions for sums of small products."""
    others = [f for f in INSTRUCTIONS if f != feature]
    rich, poor = (
        runnable_with(name, feature, without=others),
        runnable_with(name, without=INSTRUCTIONS),
    )
    own = NUMBERS[number]
    assert has_products(rich, own.name) and not has_products(poor, own.name)
    graph = graph_of(NETS["residual"])
    feeds, found = feeds_of(graph), []
    for target in (rich, poor):
        use(target, monkeypatch)
        found.append(prepared(graph, own).run(feeds))
    for output in graph.outputs:
        np.testing.assert_array_equal(found[0][output], found[1][output])


@pytest.mark.parametrize("name", PLANNED_FOR)
def test_who_keeps_its_result_in_fewer_bits(name: str) -> None:
    assert set(kept_reduced(planned("residual", Bfloat16(), name).graph)) == {"r", "br", "t"}
    assert not kept_reduced(planned("odd channels", Bfloat16(), name).graph)


@pytest.mark.parametrize("name", PLANNED_FOR)
def test_what_passes_codes_on(name: str) -> None:
    """The largest of codes is the code of the largest; parts beside each other are kept so."""
    made = planned("inception", Int8(0.1, 0), name)
    assert set(kept_reduced(made.graph)) == {"s", "ar", "b", "p", "c", "q"}
    # Of bfloat16 windows are not pooled, and so nothing that one reads is kept.
    assert not kept_reduced(planned("inception", Bfloat16(), name).graph)


@pytest.mark.parametrize("name", PLANNED_FOR)
def test_depthwise_layers_and_deconvolutions_read_and_keep_codes(name: str) -> None:
    made = planned("depthwise", Int8(0.1, 0), name)
    assert set(kept_reduced(made.graph)) == {"ar", "br", "s", "dr", "er"}
    assert not made.float32
    made = planned("deconvolutions", Int8(0.1, 0), name)
    assert set(kept_reduced(made.graph)) == {"ar", "b", "cr", "dr", "e"}
    assert not made.float32
    # In bfloat16 there are neither.
    reasons = planned("deconvolutions", Bfloat16(), name).float32
    assert set(reasons) == {"a", "b", "d", "f", "g"}
    assert set(reasons.values()) == {"there are no deconvolutions in bf16"}


def test_a_part_in_float32_keeps_all_parts_in_float32() -> None:
    net = net_of(
        (1, 8, 9, 8),
        conv("x", "a", 8),
        layer("Pooling", "a", "p", "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }"),
        conv("x", "b", 8),
        layer("Concat", "b p", "c"),
        conv("c", "d", 8),
    )
    assert not kept_reduced(planned(net, Int8(0.1, 128), ANY).graph)


@pytest.mark.parametrize("name", PLANNED_FOR)
def test_kept_values_take_less_room(name: str) -> None:
    codes, halves, floats = (
        planned("kept", options, name).arena for options in (Int8(0.1, 0), Bfloat16(), Options(ALL))
    )
    assert codes < halves < floats


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


@pytest.mark.parametrize("name", DESCRIBED)
def test_machines_that_winograd_is_faster_on(name: str) -> None:
    """Whether they have the instructions or not, layers are chosen as if they had."""
    chosen = Options(ALL, own=backend_options("cpu", "bf16"))
    assert planned(MIXED, chosen, name).float32 == {"b": BY_WINOGRAD}


def test_what_winograd_does_faster_stays_in_float32() -> None:
    """The definition leaves the same layers in float32 as the kernels do."""
    weights = seeded_weights(netc.compile(MIXED, backend="reference").graph)
    x = np.random.default_rng(2).standard_normal((1, 64, 28, 28)).astype(np.float32)
    made = {}
    for name in ("cpu", "reference"):
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
    net = netc.compile(MIXED, precision="bf16", optimize="exact")
    assert net.report()["reduced_layers"] == ["a", "b", "c"]


def test_a_net_may_have_nothing_that_is_faster_in_fewer_bits() -> None:
    report = netc.compile(ALONE, precision="bf16").report()
    assert report["precision"] == "bf16" and not report["reduced_layers"]
    assert report["float32_layers"] == {"b": BY_WINOGRAD}


def test_a_machine_without_the_instructions_is_told() -> None:
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
    fast = netc.compile(net, weights, precision="bf16")(x=x)["d"]
    np.testing.assert_array_equal(slow, fast)


def test_names_that_people_have_for_it() -> None:
    with pytest.raises(NetcError, match="bfloat16 is `bf16`"):
        netc.compile(NETS["kept"], precision="bfloat16")
