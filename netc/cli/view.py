"""``netc view``: a net as one HTML page."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from netc.cli.files import write_text
from netc.cli.nets import add_net_arguments, inspect_net
from netc.cli.output import print_diagnostics, say
from netc.cli.texts import STDIN
from netc.report.page import page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_net_arguments(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE.html", type=Path, help="default: the net's name with .html"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the page; 1 if the net has an error, which leaves figures out."""
    inspection = inspect_net(args.net, args)
    print_diagnostics(inspection.diagnostics)
    name = "net" if args.net == STDIN else Path(args.net).stem
    target: Path = args.output or Path(f"{name}.html")
    write_text(target, page(inspection.profile, name, inspection.built.messages))
    say(f"wrote {target}")
    if args.open:
        webbrowser.open(target.resolve().as_uri())
    return 0 if inspection.ok else 1
