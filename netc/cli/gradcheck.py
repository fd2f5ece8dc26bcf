"""``netc gradcheck``: the gradients of a net against finite differences."""

from __future__ import annotations

import argparse
import sys

from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
    chosen_state,
)
from netc.cli.nets import net_message
from netc.cli.numbers import above_zero, natural, positive
from netc.cli.output import print_json, say
from netc.cli.progress import bar
from netc.frontend import folder_of
from netc.gradcheck import check_message
from netc.report.table import Column, Row, Table, print_table
from netc.train.gradcheck import Checked, GradientCheck


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="FILE", help="prototxt; - is standard input")
    add_weights_argument(parser, "else fillers, and random numbers")
    add_state_arguments(parser)
    parser.set_defaults(phase="TRAIN")
    add_shape_argument(parser)
    parser.add_argument(
        "--elements", metavar="N", type=positive, default=24, help="of each array, at most"
    )
    parser.add_argument(
        "--tolerance", metavar="X", type=above_zero, default=1e-4, help="largest relative error"
    )
    parser.add_argument(
        "--seed", metavar="N", type=natural, default=0, help="of all that is random"
    )
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Print a row for each blob and parameter; exit code 1 where a gradient is wrong."""
    with bar("comparing") as progress:
        found = check_message(
            net_message(args.net, args),
            args.weights,
            **chosen_state(args),
            inputs=dict(args.input_shape),
            elements=args.elements,
            tolerance=args.tolerance,
            seed=args.seed,
            folder=folder_of(args.net),
            progress=progress,
        )
    if args.json:
        print_json(found.to_json())
    else:
        _print_check(found)
    return 0 if found.ok else 1


_COLUMNS = (
    Column("gradient of"),
    Column("checked", right=True),
    Column("kinks", right=True),
    Column("error", right=True),
    Column("at", right=True),
    Column("gradient", right=True),
    Column("difference", right=True),
    Column(""),
)


def _print_check(found: GradientCheck) -> None:
    print_table(Table(_COLUMNS, tuple(map(_row, found.rows))), sys.stdout)
    notes = dict.fromkeys(row.note for row in found.rows if row.note and not row.ok)
    for note in notes:
        say(f"as Caffe: {note}")
    wrong = sum(not row.ok and not row.note for row in found.rows)
    total = len(found.rows)
    verdict = f"{wrong} of {total} gradients are wrong"
    say(verdict if wrong else f"all {total} gradients are right")


def _row(row: Checked) -> Row:
    verdict = "ok" if row.ok else "as Caffe" if row.note else "WRONG"
    return Row(
        (
            row.name,
            str(row.elements),
            str(row.kinks),
            f"{row.error:.1e}",
            ",".join(map(str, row.at)),
            f"{row.gradient:.5g}",
            f"{row.difference:.5g}",
            verdict,
        )
    )
