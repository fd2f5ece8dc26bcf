"""A run's events as rows of a table."""

from __future__ import annotations

import csv
import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.solver import events
from netc.solver.rows import EventRows, flattened


def gathered() -> EventRows:
    ticks = count(10.0, 0.5)
    rows = EventRows(clock=lambda: next(ticks))
    outputs = {"loss": np.array(2.5, np.float32), "score": np.array([0.25, 0.5], np.float32)}
    rows(events.Displayed(0, 3.0, outputs, {"loss": 1.0}))
    rows(events.RateUsed(0, np.float32(0.5)))
    rows(events.Tested(0, 1, {"accuracy": np.array([0.75], np.float32)}, {}, None))
    return rows


def test_a_row_has_each_output_by_its_name_and_its_time() -> None:
    train, test = gathered().rows
    assert train == {
        "net": "train", "iteration": 0, "seconds": 0.5, "loss": 2.5, "score[0]": 0.25,
        "score[1]": 0.5, "smoothed_loss": 3.0, "rate": 0.5,
    }  # fmt: skip
    assert test == {"net": "test 1", "iteration": 0, "seconds": 1.0, "accuracy": 0.75}


def test_other_events_make_no_row() -> None:
    rows = EventRows()
    rows(events.RateUsed(0, np.float32(0.5)))
    assert rows.rows == []


def test_csv_has_a_column_for_each_name_that_any_row_has(tmp_path: Path) -> None:
    gathered().write_csv(tmp_path / "run.csv")
    [train, test] = csv.DictReader((tmp_path / "run.csv").read_text().splitlines())
    assert list(train) == [
        "net", "iteration", "seconds", "loss", "score[0]", "score[1]", "smoothed_loss", "rate",
        "accuracy",
    ]  # fmt: skip
    assert (train["score[1]"], train["accuracy"]) == ("0.5", "")
    assert (test["loss"], test["accuracy"]) == ("", "0.75")


def test_json_is_the_rows(tmp_path: Path) -> None:
    rows = gathered()
    rows.write_json(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == rows.rows


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NetcError) as caught:
        gathered().write_json(tmp_path / "missing" / "run.json")
    assert caught.value.diagnostics[0].code == "cannot-write"


def test_elements_are_named_in_order_of_memory() -> None:
    array = np.arange(4, dtype=np.float32).reshape(2, 2)
    assert flattened({"a": array}) == {f"a[{i}]": float(i) for i in range(4)}
    assert flattened({"a": np.array([[5.0]], np.float32)}) == {"a": 5.0}
    assert flattened({"a": np.zeros(0, np.float32)}) == {}
