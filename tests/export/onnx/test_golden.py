"""Every number that BVLC Caffe computed, by ONNX Runtime on exported models."""

from __future__ import annotations

from typing import Any

import pytest

import netc
from netc.diagnostics import NetcError
from netc.export.onnx import RULES, to_onnx
from netc.ir.graph import Graph
from tests.export.onnx.running import exported
from tests.test_golden import CASES, GOLDEN, arrays, assert_agrees, params

# Their weights, or a layer's rule, say how many items there are.
FIXED = {"LSTMUnit__00", "Parameter__00", "Scale__02"}
EMPTY = {"Silence__one"}  # nothing comes out


def graph_of(case: dict[str, Any]) -> Graph:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    weights = params(text.with_suffix(".npz"))
    return netc.compile(text, weights, backend="reference", phase=case["phase"]).graph


def has_rules(case: dict[str, Any]) -> bool:
    return case["type"] in RULES or case["type"] in ("Graph", "SharedParams")


WRITTEN = [c for c in CASES if has_rules(c) and c["case"] not in EMPTY]


def check(case: dict[str, Any], batch: str | None) -> None:
    data = GOLDEN / "layers" / f"{case['case']}.npz"
    got = exported(graph_of(case), arrays(data, "in/"), batch)
    wanted = arrays(data, "out/")
    assert set(got) >= set(wanted)
    for name, want in wanted.items():
        assert_agrees(got[name], want, name)


@pytest.mark.parametrize("case", WRITTEN, ids=lambda c: c["case"])
def test_layer(case: dict[str, Any]) -> None:
    check(case, None)


@pytest.mark.parametrize(
    "case", [c for c in WRITTEN if c["case"] not in FIXED], ids=lambda c: c["case"]
)
def test_layer_of_any_batch(case: dict[str, Any]) -> None:
    check(case, "N")


@pytest.mark.parametrize("case", [c for c in CASES if c not in WRITTEN], ids=lambda c: c["case"])
def test_what_has_no_rule_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NetcError) as caught:
        to_onnx(graph_of(case))
    assert {d.code for d in caught.value.diagnostics} <= {"no-onnx-rule", "no-output"}
    assert case["case"] == "Silence__one" or caught.value.diagnostics[0].span


@pytest.mark.parametrize("case", [c for c in CASES if c["case"] in FIXED], ids=lambda c: c["case"])
def test_what_fixes_its_batch(case: dict[str, Any]) -> None:
    with pytest.raises(NetcError, match=r"batch-misfit.*cannot be left open"):
        to_onnx(graph_of(case), batch="N")


@pytest.mark.parametrize("model", ("lenet", "mtcnn_det1"))
@pytest.mark.parametrize("batch", (None, "N"))
def test_model(model: str, batch: str | None) -> None:
    text = GOLDEN / "models" / f"{model}.prototxt"
    data = arrays(text.with_suffix(".npz"), "in/")
    shapes = {name: array.shape for name, array in data.items()}
    weights = text.with_suffix(".caffemodel")
    graph = netc.compile(text, weights, backend="reference", inputs=shapes).graph
    got = exported(graph, data, batch)
    for name, want in arrays(text.with_suffix(".npz"), "out/").items():
        assert_agrees(got[name], want, name)
