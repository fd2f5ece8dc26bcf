"""The 17 runs of golden/solvers: each solver type and each of Caffe's learning-rate policies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.solver.solver import Solver
from tests.solver.golden import Arrays, check_parameters, parameters, relative

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "solvers"
RUNS = sorted(path.stem for path in FOLDER.glob("*.npz"))

# Of golden/train's README, which this build of Caffe's runs were held to as well.
AFTER_ONE, AFTER_ALL, LOSSES = 2e-5, 1e-4, 5e-5


def opened(name: str, backend: str) -> tuple[Solver, Arrays]:
    with np.load(FOLDER / f"{name}.npz") as file:
        found = {key: file[key] for key in file.files}
    text = FOLDER / f"{name}_solver.prototxt"
    data, labels = found["batches_data"], found["batches_label"]
    # Every pass of an iteration is fed the iteration's batch.
    passes = 3 if "iter_size" in name else 1
    feeds = [{"data": data[i // passes], "label": labels[i // passes]} for i in range(16 * passes)]
    return Solver(text, parameters(found, "init"), feeds=feeds, backend=backend), found


def test_there_are_all_of_them() -> None:
    assert len(RUNS) == 17


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str, backend: str) -> None:
    solver, found = opened(name, backend)
    assert solver.settings.iter_size == (3 if "iter_size" in name else 1)
    losses = solver.step(1)
    check_parameters(solver, found, "after1", AFTER_ONE)
    losses = np.concatenate([losses, solver.step(15)])
    assert relative(losses, found["losses"]) <= LOSSES
    check_parameters(solver, found, "after16", AFTER_ALL)
