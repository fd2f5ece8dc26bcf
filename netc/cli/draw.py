"""``netc draw``: a net as a picture by Graphviz."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.files import write_text
from netc.cli.nets import add_net_arguments, inspect_net
from netc.cli.output import print_diagnostics, print_text, say
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.report.dot import Style, dot
from netc.report.graphviz import drawn, program

FORMATS = ("svg", "png", "pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="net.svg, net.png or net.pdf by Graphviz; net.dot needs none; "
        "default: Graphviz's text to standard output",
    )
    parser.add_argument("--direction", choices=("TB", "LR"), default="TB", help="default: TB")
    parser.add_argument("--no-fold", action="store_true", help="a box for each layer")
    parser.add_argument("--no-modules", action="store_true", help="no frames around modules")
    parser.add_argument("--no-shapes", action="store_true", help="no shapes on the edges")


def run(args: argparse.Namespace) -> int:
    """Draw; 1 if the net has an error."""
    kind = args.output.suffix[1:].lower() if args.output else "dot"
    if kind not in (*FORMATS, "dot", "gv"):
        raise NetcError(_bad_format(args.output))
    dot_program = program() if kind in FORMATS else ""
    inspection = inspect_net(args.net, args)
    print_diagnostics(inspection.diagnostics)
    style = Style(args.direction, not args.no_fold, not args.no_modules, not args.no_shapes)
    text = dot(inspection.profile, style)
    if not args.output:
        print_text(text)
    elif dot_program:
        picture = drawn(dot_program, kind, text)
        with replacing(args.output) as temporary:
            temporary.write_bytes(picture)
    else:
        write_text(args.output, text)
    if args.output:
        say(f"wrote {args.output}")
    return 0 if inspection.ok else 1


def _bad_format(path: Path) -> Diagnostic:
    listed = ", ".join(f".{kind}" for kind in (*FORMATS, "dot"))
    return Diagnostic(
        "image-format", f"`{path}` ends in none of {listed}", help=("name it net.svg, say",)
    )
