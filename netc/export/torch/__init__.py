"""Exports a graph as readable PyTorch code (a module), and its arrays."""

from __future__ import annotations

from netc.export.torch.module import TorchModule, to_torch

__all__ = ["TorchModule", "to_torch"]
