"""``netc expand``: texts of the dialect as plain prototxt."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_text_arguments
from netc.cli.files import write_text
from netc.cli.output import print_text
from netc.cli.texts import STDIN, net_source
from netc.language.plain import plain_text
from netc.language.read import read_document
from netc.schema.load import load_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write the plain prototxt that a text with modules, loops and chains stands for "
        "(docs/language.md). What Caffe has no fields for is written as comments."
    )
    parser.add_argument("text", metavar="FILE", help="the text; - is standard input")
    parser.add_argument("-o", "--output", type=Path, metavar="NEW", help="default: standard output")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Expand a text."""
    folder = None if args.text == STDIN else Path(args.text).parent
    schema = load_schema(args.schema)
    document = read_document(net_source(args.text, schema), schema, dict(args.define), folder)
    text = plain_text(document)
    if args.output:
        write_text(args.output, text)
    else:
        print_text(text)
    return 0
