"""Training runs that Caffe made: losses, parameters, histories and tests, on each backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.solver import events
from netc.solver.solver import Solver
from tests.solver.golden import (
    CASES,
    GOLDEN,
    Arrays,
    Case,
    arrays,
    case_named,
    check_parameters,
    difference,
    open_case,
    parameters,
    relative,
)

RUNS = [case for case in CASES if case["family"] in "abcdefghijk"]
FROM_DATA = {"train_lmdb": "lmdb", "train_hdf5": "h5py", "train_imagedata": "PIL"}
RESUMED = [case for case in CASES if case["family"] == "k"]
FINE_TUNED = [case for case in CASES if case["family"] == "j"]


def trained(solver: Solver, iterations: int) -> list[float]:
    """Losses of a run to its end, with Caffe's last test and pass."""
    losses: list[float] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Stepped):
            losses.append(float(event.loss))

    solver.listeners.append(listen)
    solver.solve()
    assert solver.iteration == iterations
    return losses


def check_run(case: Case, found: Arrays, solver: Solver) -> None:
    last, tolerance = case["iterations"], case["tolerance"]
    first = solver.step(1)
    check_parameters(solver, found, "after1", tolerance["after1"])
    losses = [*first, *trained(solver, last)]
    assert relative(losses, found["losses"]) <= tolerance["loss"]
    check_parameters(solver, found, f"after{last}", tolerance["final"])
    for index, history in enumerate(solver.history):
        name = f"history{last}/{index}"
        if name in found:
            assert difference(history, found[name]) <= 10 * tolerance["final"], name
    check_tests(found, solver)


def check_tests(found: Arrays, solver: Solver) -> None:
    for name, want in found.items():
        if name.startswith("test") and "/score/" in name:
            number, _, blob = name.removeprefix("test").partition("/score/")
            got = [test.scores[blob] for test in solver.tests if test.net == int(number)]
            assert len(got) == len(want)
            assert relative(np.array(got).reshape(want.shape), want) <= 1e-4


@pytest.mark.parametrize("case", RUNS, ids=lambda c: c["name"])
def test_runs(case: Case, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)  # paths in the texts are relative to it, as Caffe was run
    if case["family"] == "k":
        pytest.importorskip("h5py", exc_type=ImportError)
    found = arrays(case)
    check_run(case, found, open_case(case, found, tmp_path, backend=backend))


@pytest.mark.parametrize("name", FROM_DATA)
def test_runs_from_data(name: str, backend: str, tmp_path: Path) -> None:
    pytest.importorskip(FROM_DATA[name], exc_type=ImportError)
    case = case_named(name)
    found = arrays(case)
    check_run(case, found, open_case(case, found, tmp_path, backend=backend))


@pytest.mark.parametrize("case", RESUMED, ids=lambda c: c["name"])
def test_caffes_snapshots_are_gone_on_from(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("h5py", exc_type=ImportError)
    found, tolerance = arrays(case), case["tolerance"]
    (state,) = (GOLDEN / file for file in case["files"] if ".solverstate" in file)
    solver = open_case(case, found, tmp_path, backend="cpu", snapshot=str(state))
    losses = solver.step(case["iterations"] - solver.iteration)
    assert relative(losses, found["resumed_losses"]) <= tolerance["loss"]
    check_parameters(solver, found, f"resumed{case['iterations']}", tolerance["final"])


@pytest.mark.parametrize("case", FINE_TUNED, ids=lambda c: c["name"])
def test_a_solvers_weights_are_copied_by_layer(case: Case) -> None:
    found = arrays(case)
    init = parameters(found, "init")
    feeds = [{k.removeprefix("feed/"): a[0] for k, a in found.items() if k.startswith("feed/")}]
    solver = Solver(GOLDEN / f"{case['name']}_solver.prototxt", feeds=feeds)
    copied = [
        layer
        for layer, arrays in init.items()
        if all(np.array_equal(a, b) for a, b in zip(solver.params[layer], arrays, strict=True))
    ]
    filled = set(init) - set(copied)  # layers that the file lacks
    assert filled <= {"fc_new", "head", "fc2", "feat", "feat_p"}
    assert copied


def test_a_state_that_netc_wrote_is_caffes_byte_for_byte(tmp_path: Path) -> None:
    """With the numbers of Caffe's own state in place of netc's, which differ in their last bits."""
    case = case_named("resume_adam_bin")
    state = GOLDEN / "resume_adam_bin_iter_10.solverstate"
    solver = open_case(case, arrays(case), tmp_path, snapshot=str(state))
    files = solver.snapshot()
    wrote = files.state.read_bytes()
    name = str(files.weights).encode()
    head = b"\x08\x0a\x12" + bytes([len(name)]) + name
    want = state.read_bytes()
    assert wrote.startswith(head)
    assert wrote.removeprefix(head) == want[want.index(b".caffemodel") + len(b".caffemodel") :]
