"""Exported models run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from netc.export.onnx import to_onnx
from netc.ir.graph import Graph

REASON = "what exported models are run by"
pytest.importorskip("onnx", reason=REASON)
ort = pytest.importorskip("onnxruntime", reason=REASON)


def run(model: Any, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """A model's outputs; it is checked first, its shapes too."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    read = {i.name for i in session.get_inputs()}
    fed = {name: array for name, array in feeds.items() if name in read}
    return dict(zip(names, session.run(names, fed), strict=True))


def exported(graph: Graph, feeds: Mapping[str, Any], batch: str | None = None) -> dict[str, Any]:
    """What a graph's model makes of these inputs."""
    return run(to_onnx(graph, batch=batch), feeds)
