"""What `caffe train` stops at, and what one would expect it to refuse and it takes."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.frontend import build, read_net
from netc.solver.solver import Solver
from tests.solver.texts import GOLDEN

FOLDER = GOLDEN / "refused"
ROWS = list(csv.DictReader((FOLDER / "refused.tsv").read_text().splitlines(), delimiter="\t"))

# Taken by Caffe and refused by netc, since no training comes of it.
STRICTER = {
    "dropout_one": "`dropout_ratio` must be at least 0 and less than 1",  # every value is 0 * inf
    "iter_size_zero": "`iter_size` is 0, and must be at least 1",  # no pass: the loss is 0 / 0
}


def feeds(case: str) -> Any:
    """Numbers for the inputs of a net, None where its data layers are to be read."""
    try:
        graph = build(read_net(FOLDER / f"{case}_train.prototxt").message, phase="TRAIN").graph
        shapes = {blob: graph.shape(value) for blob, value in graph.input_blobs.items()}
    except (NetcError, ValueError):
        return None
    random = np.random.default_rng(0)
    return {blob: random.integers(0, 2, s).astype(np.float32) for blob, s in shapes.items()}


def trained(case: str) -> Solver:
    given = feeds(case)
    solver = Solver(FOLDER / f"{case}_solver.prototxt", feeds=given, test_feeds=[given] * 3)
    solver.step(2)
    return solver


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_as_caffe(row: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    case = row["case"]
    monkeypatch.chdir(FOLDER)
    if case in STRICTER:
        with pytest.raises(NetcError, match=STRICTER[case]):
            trained(case)
    elif row["outcome"] == "accepted":
        assert trained(case).iteration == 2
    else:
        with pytest.raises(NetcError) as caught:
            trained(case)
        assert all(found.help or found.span for found in caught.value.diagnostics)
