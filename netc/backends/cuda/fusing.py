"""Gradients and random layers run in the kernel that produces their input.

Before::

    da = Deconvolution(dc; W); db = Gradient(b, da)                      b = ReLU(...)

After::

    db = Fused[Deconvolution, Gradient](dc, b; W)

As netc.passes.epilogue does it for layers, for what has code in a chain on this backend besides.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.backends.cuda.chains import is_elementwise
from netc.ir.graph import Graph
from netc.ops.batch_norm import uses_batch_statistics
from netc.ops.fused import Stage
from netc.passes.base import Log, Pass
from netc.passes.epilogue import FUSE_EPILOGUES, fuse_stages
from netc.passes.pipeline import with_bounds


def fuse_gradients(graph: Graph, log: Log) -> Graph:
    """Each gradient of an elementwise layer joins the node that makes its top's gradient."""
    return fuse_stages(graph, log, _is_stage)


def _is_stage(stage: Stage) -> bool:
    return is_elementwise(stage) and not uses_batch_statistics(stage.params)


FUSE_GRADIENTS = Pass("fuse-gradients", fuse_gradients, exact=True)


def passes_for(chosen: Sequence[Pass]) -> tuple[Pass, ...]:
    """The passes that this backend runs where these are asked for."""
    own = (FUSE_GRADIENTS,) if FUSE_EPILOGUES in chosen else ()
    wanted = [p for p in chosen if not p.for_caches and not p.in_place]
    return (*with_bounds(wanted), *own)
