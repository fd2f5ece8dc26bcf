"""A graph as a PyTorch module that a person can read: its text, and its arrays."""

from __future__ import annotations

from netc.export.torch.module import TorchModule, to_torch

__all__ = ["TorchModule", "to_torch"]
