"""Every gradient that forks of Caffe computed, of the layers that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import netc
from netc.diagnostics import NetcError
from netc.frontend import read_net
from netc.ops.catalog import LAYERS
from netc.ops.gradients.catalog import GRADIENTS
from tests.test_golden import GOLDEN, arrays, params
from tests.train.test_golden_gradients import assert_gradients

FOLDER = GOLDEN / "forks"


def cases() -> list[dict[str, Any]]:
    if not (FOLDER / "manifest.json").exists():
        return []
    entries = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["backward"]]


def unknown(text: Path) -> str | None:
    """Why a case cannot be run: a layer type that is not there, or has no gradient."""
    for layer in read_net(text).message.get("layer"):
        kind = layer.get("type")
        if kind not in LAYERS:
            return f"netc has no {kind}"
        if not LAYERS[kind].source and LAYERS[kind].name not in GRADIENTS:
            return f"{kind} has no gradient"
    return None


@pytest.mark.parametrize("case", cases(), ids=lambda c: c["case"])
def test_layer(case: dict[str, Any], backend: str) -> None:
    text = FOLDER / f"{case['case']}.prototxt"
    data = text.with_suffix(".npz")
    if why := unknown(text):
        pytest.skip(why)
    try:
        net = netc.compile(text, params(data), backend=backend, phase=case["phase"], tune=False)
    except NetcError as error:  # of a form of a layer that is another fork's own
        if error.diagnostics[0].code not in ("unsupported-field", "shape-mismatch"):
            raise
        pytest.skip(error.diagnostics[0].message)
    assert_gradients(net.gradients(arrays(data, "in/"), seeds=arrays(data, "topdiff/")), data)
