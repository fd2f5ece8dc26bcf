"""Exports graphs to other formats: ONNX and PyTorch."""
