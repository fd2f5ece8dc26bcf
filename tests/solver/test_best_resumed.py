"""--keep-best and --patience over a snapshot: the best test and the count of those after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.solver import events
from netc.solver.solver import Solver
from netc.solver.watch import Best
from tests.solver.small import batches, solver

SCORES = [0.5, 0.9, 0.7, 0.8, 0.6, 0.9]


def look(best: Best, number: int) -> None:
    scores: dict[str, Array] = {"accuracy": np.array(SCORES[number], np.float32)}
    best(events.Tested(number, 0, scores, {}, None))


def run(tmp_path: Path, **given: Any) -> Solver:
    return solver(f'snapshot_prefix: "{tmp_path}/x"', test_feeds=[batches()], **given)


def resumed(tmp_path: Path, first: Best, score: str = "accuracy") -> Best:
    state = first.solver.snapshot().state
    return Best(run(tmp_path, snapshot=str(state)), score, first.path, 3)


def begun(tmp_path: Path, path: str = "") -> Best:
    best = Best(run(tmp_path), "accuracy", path, 3)
    for number in range(3):
        look(best, number)
    return best


def test_the_best_is_known_and_the_count_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "best.caffemodel"
    again = resumed(tmp_path, begun(tmp_path, str(path)))
    assert (again.value, again.iteration) == (float(np.float32(0.9)), 1)
    path.write_bytes(b"kept")
    look(again, 3)
    assert not again.solver._asked_to_stop
    look(again, 4)  # the third that was no better
    assert again.solver._asked_to_stop
    assert path.read_bytes() == b"kept"


def test_another_score_begins_anew(tmp_path: Path) -> None:
    assert resumed(tmp_path, begun(tmp_path), "loss").value is None


def test_without_its_weights_it_begins_anew(tmp_path: Path) -> None:
    best = begun(tmp_path, str(tmp_path / "best.caffemodel"))
    (tmp_path / "best.caffemodel").unlink()
    assert resumed(tmp_path, best).value is None


@pytest.mark.parametrize("kept", [3, {"score": "accuracy"}, {"score": "accuracy", "value": "x"}])
def test_what_is_damaged_is_told(kept: object, tmp_path: Path) -> None:
    files = begun(tmp_path).solver.snapshot()
    content = json.loads(files.beside.read_text())
    files.beside.write_text(json.dumps({**content, "kept": {"best": kept}}))
    made = run(tmp_path, snapshot=str(files.state))
    with pytest.raises(NetcError, match="is damaged"):
        Best(made, "accuracy")
