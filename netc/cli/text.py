"""``netc text``: the net that a caffemodel carries, as prototxt."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_text_arguments
from netc.cli.files import write_text
from netc.cli.output import print_json, print_text, say
from netc.frontend import read_net
from netc.schema.load import load_schema
from netc.weights.definitions import definition_text, has_definition
from netc.weights.faults import fault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write the text of the net that a .caffemodel was saved from, in the current format. Its "
        "layers are those of the phase it was saved in; `netc deploy` makes it one for inference."
    )
    parser.add_argument("weights", metavar="W.caffemodel", help="the weights")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NET.prototxt", help="default: standard output"
    )
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read the definition, write its text."""
    if not args.weights.endswith((".h5", ".hdf5", ".npz")) and has_definition(args.weights):
        source = definition_text(args.weights, load_schema(args.schema).message("NetParameter"))
    else:
        raise fault(
            "no-definition",
            args.weights,
            "these weights carry names and arrays alone, no definition of the net",
            "a .caffemodel that Caffe saved has one; `netc summary` tells names and shapes",
        )
    number = len(read_net(source, tolerant=True).message.get("layer"))
    if args.output:
        write_text(args.output, source.text)
    elif not args.json:
        print_text(source.text)
    if args.json:
        print_json({"files": [str(args.output)] if args.output else [], "layers": number})
    elif args.output:
        say(f"wrote {args.output}: {number} layers")
    return 0
