"""``netc new``: a net from the textbook's notation."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.files import write_text
from netc.cli.output import print_text
from netc.diagnostics import Source
from netc.language.format import format_text
from netc.language.notation import KINDS, Sizes, notation_text
from netc.language.plain import plain_text
from netc.language.read import read_document
from netc.schema.load import load_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write a net from the textbook's notation, such as "
        '"INPUT -> [[CONV -> RELU]*2 -> POOL?]*3 -> [FC -> RELU]*2 -> FC". '
        "Layers are " + ", ".join(KINDS) + "."
    )
    parser.add_argument("notation", metavar="NOTATION", help="layers with -> between, [ ]*N, ?")
    parser.add_argument(
        "--input", type=sizes, default=(3, 32, 32), metavar="CxHxW", help="default: 3x32x32"
    )
    parser.add_argument("--classes", type=classes, default=10, metavar="N", help="default: 10")
    parser.add_argument("--plain", action="store_true", help="write plain prototxt")
    parser.add_argument("-o", "--output", type=Path, metavar="NEW", help="default: standard output")


def sizes(text: str) -> Sizes:
    """``3x32x32`` as channels, height and width."""
    found = [
        int(p) if p.isdecimal() and len(p) < 8 else 0 for p in text.replace(",", "x").split("x")
    ]
    if len(found) != 3 or min(found) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not CxHxW, such as 3x32x32")
    return tuple(found)


def classes(text: str) -> int:
    """A number of classes."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of classes")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Write a net."""
    name = args.output.stem if args.output else "net"
    source = Source("new.netc", notation_text(args.notation, args.input, args.classes, name))
    text = format_text(source)
    if args.plain:
        text = plain_text(read_document(source, load_schema()))
    if args.output:
        write_text(args.output, text)
    else:
        print_text(text)
    return 0
