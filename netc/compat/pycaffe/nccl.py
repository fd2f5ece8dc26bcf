"""``caffe.NCCL`` for one solver, as scripts after python/train.py of BVLC Caffe use it.

With one solver there is nobody to tell anything. Several are netc's own ranks (netc.ranks), which
a script cannot make: ``netc train --distributed``.
"""

from __future__ import annotations

from netc.compat.pycaffe.settings import solver_count
from netc.diagnostics import Diagnostic, NetcError


class NCCL:
    """The communicator of a single solver; it has nothing to communicate.

    Args:
        solver: the solver.
        uid: of all solvers together, from ``new_uid``.

    Raises:
        NetcError: unsupported-value, where a script has set more than one solver.
    """

    def __init__(self, solver: object, uid: str) -> None:
        if solver_count() > 1:
            raise NetcError(
                Diagnostic(
                    "unsupported-value",
                    f"`caffe.NCCL` has one solver here, and {solver_count()} are set",
                    help=("train several ranks with `netc train SOLVER --distributed nccl`",),
                )
            )

    @staticmethod
    def new_uid() -> str:
        """A name for the solvers of one training."""
        return "netc"

    def bcast(self) -> None:
        """Give the parameters of the first solver to the others, of which there are none."""

    def __call__(self, layer: int = 0) -> None:
        """Sum a layer's gradients over the solvers: they are their own sum."""
