"""``netc time``: forward and backward pass of a net, layer by layer, like ``caffe time``."""

from __future__ import annotations

import argparse
import statistics

from netc.cli.arguments import add_text_arguments, add_weights_argument, reading
from netc.cli.logs import opened_log
from netc.cli.numbers import level, natural, positive
from netc.cli.options import add_backend_argument
from netc.cli.output import print_diagnostics, print_json, say
from netc.cli.progress import bar, compiling
from netc.lower.rules import NetState
from netc.solver.read import SolverReadOptions
from netc.solver.timing import PassTimer, Timing, log_times


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="a net's text")
    add_weights_argument(parser, "default: the fillers'", metavar="A,B")
    parser.add_argument(
        "--iterations", type=positive, default=50, metavar="N", help="passes (default: 50)"
    )
    parser.add_argument(
        "--phase", choices=("TRAIN", "TEST"), default="TRAIN", help="default: TRAIN"
    )
    parser.add_argument("--level", type=level, default=0, metavar="N", help="of the net's state")
    parser.add_argument("--stage", action="append", default=[], metavar="S", help="repeatable")
    add_backend_argument(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the cores")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of random choices")
    parser.add_argument("--log", metavar="FILE", help="write Caffe's log; - for standard output")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Time, and tell."""
    given = reading(args)
    with compiling() as progress:
        timer = PassTimer(
            args.net,
            args.weights.split(",") if args.weights else (),
            state=NetState(args.phase, args.level, tuple(args.stage)),
            backend=args.backend,
            threads=args.threads,
            seed=args.seed,
            reading=SolverReadOptions(given["define"], given["schema"]),
            progress=progress,
        )
    print_diagnostics(timer.diagnostics)
    with opened_log(args.log) as log, bar("timing") as shown:
        timing = timer.run(
            args.iterations,
            None if shown is None else lambda made: shown(made, args.iterations, ""),
        )
        if log is not None:
            log_times(log, timing)
    if args.json:
        print_json(_as_json(timing))
    elif args.log != "-":
        _print_timing(timing)
    return 0


def _print_timing(timing: Timing) -> None:
    say(
        f"{1e3 * statistics.median(timing.passes):.2f} ms a pass, forward and backward (median)", ""
    )
    say(f"{'forward':>9} {'backward':>9}  ms, layer")
    for layer in timing.layers:
        say(f"{1e3 * layer.forward:9.3f} {1e3 * layer.backward:9.3f}  {layer.name}")
    say(f"{1e3 * timing.forward:9.3f} {1e3 * timing.backward:9.3f}  all layers")


def _as_json(timing: Timing) -> dict[str, object]:
    return {
        "loss": timing.loss,
        "milliseconds": [1e3 * seconds for seconds in timing.passes],
        "layers": [
            {"name": name, "forward": 1e3 * forward, "backward": 1e3 * backward}
            for name, forward, backward in timing.layers
        ],
    }
