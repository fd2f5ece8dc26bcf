"""What `caffe train` stops at, and what one would expect it to refuse and it takes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.frontend import build, read_net
from netc.solver.solver import Solver
from tests.solver.texts import GOLDEN

FOLDER = GOLDEN / "refused"
ROWS = list(csv.DictReader((FOLDER / "refused.tsv").read_text().splitlines(), delimiter="\t"))


class Told(NamedTuple):
    """An error: its code, the place in the case's solver or net, and words of its message."""

    code: str
    file: str
    line: int
    column: int
    words: str


REFUSED = {
    "mismatched_lr_mult": Told("shared-param-multiplier", "train", 22, 17, "has 1"),
    "shared_shape_strict": Told("shared-param-shape", "train", 22, 17, "as 6x5, and its owner"),
    "too_many_params": Told("too-many-params", "train", 14, 45, "3 `param` entries and 2 param"),
    "adagrad_momentum": Told("bad-solver-field", "solver", 3, 11, "AdaGrad takes no momentum"),
    "rms_decay_one": Told("bad-solver-field", "solver", 3, 12, "`rms_decay` is 1"),
    "unknown_type": Told("unknown-solver-type", "solver", 2, 7, "`Adamax`"),
    "type_twice": Told("conflicting-fields", "solver", 3, 1, "`solver_type: ADAM` and `type`"),
    "unknown_policy": Told("unknown-policy", "solver", 3, 12, "`cosine`"),
    "sigmoid_negative_gamma": Told("bad-solver-field", "solver", 5, 8, "`gamma` is -0.1"),
    "unknown_regularization": Told("bad-solver-field", "solver", 6, 22, "`L3`"),
    "test_iter_missing": Told("bad-solver-field", "solver", 5, 11, "1 test net and 0 `test_iter`"),
    "test_interval_missing": Told("bad-solver-field", "solver", 5, 12, "`test_interval`"),
    "no_net": Told("bad-solver-field", "solver", 1, 1, "no train net"),
    "two_nets": Told("bad-solver-field", "solver", 5, 12, "more than one train net"),
    "snapshot_folder_missing": Told("cannot-write", "solver", 6, 18, "`nowhere` is not there"),
    "loss_weight_count": Told("value-count", "train", 31, 31, "2 times for 1 top"),
    "softmax_loss_two_tops": Told("top-count", "train", 18, 9, "has 2 tops"),
    "propagate_down_count": Told("value-count", "train", 23, 19, "1 time for 2 bottoms"),
    "propagate_to_label": Told("no-gradient", "train", 18, 9, "its bottom `label`"),
    "hdf5_transform": Told("out-of-range", "train", 7, 3, "HDF5Data does not transform data"),
    "hdf5_list_missing": Told("file-not-found", "train", 7, 29, "`nowhere.txt`"),
    "imagedata_one_side": Told("missing-field", "train", 7, 64, "they are 5 and 0"),
    "weights_missing": Told("file-not-found", "solver", 5, 10, "`nowhere.caffemodel`"),
    "accuracy_not_backward": Told("no-gradient", "train", 33, 9, "(Accuracy) has no gradient"),
    "infogain_source_missing": Told("missing-field", "train", 17, 1, "needs `source`"),
    "contrastive_bottoms": Told("bottom-count", "train", 21, 3, "takes 3 to 4"),
}

# Taken by Caffe and refused by netc, since no training comes of it.
STRICTER = {
    # Every value is 0 * inf.
    "dropout_one": Told("out-of-range", "train", 14, 34, "at least 0 and less than 1"),
    # No pass: the loss is 0 / 0.
    "iter_size_zero": Told("bad-solver-field", "solver", 5, 12, "`iter_size` is 0"),
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


def test_every_case_is_one_of_these() -> None:
    outcomes = {row["case"]: row["outcome"] for row in ROWS}
    assert len(ROWS) == 32
    assert {case for case, outcome in outcomes.items() if outcome == "refused"} == set(REFUSED)
    assert all(outcomes[case] == "accepted" for case in STRICTER)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_as_caffe(row: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    case = row["case"]
    monkeypatch.chdir(FOLDER)
    want = REFUSED.get(case) or STRICTER.get(case)
    if want is None:
        assert trained(case).iteration == 2
        return
    with pytest.raises(NetcError) as caught:
        trained(case)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert Path(found.span.source.name).name == f"{case}_{want.file}.prototxt"
    assert (found.code, found.span.line, found.span.column) == (want.code, want.line, want.column)
    assert want.words in found.message
