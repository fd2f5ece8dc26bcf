"""``netc half``: weights as 16-bit floats, which other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.output import print_diagnostics, print_json, say
from netc.frontend import read_net
from netc.report.figures import size
from netc.surgery.slim import halved
from netc.weights import load_weights
from netc.weights.definitions import copied_definitions, wire_definitions
from netc.weights.load import write_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write weights as 16-bit floats: in a .caffemodel as NVIDIA's Caffe and OpenCV have them "
        "(raw_data of type FLOAT16), in .h5 and .npz as float16. Statistics of BatchNorm stay "
        "32-bit."
    )
    parser.add_argument("weights", metavar="W", help=".caffemodel, .h5 or .npz")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="HALF", required=True, help=".caffemodel, .h5 or .npz"
    )
    parser.add_argument(
        "--net", metavar="NET", help="the net, whose definition a .caffemodel is to carry"
    )
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Round, write, tell what was lost."""
    weights = load_weights(args.weights)
    made = halved(weights)
    definitions = wire_definitions(read_net(args.net).message) if args.net else None
    if definitions is None and weights.generation == "V2":
        definitions = copied_definitions(args.weights)
    write_weights(args.output, made.weights, definitions, half=True)
    before, after = Path(args.weights).stat().st_size, args.output.stat().st_size
    if args.json:
        lost = {"numbers": made.number, "became_zero": made.lost, "relative_change": made.largest}
        sizes = {"bytes_before": before, "bytes": after}
        print_json({"files": [str(args.output)], **sizes, **lost})
        return 0
    print_diagnostics(weights.diagnostics)
    zero = f", {made.lost:,} of {made.number:,} became 0" if made.lost else ""
    change = f"numbers changed by at most {made.largest:.1g} of themselves{zero}"
    say(f"wrote {args.output}: {size(after)} of {size(before)}; {change}")
    return 0
