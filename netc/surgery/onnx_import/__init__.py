"""Imports ONNX models as a net and weights, for the operators that Caffe's layers can express."""

from __future__ import annotations

from netc.surgery.onnx_import.read import Imported, import_onnx

__all__ = ["Imported", "import_onnx"]
