"""Training on several ranks, as threads of one process: what N ranks do, one does in N passes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.backends.base import Options
from netc.backends.cpu.backend import CpuBackend
from netc.backends.cpu.packing import _JointPacking
from netc.backends.shared.derived import Derived
from netc.backends.shared.joint import JointMemory
from netc.compiled import CompiledNet
from netc.diagnostics import NetcError
from netc.ir.graph import Array, Node
from netc.ir.text import parse_graph
from netc.ops.catalog import CATALOG
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import NAME as GRADIENT_UPDATE
from netc.ops.gradient_update import GradientUpdateParams
from netc.ops.linear import InnerProductParams
from netc.ops.params_from_text import load_params
from netc.ops.ranks import START, Slot, enter, slice_of
from netc.ops.update import UPDATE, UpdateParams
from netc.ops.update_rules import UpdateRule
from netc.passes import fuse_updates
from netc.ranks.local import LocalRanks, local_ranks
from netc.ranks.segment import Segment
from netc.ranks.shared import SharedSums
from netc.solver import events
from netc.solver.solver import Solver
from netc.train.distribute import (
    Distribution,
    buckets,
    mean_name,
    owners,
    slots,
    started,
    with_starts,
)
from netc.train.step import Updating, step_graphs

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" top: "label"
        input_param { shape { dim: 6 dim: 2 dim: 6 dim: 6 } shape { dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
%s
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }'
BASE = (
    'base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 3 '
    "max_iter: 6 snapshot_after_train: false display: 1 "
)


def images(count: int = 12) -> list[dict[str, Array]]:
    random = np.random.default_rng(0)
    return [
        {
            "data": random.standard_normal((6, 2, 6, 6), np.float32),
            "label": random.integers(0, 3, 6).astype(np.float32),
        }
        for _ in range(count)
    ]


def joined(each: Sequence[dict[str, Array]], count: int) -> list[dict[str, Array]]:
    """Batches of ``count`` batches each."""
    groups = [each[i : i + count] for i in range(0, len(each), count)]
    return [{k: np.concatenate([b[k] for b in group]) for k in group[0]} for group in groups]


def source(text: str = "", more: str = "") -> netc.Source:
    return netc.Source("solver.prototxt", f"net_param {{ {NET % more} }}\n{BASE}{text}")


def on_ranks(count: int, run: Callable[[LocalRanks], Any]) -> list[Any]:
    """What each rank's thread gives; the first error of any is raised."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def one(ranks: LocalRanks) -> None:
        try:
            results[ranks.rank] = run(ranks)
        except BaseException as error:
            errors.append(error)
            ranks.abort()
        finally:
            ranks.close()

    threads = [threading.Thread(target=one, args=(ranks,)) for ranks in local_ranks(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if isinstance(e, NetcError)), errors[0])
    return results


def parameters(solver: Solver) -> list[Array]:
    arrays = [a.copy() for blobs in solver.params.values() for a in blobs]
    return [*arrays, *(a.copy() for a in solver.history)]


def train(ranks: Any = None, text: str = "", more: str = "", **given: Any) -> tuple[Any, Any]:
    given = {"feeds": images(), "backend": "cpu", "threads": 1, **given}
    solver = Solver(source(text, more), ranks=ranks, **given)
    losses = solver.step(6)
    return losses, parameters(solver)


def assert_same(got: tuple[Any, Any], want: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(got[0], want[0])
    for one, other in zip(got[1], want[1], strict=True):
        np.testing.assert_array_equal(one, other)


def assert_near(got: tuple[Any, Any], want: tuple[Any, Any]) -> None:
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    for one, other in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.fixture(params=("shared memory", "messages"))
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How ranks exchange gradients."""
    way = str(request.param)
    if way == "messages":
        by_messages(monkeypatch)
    return way


def by_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalRanks, "shared_memory", lambda ranks, elements, reserved=False: None)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", (2, 3))
def test_ranks_are_one_rank_with_a_batch_as_large_as_all_of_theirs(
    count: int, backend: str
) -> None:
    text = NET.replace("dim: 6 dim: 2", f"dim: {6 * count} dim: 2")
    text = text.replace("shape { dim: 6 } }", f"shape {{ dim: {6 * count} }} }}")
    one = Solver(
        netc.Source("s", f"net_param {{ {text % ''} }}\n{BASE}"),
        feeds=joined(images(), count),
        backend=backend,
    )
    want = one.step(6), parameters(one)
    found = on_ranks(count, lambda ranks: train(ranks, backend=backend))
    for got in found:
        assert_same(got, found[0])
    assert_near(found[0], want)


@pytest.mark.parametrize("text", ("", "clip_gradients: 0.1", 'type: "Adam"', "iter_size: 2"))
def test_ranks_are_passes_of_an_iteration(text: str) -> None:
    """Two ranks' means are sums over two passes, halved: bit for bit where halving is exact."""
    if text == "iter_size: 2":
        want = train(text="iter_size: 4")
    elif text.startswith("clip"):  # one rank clips the sum of its passes, ranks clip their mean
        want = train(text="iter_size: 2 clip_gradients: 0.2")
    else:
        want = train(text=f"iter_size: 2 {text}")
    got, other = on_ranks(2, lambda ranks: train(ranks, text))
    assert_same(got, other)
    assert_near(got, want)


def test_random_layers_draw_what_the_passes_of_one_rank_draw() -> None:
    want = train(text="iter_size: 2", more=DROPOUT)
    got, _ = on_ranks(2, lambda ranks: train(ranks, more=DROPOUT))
    assert_near(got, want)


def test_runs_are_equal_bit_for_bit() -> None:
    first = on_ranks(3, train)
    assert_same(first[0], on_ranks(3, train)[0])


def test_small_buckets_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    by_messages(monkeypatch)
    want = on_ranks(2, train)[0]
    from netc.solver import distributed

    real = distributed.Distribution
    monkeypatch.setattr(distributed, "Distribution", lambda name: real(name, 8))
    assert_same(on_ranks(2, train)[0], want)


def test_a_batch_of_all_ranks_is_divided() -> None:
    whole = train(feeds=images(6))

    def part(ranks: LocalRanks) -> tuple[Any, Any]:
        return train(ranks, feeds=images(6), batch="total")

    assert_near(on_ranks(3, part)[0], whole)


def test_a_batch_that_cannot_be_divided_is_told() -> None:
    with pytest.raises(NetcError, match=r"`data` is \(6, 2, 6, 6\), and cannot be divided among 4"):
        on_ranks(4, lambda ranks: train(ranks, batch="total"))


@pytest.mark.usefixtures("way")
def test_rank_0_alone_writes_and_a_snapshot_goes_on_as_if_there_had_been_none(
    tmp_path: Path,
) -> None:
    text = f'snapshot_prefix: "{tmp_path}/run" '

    def halfway(ranks: LocalRanks) -> str:
        solver = Solver(source(text), feeds=images(), ranks=ranks, threads=1)
        solver.step(3)
        return str(solver.snapshot().state)

    def rest(ranks: LocalRanks) -> Any:
        solver = Solver(source(text), None, state, feeds=images(), ranks=ranks, threads=1)
        return solver.step(3), parameters(solver)

    whole = on_ranks(2, lambda ranks: train(ranks, text))[0]
    state = on_ranks(2, halfway)[0]
    got = on_ranks(2, rest)[0]
    np.testing.assert_array_equal(got[0], whole[0][3:])
    assert_same((0, got[1]), (0, whole[1]))


@pytest.mark.usefixtures("way")
def test_rank_0_alone_tests_and_a_stop_is_for_all() -> None:
    def run(ranks: LocalRanks) -> tuple[int, int]:
        def tested(event: events.Tested) -> None:
            if event.iteration == 4:
                solver.stop()

        text = "test_iter: 1 test_interval: 2 "
        solver = Solver(
            source(text), feeds=images(), test_feeds=[images()], ranks=ranks, on_test=tested
        )
        solver.solve()
        return solver.iteration, len(solver.tests)

    assert on_ranks(2, run) == [(4, 3), (4, 0)]


@pytest.mark.usefixtures("way")
def test_an_error_of_one_rank_ends_the_others() -> None:
    def run(ranks: LocalRanks) -> None:
        bad = [{**b, "label": b["label"] + 9 * ranks.rank} for b in images()]
        Solver(source(), feeds=bad, ranks=ranks, threads=1).step(6)

    with pytest.raises(NetcError):
        on_ranks(2, run)


def test_generators_are_each_ranks_own() -> None:
    def run(ranks: LocalRanks) -> Any:
        return train(ranks, feeds=iter(images()[ranks.rank :: 2]))

    assert_same(on_ranks(2, run)[0], on_ranks(2, train)[0])


def test_a_group_of_one_is_no_group() -> None:
    (got,) = on_ranks(1, train)
    assert_same(got, train())


# Shared memory: one copy of parameters and history, and a slice of the update for each rank

SIAMESE = """
layer { name: "conv_p" type: "Convolution" bottom: "data" top: "conv_p" param { name: "w" }
        param { name: "b" } convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "conv_q" type: "Convolution" bottom: "data" top: "conv_q" param { name: "w" }
        param { name: "b" } convolution_param { num_output: 4 kernel_size: 3
        weight_filler { type: "xavier" } } }
layer { name: "both" type: "Eltwise" bottom: "conv_p" bottom: "conv_q" top: "both" }
layer { name: "more" type: "Convolution" bottom: "both" top: "more"
        convolution_param { num_output: 9 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "slope" type: "PReLU" bottom: "more" top: "more" }
layer { name: "norm" type: "BatchNorm" bottom: "more" top: "more" }
layer { name: "scores" type: "InnerProduct" bottom: "more" top: "scores"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "second" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "second" }
"""
"""Weights that two layers share, whose gradient is a sum; slopes; statistics of each rank's own."""

RULES = (
    "",
    'type: "Nesterov" regularization_type: "L1"',
    'type: "Adam" momentum2: 0.99',
    'type: "AdaDelta" delta: 1e-6',
    'type: "AdamW" momentum2: 0.99',
    "iter_size: 2",
    "clip_gradients: 0.1",
    'iter_size: 3 clip_gradients: 0.1 type: "Adam"',
    'type: "LARS"',
    "local_lr_auto: true local_gw_ratio: 0.01 iter_size: 2",
    'larc: true larc_policy: "clip" larc_eta: 0.01 clip_gradients: 0.1',
)
PLATEAU = {"lr_policy": "plateau", "plateau_winsize": "1"}  # a rate that follows the loss


@pytest.mark.parametrize("count", (2, 3))
@pytest.mark.parametrize("text", RULES)
def test_shared_memory_gives_the_bits_of_messages(
    text: str, count: int, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(ranks: LocalRanks) -> tuple[Any, Any]:
        solver = Solver(
            source(text, SIAMESE), ranks=ranks, feeds=images(18), backend=backend, threads=1
        )
        losses = solver.step(4)
        ranks.meet()  # parameters are one array for all: nobody is to close before all have copied
        return losses, parameters(solver)

    shared = on_ranks(count, run)
    by_messages(monkeypatch)
    messages = on_ranks(count, run)
    assert_same(shared[0], messages[0])
    # Statistics are each rank's own, all that is learned is the same everywhere.
    assert_same((0, shared[0][1][:2]), (0, shared[1][1][:2]))


def test_rates_that_follow_the_loss_are_the_same_in_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(ranks: LocalRanks) -> tuple[Any, Any]:
        found = train(ranks, fields=PLATEAU)
        ranks.meet()
        return found

    shared = on_ranks(2, run)
    by_messages(monkeypatch)
    assert_same(shared[0], on_ranks(2, run)[0])


@pytest.mark.parametrize("text", RULES)
def test_ranks_that_share_memory_hold_one_copy(text: str) -> None:
    def run(ranks: LocalRanks) -> list[int]:
        solver = Solver(source(text), ranks=ranks, feeds=images(), threads=1)
        solver.step(1)
        ranks.meet()
        arrays = [a for blobs in solver.params.values() for a in blobs]
        return [a.ctypes.data for a in (*arrays, *solver.history)]

    first, second = on_ranks(2, run)
    assert first == second


@pytest.mark.parametrize("text", RULES)
def test_slices_are_updated_by_kernels(text: str) -> None:
    def run(ranks: LocalRanks) -> list[str]:
        solver = Solver(source(text), ranks=ranks, feeds=images(), threads=1)
        programs = solver.report()["programs"]
        return list(programs.get("update", programs["first"])["reference_steps"])

    for steps in on_ranks(2, run):
        assert steps
        assert not [step for step in steps if "update" in step or "clip" in step]


def test_parameters_with_rates_of_their_own_are_each_a_ranks_whole() -> None:
    sizes = {"a": 100, "b": 70, "c": 50, "d": 10}
    assert owners(sizes, 2) == (("a", 0), ("b", 1), ("c", 1), ("d", 0))
    over = Distribution("g", rank=1, ranks=2, owners=owners(sizes, 2))
    assert over.part("b", (7, 10)) == (0, 70)
    assert over.part("a", (10, 10)) == (0, 0)
    assert Distribution("g", rank=1, ranks=2).part("a", (10, 10)) == slice_of(100, 1, 2)


def test_slices_cover_an_array_once_and_begin_at_cache_lines() -> None:
    for elements in (0, 1, 10, 16, 17, 100, 1000):
        for ranks in (1, 2, 3, 7):
            found = [slice_of(elements, rank, ranks) for rank in range(ranks)]
            assert [i for begin, end in found for i in range(begin, end)] == list(range(elements))
            assert all(begin % 16 == 0 or begin == elements for begin, _ in found)


def test_an_update_of_a_slice_leaves_the_rest() -> None:
    gradient, data, history = (np.full((4, 3), v, np.float32) for v in (1, 2, 3))
    rate = np.float32(0.5)
    whole = UpdateParams(UpdateRule("SGD", momentum=0.9))
    part = replace(whole, part=(3, 8))
    inputs = [gradient, data, history, rate, np.float32(0)]
    define = CATALOG[UPDATE].reference
    results = zip((data, history), define(whole, inputs, []), define(part, inputs, []), strict=True)
    for old, all_new, new in results:
        want = old.copy().reshape(-1)
        want[3:8] = all_new.reshape(-1)[3:8]
        np.testing.assert_array_equal(new.reshape(-1), want)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create (Linux)")
def test_a_segment_is_found_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    made = Segment.made(64)
    assert made is not None
    found = Segment.found(made.place, 64)
    assert found is not None
    made.array()[3] = 5
    assert found.array()[3] == 5
    with (tmp_path / "another").open("wb") as file:
        elsewhere = made.place._replace(descriptor=file.fileno())
        assert Segment.found(elsewhere, 64) is None
    assert Segment.found(made.place._replace(process=1 << 30), 64) is None
    made.close()


# Where sums are in the graph, and in memory


def test_sums_start_behind_their_gradients_and_end_behind_all_others() -> None:
    shapes = {"dw1": (2, 3), "db1": (2,), "dw2": (4, 4), "big": (1 << 11, 1 << 10)}
    gradients = {"w1": "dw1", "b1": "db1", "w2": "dw2", "w3": "big"}
    nodes = [Node(v, "Gradient", None, (), (v,)) for v in ("dw2", "big", "other", "dw1", "db1")]
    found = buckets(gradients, shapes, nodes, 64)
    assert found == [["w2"], ["w3"], ["w1", "b1"]]
    placed = list(slots([[gradients[n] for n in group] for group in found], shapes))
    assert [slot.offset for _, slot in placed] == [0, 16, 16 + (1 << 21), 32 + (1 << 21)]
    starts = [started(gradient, slot, Distribution("g")) for gradient, slot in placed]
    names = [node.name for node in with_starts(nodes, starts)]
    assert names == [
        "dw2", "dw2~under_way", "big", "big~under_way", "other", "dw1", "dw1~under_way", "db1",
        "db1~under_way",
    ]  # fmt: skip


PART = """
layer { name: "free" type: "Parameter" top: "free"
        parameter_param { shape { dim: 6 dim: 2 dim: 4 dim: 4 } } }
layer { name: "joined" type: "Concat" bottom: "conv" bottom: "free" top: "joined" }
layer { name: "mixed" type: "Convolution" bottom: "joined" top: "mixed"
        convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "all" type: "InnerProduct" bottom: "mixed" top: "all"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "second" type: "SoftmaxWithLoss" bottom: "all" bottom: "label" top: "second" }
"""
"""A parameter whose gradient is a part of that of a concatenation."""

SHARED = """
layer { name: "first" type: "Convolution" bottom: "data" top: "first" param { name: "w" }
        convolution_param { num_output: 2 kernel_size: 3 bias_term: false
        weight_filler { type: "xavier" } } }
layer { name: "deep" type: "Convolution" bottom: "first" top: "deep" param { name: "w" }
        convolution_param { num_output: 2 kernel_size: 3 bias_term: false } }
layer { name: "free" type: "Parameter" top: "free" param { name: "w" }
        parameter_param { shape { dim: 2 dim: 2 dim: 3 dim: 3 } } }
layer { name: "size" type: "Reduction" bottom: "free" top: "size" loss_weight: 0.1
        reduction_param { operation: SUMSQ } }
layer { name: "alone" type: "InnerProduct" bottom: "deep" top: "alone"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "second" type: "SoftmaxWithLoss" bottom: "alone" bottom: "label" top: "second" }
"""
"""Weights of two convolutions and of a layer whose gradient runs by its definition."""


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("more", (PART, SHARED), ids=("part", "shared"))
@pytest.mark.parametrize("text", ("", 'type: "Adam"', "clip_gradients: 0.1"))
def test_gradients_that_lie_in_others_or_are_sums(text: str, more: str) -> None:
    alone = text.replace("0.1", "0.2")  # clips the sum of its passes, ranks clip their mean
    want = train(text=f"iter_size: 2 {alone}", more=more)
    got, other = on_ranks(2, lambda ranks: _kept(ranks, text, more))
    assert_same(got, other)
    assert_near(got, want)


def _kept(ranks: LocalRanks, text: str, more: str) -> tuple[Any, Any]:
    found = train(ranks, text, more)
    ranks.meet()  # parameters may be one array for all
    return found


class _Doubling:
    """A group whose mean is twice what it was given."""

    def __init__(self) -> None:
        self.areas, self.whole = np.zeros((2, 100), np.float32), False

    def wait(self) -> None:
        raise AssertionError("sums are finished")

    def start(self, at: Slot, gradient: Array) -> None:
        self.gradient = gradient

    def finish(self, at: Slot) -> Array:
        self.gradient *= 2
        return self.gradient

    def start_rows(self, offset: int, arrays: Sequence[Array]) -> None:
        raise AssertionError("only sums are taken")

    def finish_rows(self, offset: int, arrays: Sequence[Array]) -> list[Array]:
        raise AssertionError("only sums are taken")


@pytest.mark.parametrize("ranks", (1, 2))
def test_the_mean_of_a_part_of_a_value(ranks: int, backend: str) -> None:
    """The gradient lies between others' channels, what is under way lies by itself."""
    params = f'{{"": "SumParams", "group": "twice", "bucket": 0, "place": 0, "members": 1, "ranks": {ranks}}}'  # noqa: E501
    graph = parse_graph(
        f"""graph "" TRAIN
input x = 2x4x3x3
a: 2x1x3x3, b: 2x3x3x3 = Slice[slice]({{"": "SliceParams", "points": [1], "tops": 2}}; x; )
s: 2x3x3x3 = StartSum[start]({params}; b; )
m: 2x3x3x3 = FinishSum[finish]({params}; s; )
output a
output b
output m
""",
        load_params,
    )
    group = _Doubling()
    enter("twice", group)
    x = images()[0]["data"].reshape(-1)[:72].reshape(2, 4, 3, 3)
    made = CompiledNet(graph, backend, Options())({"x": x})
    np.testing.assert_array_equal(made["b"], x[:, 1:])
    np.testing.assert_array_equal(made["m"], 2 * x[:, 1:])


def test_a_gradient_travels_from_where_it_lies() -> None:
    text = NET % ""
    graph = netc.compile(text=text, backend="reference", phase="TRAIN").graph
    how = Updating(UpdateRule("SGD"), distribution=Distribution("nobody", 8))
    made = step_graphs(graph, how)
    plan = CpuBackend().prepare(made.first, Options()).plan  # type: ignore[attr-defined]
    gradient = next(n for n in made.first.nodes if n.op == START and "ip/0" in n.inputs[0])
    values = (*gradient.inputs, *gradient.outputs, mean_name(gradient.inputs[0]))
    places = {plan.buffers[plan.context.view(value).place.name].offset for value in values}
    assert len(places) == 1


@pytest.mark.parametrize("text", RULES)
def test_ranks_that_share_memory_write_gradients_there_and_copy_none(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every layer: bias and weights, whether Caffe's order is the arena's or not."""
    copied: list[int] = []
    steps: list[str] = []
    start = SharedSums.start

    def watched(sums: SharedSums, at: Slot, gradient: Array) -> None:
        inside = np.shares_memory(sums.gradients, gradient)
        copied.extend([] if inside else [at.bucket])
        start(sums, at, gradient)

    def run(ranks: LocalRanks) -> None:
        solver = Solver(source(text), ranks=ranks, feeds=images(), threads=1)
        solver.step(2)
        ranks.meet()
        programs = solver.report()["programs"].values()
        steps.extend(step for made in programs for step in made["reference_steps"])

    monkeypatch.setattr(SharedSums, "start", watched)
    on_ranks(2, run)
    assert copied == []
    handed = [step for step in steps if step.endswith("under_way")]
    assert bool(handed) == ("clip" in text)  # whole means are taken of what is handed over


@pytest.mark.parametrize("text", ("", 'type: "Adam"', "iter_size: 2"))
def test_one_step_waits_for_the_other_ranks_and_updates_take_means(text: str) -> None:
    def run(ranks: LocalRanks) -> list[str]:
        solver = Solver(source(text), ranks=ranks, feeds=images(), threads=1)
        solver.step(1)
        ranks.meet()
        programs = solver.report()["programs"].values()
        return [step for made in programs for step in made["reference_steps"]]

    for steps in on_ranks(2, run):
        assert len([step for step in steps if step.endswith("~mean")]) == 1


@pytest.mark.parametrize("text", ("", "iter_size: 2", "clip_gradients: 0.1", 'type: "LARS"'))
def test_ranks_pack_weights_together(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each makes some units of every array in the memory of all, and nothing besides."""
    filled: list[tuple[int, int]] = []
    made: list[int] = []
    fill, make = _JointPacking.fill, _JointPacking.make

    def filling(packing: _JointPacking, part: int, parts: int) -> None:
        filled.append((part, parts))
        fill(packing, part, parts)

    def making(packing: _JointPacking, stale: Sequence[Derived]) -> None:
        made.append(len(stale))
        make(packing, stale)

    monkeypatch.setattr(_JointPacking, "fill", filling)
    monkeypatch.setattr(_JointPacking, "make", making)

    def run(ranks: LocalRanks) -> tuple[Any, Any]:
        found = train(ranks, text)
        ranks.meet()
        return found

    shared = on_ranks(2, run)
    programs = 2 if "iter_size" in text else 1
    assert sorted(filled) == 6 * programs * [(0, 2)] + 6 * programs * [(1, 2)]
    assert len(made) == 2 * programs  # before the first iteration
    by_messages(monkeypatch)
    assert_same(shared[0], on_ranks(2, run)[0])


def test_ranks_that_pack_differently_do_not_share_what_is_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled: list[int] = []
    monkeypatch.setattr(_JointPacking, "fill", lambda packing, part, parts: filled.append(part))
    close = JointMemory.close
    numbers = iter(range(9))
    monkeypatch.setattr(JointMemory, "close", lambda memory: close(memory) + next(numbers))

    def run(ranks: LocalRanks) -> tuple[Any, Any]:
        found = train(ranks)
        ranks.meet()
        return found

    shared = on_ranks(2, run)
    assert filled == []
    by_messages(monkeypatch)
    assert_same(shared[0], on_ranks(2, run)[0])


def test_a_parameter_that_is_written_between_iterations_is_packed_anew() -> None:
    def run(ranks: LocalRanks) -> tuple[Any, Any]:
        solver = Solver(source(), ranks=ranks, feeds=images(), threads=1)
        solver.step(2)
        ranks.meet()
        solver.params["conv"][0][...] = 0.5
        ranks.meet()
        found = solver.step(2), parameters(solver)
        ranks.meet()
        return found

    def alone() -> tuple[Any, Any]:
        solver = Solver(source("iter_size: 2"), feeds=images(), threads=1)
        solver.step(2)
        solver.params["conv"][0][...] = 0.5
        return solver.step(2), parameters(solver)

    assert_near(on_ranks(2, run)[0], alone())


LARGE = """
layer { name: "wide" type: "InnerProduct" bottom: "conv" top: "wide"
        inner_product_param { num_output: 401 weight_filler { type: "xavier" } } }
layer { name: "bend" type: "ReLU" bottom: "wide" top: "wide" }
layer { name: "last" type: "InnerProduct" bottom: "wide" top: "last"
        inner_product_param { num_output: 90 weight_filler { type: "xavier" } } }
layer { name: "far" type: "Reduction" bottom: "last" top: "far" loss_weight: 0.0001
        reduction_param { operation: SUMSQ } }
"""
"""Two matrices, one over a map, whose gradients are larger than the rows they are made of."""


@pytest.mark.parametrize("text", ("", 'type: "Adam"', 'type: "Nesterov"'))
@pytest.mark.parametrize("count", (2, 3))
def test_rows_are_exchanged_for_large_gradients_with_the_same_bits(
    count: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse_updates, "BAND_BYTES", 1 << 14)
    exchanged: list[int] = []
    finish_rows = SharedSums.finish_rows

    def watched(sums: SharedSums, offset: int, arrays: Sequence[Array]) -> list[Array]:
        exchanged.extend(array.size for array in arrays)
        return finish_rows(sums, offset, arrays)

    monkeypatch.setattr(SharedSums, "finish_rows", watched)
    found = on_ranks(count, lambda ranks: _kept(ranks, text, LARGE))
    assert set(exchanged) == {6 * 64, 6 * 401, 6 * 90}
    by_messages(monkeypatch)
    for got in found:
        assert_same(got, on_ranks(count, lambda r: train(r, text, LARGE))[0])


def test_some_rows_are_updated_by_the_sum_of_all_ranks_gradients() -> None:
    random = np.random.default_rng(0)
    x, dy, data, history = (
        random.standard_normal(shape, np.float32) for shape in ((6, 5), (6, 4), (4, 5), (4, 5))
    )
    inputs = (x[:3], dy[:3], x[3:], dy[3:])
    scalars = [np.float32(0.5), np.float32(0)]
    gradient = GradientParams(
        "InnerProduct", InnerProductParams(4), "weight", 0, ((3, 5),), 1, (0,)
    )
    update = UpdateParams(UpdateRule("SGD", momentum=0.9), iter_size=2, part=(5, 15))
    params = GradientUpdateParams((gradient, gradient), update)
    define = CATALOG[GRADIENT_UPDATE].reference
    got = define(params, [*inputs, data, history, *scalars], [])
    total = dy[:3].T @ x[:3] + dy[3:].T @ x[3:]
    want = CATALOG[UPDATE].reference(update, [total, data, history, *scalars], [])
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        np.testing.assert_array_equal(one[0], other[0])


def test_a_gradient_that_others_read_is_copied_to_shared_memory() -> None:
    memory = np.zeros(96, np.float32)
    (one, two) = (SharedSums(ranks, memory, 32) for ranks in local_ranks(2))
    at = Slot(0, offset=16, part=(0, 16))
    one.start(at, np.full(32 - 16, 3, np.float32))
    assert memory[16:32].tolist() == [0] * 16  # the whole of it is the first rank's own slice
    at = at._replace(part=(16, 16))
    two.start(at, np.full(32 - 16, 5, np.float32))
    assert memory[48:64].tolist() == [5] * 16
