"""Every number that a fork of Caffe computed, by netc's definitions and by its kernels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from benchmarks.forks import manifest, run_case

FOLDER = Path(__file__).resolve().parent / "golden" / "forks"
CASES = manifest(FOLDER)

# Cases that netc does not compute, by type or by name; one that agrees must leave the list.
NOT_COMPUTED = frozenset(
    """
    Accuracy Normalize__defaults
    """.split()
)


def is_computed(case: dict[str, Any]) -> bool:
    return case["type"] not in NOT_COMPUTED and case["case"] not in NOT_COMPUTED


@pytest.mark.filterwarnings("ignore:.*fork-reading")
@pytest.mark.parametrize("case", [c for c in CASES if is_computed(c)], ids=lambda c: c["case"])
def test_case(case: dict[str, Any], backend: str) -> None:
    assert run_case(FOLDER, case, backend) == ""


def test_what_is_not_computed_is_refused() -> None:
    wrong = [c["case"] for c in CASES if not is_computed(c) and not run_case(FOLDER, c)]
    assert wrong == []


def test_the_list_of_what_is_not_computed_names_cases() -> None:
    known = {c["case"] for c in CASES} | {c["type"] for c in CASES}
    assert known >= NOT_COMPUTED
    assert Counter(map(is_computed, CASES))[True] >= 362


def test_accuracies_of_classes_are_segnets_but_for_axes_of_one() -> None:
    path = FOLDER / "Accuracy__segnet_per_class.prototxt"
    with np.load(path.with_suffix(".npz")) as golden:
        made = netc.compile(path, backend="reference")(x=golden["in/x"], label=golden["in/label"])
        np.testing.assert_allclose(made["acc"], golden["out/acc"], rtol=1e-6)
        assert golden["out/each"].shape == (*made["each"].shape, 1, 1, 1)
        np.testing.assert_allclose(made["each"], golden["out/each"].reshape(-1), rtol=1e-6)
