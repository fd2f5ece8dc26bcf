"""Runs that Caffe made, as tests read them: tests/golden/train/README tells what is in a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netc.solver.solver import Solver
from tests.solver.texts import GOLDEN

Case = dict[str, Any]
Arrays = dict[str, NDArray[np.float32]]

CASES: list[Case] = json.loads((GOLDEN / "manifest.json").read_text())


def case_named(name: str) -> Case:
    return next(case for case in CASES if case["name"] == name)


def arrays(case: Case) -> Arrays:
    with np.load(GOLDEN / f"{case['name']}.npz") as file:
        return {name: file[name] for name in file.files}


def parameters(found: Arrays, prefix: str) -> dict[str, list[NDArray[np.float32]]]:
    """Layer -> arrays."""
    layers: dict[str, dict[int, NDArray[np.float32]]] = {}
    for name, array in found.items():
        if name.startswith(f"{prefix}/"):
            layer, _, index = name.removeprefix(f"{prefix}/").rpartition("/")
            layers.setdefault(layer, {})[int(index)] = array
    return {layer: [each[i] for i in sorted(each)] for layer, each in layers.items()}


def batches(found: Arrays, prefix: str = "feed/") -> list[Arrays] | None:
    """The batches of a net in turn; None where its data layers read them."""
    feeds = {k.removeprefix(prefix): a for k, a in found.items() if k.startswith(prefix)}
    if not feeds:
        return None
    return [{blob: a[i] for blob, a in feeds.items()} for i in range(min(map(len, feeds.values())))]


def open_case(case: Case, found: Arrays, folder: Path, **more: Any) -> Solver:
    """The case's solver, which writes snapshots to a folder of the test's own."""
    text = GOLDEN / f"{case['name']}_solver.prototxt"
    tests = [batches(found, f"test{k}/feed/") for k in range(4)]
    prefix = folder / case["name"]
    weights = parameters(found, "init") or None
    return Solver(
        text,
        weights,
        feeds=batches(found),
        test_feeds=[test for test in tests if test],
        fields={"snapshot_prefix": str(prefix)},
        **more,
    )


def difference(got: Any, want: Any) -> float:
    """Of two parameters, in parts of the greater one's largest element."""
    if want.size == 0:
        return 0.0
    return float(np.abs(got - want).max() / (np.abs(want).max() + 1e-3))


def relative(got: Any, want: Any) -> float:
    """Of losses and scores."""
    if np.size(want) == 0:
        return 0.0
    return float(np.max(np.abs(np.asarray(got) - want) / (np.abs(want) + 0.1)))


def check_parameters(solver: Solver, found: Arrays, prefix: str, tolerance: float) -> None:
    """Every parameter as Caffe left it."""
    for layer, wanted in parameters(found, prefix).items():
        for index, want in enumerate(wanted):
            off = difference(solver.params[layer][index], want)
            assert off <= tolerance, f"{prefix}: {layer}/{index} is off by {off:.2g}"
