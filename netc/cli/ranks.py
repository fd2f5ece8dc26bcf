"""``netc train`` as one of several ranks: who speaks, and what happens when one of them fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

from netc.backends.registry import on_host
from netc.backends.threads import thread_count
from netc.cli.output import print_diagnostics, say
from netc.diagnostics import Diagnostic, NetcError
from netc.ranks.mpi import LOST, MpiRanks, started_by_mpiexec
from netc.ranks.nccl import NcclRanks
from netc.solver.distributed import BatchRule

Group = MpiRanks | NcclRanks
_FIRST_WORD = 2.0  # seconds that rank 0 has to tell of an error before another rank does


def add_rank_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of a run on several ranks."""
    group = parser.add_argument_group("several ranks (mpiexec -n N netc train ...)")
    group.add_argument(
        "--distributed", choices=("mpi",), help="average gradients over the ranks of mpiexec"
    )
    group.add_argument(
        "--batch",
        choices=get_args(BatchRule),
        default="per-rank",
        help="whose the text's batch size is: each rank's, as BVLC Caffe has it (default), or of "
        "all together, as NVIDIA's fork has it",
    )
    group.add_argument(
        "--deterministic",
        action="store_true",
        help="sum in the order of the ranks on GPUs too, as processors always do",
    )


def open_ranks(args: argparse.Namespace) -> Group | None:
    """This process's group; None where it trains alone.

    Raises:
        NetcError: missing-package, no-mpi; lonely-ranks, where mpiexec started several processes
            that know nothing of each other.
    """
    if args.distributed is None:
        if started_by_mpiexec():
            raise NetcError(
                Diagnostic(
                    "lonely-ranks",
                    "mpiexec started several processes, and each would train the whole net alone",
                    help=("add `--distributed mpi`",),
                )
            )
        return None
    if not on_host(args.backend):
        return NcclRanks(MpiRanks(), in_order=args.deterministic)
    return MpiRanks()


def threads_of(args: argparse.Namespace, ranks: Group | None) -> int | None:
    """Threads of this rank: those that were asked for, else its part of the machine's cores."""
    if ranks is None or args.threads is not None:
        return args.threads if args.threads is None else int(args.threads)
    return max(1, thread_count(None) // ranks.neighbours())


@contextmanager
def failing_together(ranks: Group | None, last: Callable[[], Path | None]) -> Iterator[None]:
    """A context in which an error of this rank ends all ranks; the others would wait for ever.

    Most errors occur on all ranks at once, and only one rank reports them. ``last`` returns the
    last snapshot, to be reported where a rank was lost.
    """
    try:
        yield
    except BaseException as error:
        if ranks is None or ranks.size == 1:
            raise
        if ranks.rank:
            time.sleep(_FIRST_WORD)
        say(f"rank {ranks.rank} of {ranks.size}:", stream=sys.stderr)
        if isinstance(error, NetcError):
            print_diagnostics([with_snapshot(d, last()) for d in error.diagnostics])
        else:
            say(f"{type(error).__name__}: {error}", stream=sys.stderr)
        ranks.abort()


def with_snapshot(diagnostic: Diagnostic, last: Path | None) -> Diagnostic:
    """What is told of a lost rank, with the snapshot to go on from."""
    if diagnostic.code != LOST:
        return diagnostic
    if last is None:
        begin = "begin anew; `snapshot: 1000` writes one every 1000 iterations"
        return replace(diagnostic, help=(f"there is no snapshot yet: {begin}",))
    return replace(diagnostic, help=(f"go on from the last snapshot with `--snapshot {last}`",))


def describe_batch(solver_batch: int, ranks: Group, batch: str) -> str:
    """How many images an iteration takes, for the first line of a log."""
    own = solver_batch // ranks.size
    rule = "as written, for each rank" if batch == "per-rank" else "a part of what is written"
    many = "ranks" if ranks.size > 1 else "rank"
    return f"{ranks.size} {many}, {own} images each ({rule}), {solver_batch} an iteration"
