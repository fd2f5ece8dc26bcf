"""An ONNX model as a net and weights: the subset that Caffe can say."""

from __future__ import annotations

from netc.surgery.onnx_import.read import Imported, import_onnx

__all__ = ["Imported", "import_onnx"]
