"""A graph as an ONNX model: a table of rules keyed by op.

A layer with no rule is an error that names it. Opset 13, float32.
"""

from __future__ import annotations

from netc.export.onnx.files import save, to_bytes
from netc.export.onnx.model import to_onnx
from netc.export.onnx.table import RULES
from netc.export.onnx.writer import OPSET

__all__ = ["OPSET", "RULES", "save", "to_bytes", "to_onnx"]
