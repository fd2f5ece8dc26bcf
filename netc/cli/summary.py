"""``netc summary``: a net's layers with what they make, cost and see."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from netc.cli.arguments import reading
from netc.cli.nets import Inspection, add_net_arguments, inspect_net, inspection_of
from netc.cli.numbers import natural
from netc.cli.output import print_diagnostics, print_json, print_text, say
from netc.cli.texts import read_text
from netc.diagnostics import Diagnostic, NetcError
from netc.report.figures import size
from netc.report.summary import CSV_NAMES, csv_rows, table, to_json, totals
from netc.report.table import as_csv, markdown, print_table

if TYPE_CHECKING:
    from netc.report.memory import NetMemory, Use
    from netc.report.training import TrainingMemory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser)
    parser.add_argument(
        "--depth", metavar="N", type=natural, help="fold modules N deep into one line; 0 for totals"
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="what Caffe prints, what netc plans, what the weights take",
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="what training takes of memory; NET may be a solver's prototxt",
    )
    parser.add_argument(
        "--budget", metavar="SIZE", type=_size, help="which batch fits, as in 12GB or 8GiB"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the result as JSON")
    form.add_argument("--csv", action="store_true", help="one line a layer, exact numbers")
    form.add_argument("--markdown", action="store_true", help="a table for a README")


def _size(text: str) -> int:
    from netc.report.memory import parse_size

    try:
        return parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is no size, such as 12GB or 8GiB") from None


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if the net has an error, which leaves figures out."""
    inspection, training = _inspected(args)
    used = _memory(args, inspection)
    uses = _uses(args, inspection)
    if args.json:
        print_json(_as_json(args, inspection, used, uses) | _training_json(training))
        return 0 if inspection.ok else 1
    print_diagnostics(inspection.diagnostics)
    if args.csv:
        print_text(as_csv(CSV_NAMES, csv_rows(inspection.profile, args.depth)))
    elif args.markdown:
        print_text(markdown(table(inspection.profile, args.depth)))
    else:
        _print(args, inspection)
    for line in (*_memory_lines(used), *_training_lines(training), *_use_lines(args.budget, uses)):
        say(line, stream=sys.stderr if args.csv else sys.stdout)
    return 0 if inspection.ok else 1


def _inspected(args: argparse.Namespace) -> tuple[Inspection, TrainingMemory | None]:
    """The net, and what training takes of memory where that is asked for."""
    if not args.train:
        return inspect_net(args.net, args), None
    # Planning and solvers take longer to import than a summary without them takes.
    from netc.ops.update_rules import UpdateRule
    from netc.report.training import training_memory
    from netc.solver.forecast import forecast
    from netc.solver.read import SolverReadOptions
    from netc.train.step import Updating

    args.phase = "TRAIN"
    if read_text(args.net, args).kind == "solver":
        found = forecast(args.net, SolverReadOptions(**reading(args)), dict(args.input_shape))
        return inspection_of(found.built), found.memory()
    inspection = inspect_net(args.net, args)
    _must_be_complete(inspection, "--train")
    return inspection, training_memory(inspection.profile.graph, Updating(UpdateRule("SGD", 0.9)))


def _training_json(used: TrainingMemory | None) -> dict[str, object]:
    if used is None:
        return {}
    from netc.cli.training import training_json

    return training_json(used)


def _training_lines(used: TrainingMemory | None) -> list[str]:
    if used is None:
        return []
    from netc.cli.training import training_lines

    return training_lines(used)


def _memory(args: argparse.Namespace, inspection: Inspection) -> NetMemory | None:
    if not args.memory:
        return None
    _must_be_complete(inspection, "--memory")
    from netc.report.memory import memory

    return memory(inspection.profile.graph)


def _uses(args: argparse.Namespace, inspection: Inspection) -> tuple[Use, ...]:
    if args.budget is None:
        return ()
    _must_be_complete(inspection, "--budget")
    from netc.report.memory import budget

    return budget(inspection.profile.graph, args.budget)


def _must_be_complete(inspection: Inspection, option: str) -> None:
    if inspection.profile.complete:
        return
    print_diagnostics(inspection.diagnostics)
    message = f"`{option}` needs the shapes of all layers, and some are unknown"
    help = "say the inputs' shapes with --input-shape, or remove what is unknown"
    raise NetcError(Diagnostic("unknown-shape", message, help=(help,)))


def _print(args: argparse.Namespace, inspection: Inspection) -> None:
    graph = inspection.profile.graph
    say(f"{graph.name or args.net}, phase {graph.phase}{_batch(inspection.profile.batch)}", "")
    if args.depth != 0:
        print_table(table(inspection.profile, args.depth), sys.stdout)
        say()
    for line in totals(inspection.profile):
        say(line)


def _batch(batch: int | None) -> str:
    if batch is None:
        return ""
    return f", batch {batch}" + (": figures are of the whole batch" if batch > 1 else "")


def _memory_lines(used: NetMemory | None) -> list[str]:
    if used is None:
        return []
    planned = "cannot be planned: sizes follow from what is fed"
    if used.planned is not None:
        planned = f"{size(used.planned)} at once (the least for its steps: "
        planned += f"{size(used.floor)})"
    return [
        "",
        "memory of the batch",
        f"  Caffe prints     {size(used.caffe)}: `Memory required for data: {used.caffe}`",
        "                   every top, those in place and split ones again; no weights",
        f"  planned by netc  {planned}",
        f"  weights          {size(used.weights)}",
    ]


def _use_lines(limit: int | None, uses: tuple[Use, ...]) -> list[str]:
    if limit is None:
        return []
    from netc.report.memory import MAX_BATCH

    out = ["", f"largest batch in {size(limit)}"]
    for use in uses:
        batch = "the net fixes its batch" if use.batch is None else f"{use.batch:,}"
        if use.batch == MAX_BATCH:
            batch += " or more"
        out.append(f"  {use.name:16} {batch}")
        out.append(f"                   {size(use.each)} an image, {size(use.fixed)} besides:")
        out.append(f"                   {use.counted}")
    return out


def _as_json(
    args: argparse.Namespace, inspection: Inspection, used: NetMemory | None, uses: tuple[Use, ...]
) -> dict[str, object]:
    out = to_json(inspection.profile, args.depth)
    if used is not None:
        out["memory"] = {
            "caffe_bytes": used.caffe,
            "planned_bytes": used.planned,
            "planned_floor_bytes": used.floor,
            "weight_bytes": used.weights,
        }
    if args.budget is not None:
        out["budget"] = {
            "bytes": args.budget,
            "uses": [
                {"name": u.name, "fixed_bytes": u.fixed, "image_bytes": u.each, "batch": u.batch}
                for u in uses
            ],
        }
    return out | {"diagnostics": [d.to_json() for d in inspection.diagnostics]}
