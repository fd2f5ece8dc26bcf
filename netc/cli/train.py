"""``netc train``: train a net as its solver's text says, like ``caffe train``."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from netc.cli.arguments import add_text_arguments, reading, size
from netc.cli.numbers import level, natural, positive
from netc.cli.options import add_backend_argument
from netc.cli.output import print_diagnostics, print_json, report_broken, say
from netc.cli.progress import compiling
from netc.cli.ranks import (
    Group,
    add_rank_arguments,
    describe_batch,
    failing_together,
    open_ranks,
    threads_of,
)
from netc.cli.running import Running
from netc.diagnostics import NetcError
from netc.files import cannot_write
from netc.lower.rules import NetState
from netc.solver.log import CaffeLog, log_found
from netc.solver.plot import check_plot, write_plot
from netc.solver.rows import EventRows
from netc.solver.snapshots import last_state
from netc.solver.solver import Solver
from netc.solver.tensorboard import TensorBoard
from netc.solver.watch import Best, SnapshotsAt
from netc.sources.paths import ResolvedPath, recorded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("solver", metavar="SOLVER", help="a solver's prototxt")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "-w", "--weights", metavar="A,B", help="files to begin with, later ones over earlier"
    )
    start.add_argument("--snapshot", metavar="FILE", help="a .solverstate to go on from")
    add_backend_argument(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the cores")
    parser.add_argument("--seed", type=natural, metavar="N", help="of fillers and random layers")
    parser.add_argument(
        "--set",
        dest="fields",
        metavar="FIELD=VALUE",
        type=_field,
        action="append",
        default=[],
        help="a field of the solver, in place of the text's: --set base_lr=0.01",
    )
    parser.add_argument(
        "--freeze",
        metavar="PATTERN",
        action="append",
        default=[],
        help="layers that stay as they are, such as 'conv[1-3]*'; repeatable",
    )
    parser.add_argument("--level", type=level, metavar="N", help="of the train net's state")
    parser.add_argument("--stage", action="append", default=[], metavar="S", help="repeatable")
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        type=size,
        help="such as 2GB: compute values again in the backward pass until an iteration fits",
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out records that cannot be read"
    )
    _add_results(parser)
    _add_signals(parser)
    add_rank_arguments(parser)
    add_text_arguments(parser)


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what comes out")
    group.add_argument(
        "--keep-best", metavar="SCORE", help="write the weights of the best test of this output"
    )
    group.add_argument(
        "--patience", type=positive, metavar="N", help="stop after N tests that were no better"
    )
    group.add_argument(
        "--snapshot-at", metavar="N,N", type=_numbers, default=(), help="further snapshots"
    )
    group.add_argument("--log", metavar="FILE", help="write Caffe's log; - for standard output")
    group.add_argument("--csv", metavar="FILE", type=Path, help="write what is displayed, as CSV")
    group.add_argument("--json", metavar="FILE", help="the same as JSON; - for standard output")
    group.add_argument("--plot", metavar="FILE.svg", type=Path, help="draw it, also .png or .pdf")
    group.add_argument("--tensorboard", metavar="DIR", help="write scalars for TensorBoard")


def _add_signals(parser: argparse.ArgumentParser) -> None:
    """As of ``caffe train``."""
    group = parser.add_argument_group("signals")
    effects = ("stop", "snapshot", "none")
    group.add_argument(
        "--sigint-effect", choices=effects, default="stop", help="default: stop, with a snapshot"
    )
    group.add_argument(
        "--sighup-effect", choices=effects, default="snapshot", help="default: snapshot"
    )


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"`{text}` is not FIELD=VALUE")
    return name, value


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(natural(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Open the nets, train, tell."""
    if args.plot:
        check_plot(args.plot)
    ranks = open_ranks(args)
    prefixes: list[str] = []

    def last() -> Path | None:
        return last_state(prefixes[0]) if prefixes else None

    with failing_together(ranks, last):
        with recorded() as found:
            solver = _opened(args, ranks)
        prefixes.append(solver.prefix)
        if ranks is None or ranks.rank == 0:
            _lead(solver, args, ranks, found)
        else:
            with _signals(solver, args):
                solver.solve()
    return 0


def _opened(args: argparse.Namespace, ranks: Group | None) -> Solver:
    with compiling() as progress:
        return Solver(
            args.solver,
            args.weights,
            args.snapshot,
            backend=args.backend,
            threads=threads_of(args, ranks),
            seed=args.seed,
            freeze=args.freeze,
            fields=dict(args.fields),
            state=NetState("TRAIN", args.level or 0, tuple(args.stage)),
            memory=args.memory,
            skip_broken=args.skip_broken,
            ranks=ranks,
            batch=args.batch,
            progress=progress,
            **reading(args),
        )


def _lead(
    solver: Solver, args: argparse.Namespace, ranks: Group | None, found: Sequence[ResolvedPath]
) -> None:
    """Train, and show and write what comes of it: the work of the only rank, or of rank 0."""
    print_diagnostics(solver.diagnostics)
    rows = EventRows()
    solver.listeners.append(rows)
    best = _watch(solver, args)
    with ExitStack() as stack:
        solver.listeners.append(stack.enter_context(Running(solver, quiet=_takes_output(args))))
        if args.log:
            log = stack.enter_context(_log(args.log, solver))
            solver.listeners.append(log)
            log_found(log, found)
            if ranks is not None:
                log.line("parallel.cpp:1", describe_batch(solver.batch, ranks, args.batch))
        if ranks is not None and not _takes_output(args):
            say(describe_batch(solver.batch, ranks, args.batch))
        if args.tensorboard:
            solver.listeners.append(stack.enter_context(TensorBoard(args.tensorboard)))
        stack.enter_context(_signals(solver, args))
        try:
            solver.solve()
        except BaseException:  # what was displayed tells how it came to this
            with suppress(NetcError):
                _write(rows, args)
            raise
    _write(rows, args)
    report_broken(solver.broken)
    if best is not None and best.value is not None and not _takes_output(args):
        say(f"best {best.score} {best.value:g} after {best.iteration} iterations: {best.path}")


def _write(rows: EventRows, args: argparse.Namespace) -> None:
    """What was displayed and tested, in the formats that were asked for."""
    if args.csv:
        rows.write_csv(args.csv)
    if args.json == "-":
        print_json(rows.rows)
    elif args.json:
        rows.write_json(Path(args.json))
    if args.plot:
        write_plot(args.plot, {args.solver: rows.rows})


def _takes_output(args: argparse.Namespace) -> bool:
    return "-" in (args.log, args.json)


def _watch(solver: Solver, args: argparse.Namespace) -> Best | None:
    if args.snapshot_at:
        solver.listeners.append(SnapshotsAt(solver, frozenset(args.snapshot_at)))
    if not (args.keep_best or args.patience):
        return None
    score = args.keep_best or "accuracy"
    path = f"{solver.prefix}_best.caffemodel" if args.keep_best else ""
    best = Best(solver, score, path, args.patience)
    solver.listeners.append(best)
    return best


@contextmanager
def _log(path: str, solver: Solver) -> Iterator[CaffeLog]:
    import sys

    if path == "-":
        yield CaffeLog(sys.stdout, solver.settings.display)
        return
    try:
        stream = open(path, "a", encoding="utf-8")
    except OSError as error:
        raise cannot_write(Path(path), error) from None
    with stream:
        yield CaffeLog(stream, solver.settings.display)


@contextmanager
def _signals(solver: Solver, args: argparse.Namespace) -> Iterator[None]:
    """Stop or write a snapshot at the end of the iteration in which a signal comes."""
    wanted = {signal.SIGINT: args.sigint_effect}
    if hasattr(signal, "SIGHUP"):
        wanted[signal.SIGHUP] = args.sighup_effect

    def handle(number: int, frame: FrameType | None) -> None:
        effect = wanted[signal.Signals(number)]
        if effect == "stop":
            solver.stop()
        elif effect == "snapshot":
            solver.ask_for_snapshot()

    before = {number: signal.signal(number, handle) for number in wanted}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
