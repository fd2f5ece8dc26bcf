"""What a caller may choose of the GPU backend alone."""

from __future__ import annotations

from dataclasses import dataclass

from netc.backends.base import BackendOptions


@dataclass(frozen=True, slots=True)
class CudaOptions(BackendOptions):
    """Options of the GPU backend.

    Args:
        precision: "float32", "tf32" or "fp16", see docs/gpu.md.
        graph: whether steps are recorded and started as one CUDA graph.
        tune: whether configurations of products are measured when the device first meets a shape.
    """

    graph: bool = True
    tune: bool = True
