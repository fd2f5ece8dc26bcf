"""``netc prune-weights``: a net's own arrays and no others."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_text_arguments, add_weights_argument
from netc.cli.check import change_json
from netc.cli.output import print_json, say
from netc.cli.surgery import read_net_text, say_changes
from netc.report.figures import size
from netc.surgery.slim import prune_weights
from netc.weights import load_weights, save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write weights with the arrays of a net's layers alone, all phases, in the net's order; "
        "a .caffemodel carries the net's definition."
    )
    parser.add_argument("net", metavar="NET", help="prototxt; - is standard input")
    add_weights_argument(parser, needed=True)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW.caffemodel", required=True, help="the new weights"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every change")
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prune, write."""
    text, weights = read_net_text(args), load_weights(args.weights)
    made = prune_weights(text.message, weights)
    save_weights(args.output, made.weights, text.message)
    if args.json:
        facts = {"bytes_before": weights.nbytes, "bytes": made.weights.nbytes}
        changes = [change_json(change) for change in made.changes]
        print_json({"files": [str(args.output)], "changes": changes, **facts})
        return 0
    say_changes(made.changes, args.verbose)
    say(f"wrote {args.output}: {size(made.weights.nbytes)} of {size(weights.nbytes)}")
    return 0
