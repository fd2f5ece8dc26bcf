"""``netc collapse``: old nets as short texts, with modules and loops for what repeats."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from netc.cli.arguments import add_text_arguments
from netc.cli.files import write_text
from netc.cli.output import print_diagnostics, print_text, say
from netc.cli.texts import STDIN, left_out, source_of, upgraded_text
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.language.collapse import collapse
from netc.language.read import read_document
from netc.schema.convert import to_document
from netc.schema.load import Schema, load_schema
from netc.syntax.ast import Document
from netc.syntax.comments import comments_of
from netc.syntax.moved import in_written_order, print_moved


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Find what repeats in a net and write it with modules, loops and chains "
        "(docs/language.md). `netc expand` gives the old net back: the same layers with the same "
        "names and parameters in the same order, which is checked. Of comments only those at the "
        "head of the text are kept."
    )
    parser.add_argument("text", metavar="OLD.prototxt", help="the net; - is standard input")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW.netc", help="default: standard output"
    )
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Collapse a net."""
    folder = None if args.text == STDIN else Path(args.text).parent
    source, schema = source_of(args.text), load_schema(args.schema)
    document = read_document(source, schema, dict(args.define), folder)
    found = collapse(_current(document, schema), schema)
    text = _head(document) + found.text
    if args.output:
        write_text(args.output, text)
        _print_sizes(args, source.text, text, found.modules)
    else:
        print_text(text)
    return 0


def _current(document: Document, schema: Schema) -> Document:
    """The net in the current format, which alone has the words that modules are written in.

    Raises:
        NetcError: wrong-file, where it is no net; or what binding or upgrading it raises.
    """
    text = upgraded_text(document, schema, written=True)
    if text.kind != "net":
        name = document.source.name
        raise NetcError(Diagnostic("wrong-file", f"`{name}` is a {text.kind}, not a net"))
    if not text.changes:
        return document
    print_diagnostics(left_out(text.changes))
    upgraded = print_moved(in_written_order(to_document(text.message)))
    return read_document(Source(document.source.name, upgraded), schema)


def _head(document: Document) -> str:
    """The comments before the net's first field."""
    first = document.fields[0].span.start if document.fields else len(document.source.text)
    lines = [c.text for c in comments_of(document.source) if c.alone and c.start < first]
    return "".join(f"{line}\n" for line in lines) + ("\n" if lines else "")


def _print_sizes(args: argparse.Namespace, old: str, new: str, modules: int) -> None:
    before, after = len(old.splitlines()), len(new.splitlines())
    many = f", with {modules} module{'' if modules == 1 else 's'}" if modules else ""
    say(f"wrote {args.output}: {after} lines for {before}{many}", stream=sys.stderr)
