"""``netc plot``: a picture of runs, from their logs or rows."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.output import print_json, say
from netc.solver.plot import check_plot, write_plot
from netc.solver.read_log import read_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "logs", metavar="LOG", nargs="+", type=Path, help="Caffe's or netc's log, or .csv or .json"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help=".svg, .png or .pdf (default: the first log's name with .svg)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the rows as JSON in place of a picture"
    )


def run(args: argparse.Namespace) -> int:
    """Read the runs and draw them."""
    runs = {str(path): read_rows(path) for path in args.logs}
    if args.json:
        print_json([{"run": name, **row} for name, rows in runs.items() for row in rows])
        return 0
    output = args.output or args.logs[0].with_suffix(".svg")
    check_plot(output)
    write_plot(output, runs)
    say(f"wrote {output}")
    return 0
