"""``netc test``: score a net with its weights on the data its layers name, like ``caffe test``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from netc.cli.arguments import add_text_arguments, add_weights_argument, reading
from netc.cli.logs import opened_log
from netc.cli.numbers import level, natural, positive
from netc.cli.options import add_backend_argument
from netc.cli.output import print_diagnostics, print_json, report_broken, say
from netc.cli.progress import bar, compiling
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.report.table import Column, Row, Table, print_table
from netc.solver.average_precision import VERSIONS, Classes, mean_precision
from netc.solver.log import CaffeLog, log_found
from netc.solver.read import SolverReadOptions
from netc.solver.rows import flattened
from netc.solver.testing import Scores, Tester, log_batch, log_scores
from netc.sources.paths import recorded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="a net's text with data layers in phase TEST")
    add_weights_argument(parser, "A,B: later files over earlier", metavar="A,B", needed=True)
    parser.add_argument(
        "--iterations", type=positive, default=50, metavar="N", help="batches (default: 50)"
    )
    add_backend_argument(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the cores")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of random choices")
    parser.add_argument("--level", type=level, default=0, metavar="N", help="of the net's state")
    parser.add_argument("--stage", action="append", default=[], metavar="S", help="repeatable")
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out records that cannot be read"
    )
    parser.add_argument("--log", metavar="FILE", help="write Caffe's log; - for standard output")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Score, and tell the means."""
    given = reading(args)
    with compiling() as progress, recorded() as found:
        tester = Tester(
            args.net,
            args.weights.split(","),
            state=NetState("TEST", args.level, tuple(args.stage)),
            backend=args.backend,
            threads=args.threads,
            seed=args.seed,
            reading=SolverReadOptions(given["define"], given["schema"]),
            progress=progress,
            skip_broken=args.skip_broken,
        )
    print_diagnostics(tester.net.diagnostics)
    with opened_log(args.log) as log:
        if log is not None:
            log_found(log, found)
            log.line("caffe.cpp:281", f"Running for {args.iterations} iterations.")
        scores = _scored(tester, args.iterations, log)
        if log is not None:
            log_scores(log, scores)
    report_broken(tester.broken)
    if args.json:
        print_json(_as_json(scores, args.iterations))
    elif args.log != "-":
        _print_scores(scores, args.iterations)
    return 0


def _scored(tester: Tester, passes: int, log: CaffeLog | None) -> Scores:
    with bar("testing") as shown:

        def on_batch(number: int, made: Mapping[str, Array]) -> None:
            if log is not None:
                log_batch(log, number, made)
            if shown is not None:
                shown(number + 1, passes, "")

        return tester.score(passes, on_batch)


def _print_scores(scores: Scores, passes: int) -> None:
    for name, classes in scores.classes.items():
        say(f"average precision of {name}, of {passes} batches:")
        print_table(_precisions(classes), sys.stdout)
    for name, rows in scores.rows.items():
        say(f"{name} {rows} rows; a list of what was found has no mean")
    for name, value in flattened(_plain(scores)).items():
        weight = scores.weights.get(name.partition("[")[0], 0)
        said = f"  (* {weight:g} in the loss)" if weight else ""
        say(f"{name} {value:.6g}{said}")
    say(f"loss {scores.loss:.6g} in all, means over {passes} batches")


def _as_json(scores: Scores, passes: int) -> dict[str, object]:
    found: dict[str, object] = {
        "iterations": passes,
        "loss": scores.loss,
        "means": flattened(_plain(scores)),
    }
    if scores.classes:
        found["average_precision"] = {n: _by_class(of) for n, of in scores.classes.items()}
    if scores.rows:
        found["rows"] = dict(scores.rows)
    return found


def _plain(scores: Scores) -> Mapping[str, Array]:
    """Means that are not average precisions."""
    return {name: mean for name, mean in scores.means.items() if name not in scores.classes}


def _by_class(classes: Classes) -> dict[str, object]:
    by_class = {
        str(label): {"true_boxes": one.true_boxes, "detections": one.detections, **one.precisions}
        for label, one in classes.items()
    }
    return {"classes": by_class, "mean": {v: mean_precision(classes, v) for v in VERSIONS}}


def _precisions(classes: Classes) -> Table:
    """A row for each class, and their mean."""
    titles = ("true boxes", "detections", *VERSIONS)
    columns = (Column("class"), *(Column(title, right=True) for title in titles))
    rows = [
        Row((str(i), str(one.true_boxes), str(one.detections), *_digits(one.precisions)))
        for i, one in classes.items()
    ]
    means = _digits({v: mean_precision(classes, v) for v in VERSIONS})
    return Table(columns, (*rows, Row(("mean", "", "", *means), "total")))


def _digits(precisions: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(f"{precisions[version]:.4f}" for version in VERSIONS)
