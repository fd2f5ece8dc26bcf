"""Times of steps: made up here, so that nothing depends on how fast a machine is."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.backends.base import StepTime
from netc.backends.profile import profile, summarized
from netc.diagnostics import Source

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 9 dim: 9 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a"
        convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "b" type: "Pooling" bottom: "a" top: "b" pooling_param { kernel_size: 2 } }
layer { name: "c" type: "Softmax" bottom: "b" top: "c" }
"""


def made(*steps: float, outside: float = 0.0) -> tuple[float, list[StepTime]]:
    """A run of steps named a, b, c ... that took these seconds."""
    named = [StepTime("abc"[i], True, seconds) for i, seconds in enumerate(steps)]
    return sum(steps) + outside, named


def test_what_is_lucky_in_one_run_does_not_count() -> None:
    # Each step is 0 in some run, as when another thread does it while the caller sleeps.
    found = summarized([made(0, 4, 4), made(4, 0, 4), made(4, 4, 0), made(0, 4, 4)])
    assert found.run == pytest.approx(8)
    assert found.total == pytest.approx(8)
    assert not found.busy
    assert all(step.seconds > 0 for step in found.steps)


def test_interrupted_runs_are_left_out() -> None:
    found = summarized([made(1, 2)] * 7 + [made(1, 50)])
    assert {step.name: step.seconds for step in found.steps} == pytest.approx({"a": 1, "b": 2})
    assert not found.busy


def test_rows_add_up_and_what_is_outside_is_one() -> None:
    found = summarized([made(1, 2, outside=1)] * 4)
    assert found.outside == pytest.approx(1)
    assert found.total == pytest.approx(found.run) == pytest.approx(4)


def test_steps_of_one_name_are_one() -> None:
    steps = [StepTime("a", True, 1), StepTime("b", True, 1), StepTime("a", False, 2)]
    assert summarized([(4, steps)] * 4).steps == (StepTime("a", False, 3), StepTime("b", True, 1))


def test_a_busy_machine_is_told() -> None:
    assert summarized([made(k) for k in (1, 1, 1, 3, 3, 3, 1, 3)]).busy
    assert summarized([made(k) for k in (1, 1, 1, 1, 1.6, 1.6, 1.6, 1.6)]).busy


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_step_of_a_run_has_its_time(threads: int) -> None:
    """More threads than processors: the caller sleeps while others finish its steps."""
    net = netc.compile(Source("net", TEXT), threads=threads)
    (shape,) = net.inputs.values()
    executable = net.executable((shape,))
    feeds = {"x": np.ones(shape, np.float32)}
    results, steps = executable.timed(feeds)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(results["c"], net(feeds)["c"])
    assert {"a", "b", "c"} <= {step.name for step in steps} | {"a", "b"}
    found = [executable.timed(feeds)[1] for _ in range(20)]  # type: ignore[attr-defined]
    seen = np.array([[step.seconds for step in run] for run in found])
    assert (np.median(seen, axis=0) > 0).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_profile_of_a_net(backend: str) -> None:
    net = netc.compile(Source("net", TEXT), backend=backend)
    (shape,) = net.inputs.values()
    executable = net.executable((shape,))
    found = profile(executable, {"x": np.ones(shape, np.float32)}, 5)  # type: ignore[arg-type]
    assert found.outside >= 0
    assert found.quartiles[0] <= found.run <= found.quartiles[1]
    named = {node.name for graph in executable.graphs() for node in graph.nodes}  # type: ignore[attr-defined]
    assert named <= {step.name for step in found.steps}
