"""``netc compare``: two nets side by side."""

from __future__ import annotations

import argparse
import sys

from netc.cli.nets import add_net_arguments, inspect_net
from netc.cli.output import print_diagnostics, print_json, say
from netc.report.compare import Comparison, Status, compare, table, to_json, totals
from netc.report.table import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser, "a")
    parser.add_argument("b", metavar="B", help="the other net")
    parser.add_argument("--all", action="store_true", help="also layers that are the same")
    parser.add_argument(
        "--exit-code", action="store_true", help="exit with 1 where the nets differ, as diff does"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Print what differs, then the totals; 1 if a net has an error."""
    first, second = inspect_net(args.a, args), inspect_net(args.b, args)
    found = (*first.diagnostics, *second.diagnostics)
    result = compare(first.profile, second.profile)
    if args.json:
        print_json({**to_json(result), "diagnostics": [d.to_json() for d in found]})
    else:
        print_diagnostics(found)
        _print(args, result)
    wanted = result.equal or not args.exit_code
    return 0 if first.ok and second.ok and wanted else 1


def _print(args: argparse.Namespace, result: Comparison) -> None:
    say(f"A: {args.a}", f"B: {args.b}", "")
    shown = table(result, args.all)
    if shown.rows:
        print_table(shown, sys.stdout)
        say()
    say(_counts(result), "")
    print_table(totals(result, ("A", "B")), sys.stdout)


def _counts(result: Comparison) -> str:
    if result.equal:
        return f"the nets have the same {len(result.pairs)} layers"
    statuses: tuple[Status, ...] = ("added", "removed", "changed", "renamed", "same")
    counts = [f"{number} {status}" for status in statuses if (number := result.count(status))]
    return "layers: " + ", ".join(counts)
