"""``netc fmt``: texts in canonical form."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from netc.cli.files import write_text
from netc.cli.output import print_diagnostics, print_text, say
from netc.cli.texts import STDIN, source_of
from netc.diagnostics import NetcError, Source
from netc.files import keeping
from netc.language.format import format_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Print texts in canonical form: plain ones with one field a line, those with chains and "
        "modules with their line breaks kept. Without a further option the result goes to standard "
        "output and no file is changed."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="prototxt; - is standard input")
    parser.add_argument(
        "--check", action="store_true", help="only name the files that would change"
    )
    parser.add_argument("--diff", action="store_true", help="show what would change")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-w", "--write", action="store_true", help="rewrite the files themselves")
    where.add_argument("-o", "--output", type=Path, metavar="NEW", help="write one file to NEW")
    where.add_argument("--stdout", action="store_true", help="print (as without an option)")


def run(args: argparse.Namespace) -> int:
    """Format each file; 1 if one has a mistake, or would change with --check or --diff."""
    if args.output and len(args.files) > 1:
        say("netc fmt: error: --output takes one file; --write rewrites several", stream=sys.stderr)
        return 2
    return max([_format(path, args) for path in args.files])


def _format(path: str, args: argparse.Namespace) -> int:
    try:
        source = source_of(path)
        text = format_text(source)
    except NetcError as error:
        print_diagnostics(error.diagnostics)
        return 1
    if args.check or args.diff:
        return _compare(source, text, args)
    _deliver(path, source, text, args)
    return 0


def _compare(source: Source, text: str, args: argparse.Namespace) -> int:
    if source.text == text:
        return 0
    if args.check:
        say(f"{source.name}: would change")
    if args.diff:
        old, new = source.text.splitlines(), text.splitlines()
        name = source.name
        lines = difflib.unified_diff(old, new, name, f"{name} (formatted)", lineterm="")
        print_text("".join(f"{line}\n" for line in lines))
    return 1


def _deliver(path: str, source: Source, text: str, args: argparse.Namespace) -> None:
    if args.output:
        write_text(args.output, text)
    elif args.write and path != STDIN:
        if source.text != text:
            with keeping(()):  # the file itself is what is to be rewritten
                write_text(Path(path), text)
            say(f"{path}: formatted", stream=sys.stderr)
    else:
        print_text(text)
