"""``netc upgrade``: old texts and weights in the current format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from netc.cli.arguments import add_output_arguments, add_text_arguments, add_weights_argument
from netc.cli.check import change_json
from netc.cli.files import check_weights_target, write_text
from netc.cli.output import print_diagnostics, print_json, print_text, say
from netc.cli.texts import UpgradedText, left_out, read_text, source_of
from netc.diagnostics import Diagnostic, NetcError
from netc.migrate.change import Change
from netc.schema.convert import to_document
from netc.syntax.moved import in_written_order, print_moved
from netc.syntax.printer import print_document

_SHOWN = 3  # changes of a kind, without --verbose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write a net or solver of any older format, and the net's weights, in the current one, "
        "and tell what changed. Weights alone are upgraded where no text is given."
    )
    parser.add_argument(
        "text", metavar="OLD.prototxt", help="the text; - is standard input; or weights alone"
    )
    add_weights_argument(parser, "its weights", metavar="OLD.caffemodel")
    add_output_arguments(parser, "NEW")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Upgrade a text, and weights where they are given."""
    problem = _usage_problem(args)
    if problem:
        say(f"netc upgrade: error: {problem}", stream=sys.stderr)
        return 2
    target = _weights_target(args)
    if target:
        check_weights_target(target, args)
    alone = args.output and not target
    try:
        if target or (alone and _names_weights(args.output)):
            _check_no_weights(args.text)
        old = read_text(args.text, args, written=True)
    except NetcError as error:
        if alone and error.diagnostics[0].code == "swapped-arguments":
            return _upgrade_alone(args)
        raise
    if old.kind != "net" and target:
        raise NetcError(Diagnostic("wrong-file", f"`{args.text}` is a {old.kind}, with no weights"))
    new = _printed(old)
    if target:
        old = _upgrade_weights(args.weights, target, old)
    if args.output:
        write_text(args.output, new)
    elif not args.json:
        print_text(new)
    _print_upgrade(args, old, target, new)
    return 0


def _printed(old: UpgradedText) -> str:
    """The new text; of one that was in the current format the old one, in canonical form."""
    if not old.changes:
        return print_document(old.document)
    document = to_document(old.message)
    if not any(change.step in ("v0", "v1") for change in old.changes):
        document = in_written_order(document)
    return print_moved(document)


def _usage_problem(args: argparse.Namespace) -> str:
    if args.weights_output and not args.weights:
        return "--weights-output needs the old weights"
    if args.weights and not (args.output or args.weights_output):
        return "say where the weights go, with --output or --weights-output"
    return ""


def _check_no_weights(text: str) -> None:
    """A caffemodel is read as the net it is of only where a text can be meant.

    Raises:
        NetcError: swapped-arguments, where it stands for the text beside weights, or weights are
            to be written.
    """
    if text.endswith(".caffemodel"):  # others are refused by read_text
        source_of(text)


def _weights_target(args: argparse.Namespace) -> Path | None:
    if not args.weights:
        return None
    target: Path = args.weights_output or args.output.with_suffix(".caffemodel")
    return target


def _upgrade_weights(path: str, target: Path, text: UpgradedText) -> UpgradedText:
    """Write the weights; what changed in them comes after the text's own changes."""
    from netc.weights import upgrade_weights

    upgraded = upgrade_weights(path, target, text.message)
    print_diagnostics(upgraded.diagnostics)
    return text._replace(changes=text.changes + upgraded.changes)


def _names_weights(path: Path) -> bool:
    from netc.weights.bytefile import SUFFIXES

    return path.suffix in SUFFIXES


def _upgrade_alone(args: argparse.Namespace) -> int:
    """Write weights that no text was given with."""
    from netc.weights import upgrade_weights

    upgraded = upgrade_weights(args.text, args.output)
    changes = [change_json(change) for change in upgraded.changes]
    if args.json:
        print_json(
            {"file": args.text, "kind": "weights", "changes": changes, "output": str(args.output)}
        )
        return 0
    print_diagnostics((*upgraded.diagnostics, *left_out(upgraded.changes)))
    reported = [change for change in upgraded.changes if not change.lossy]
    if not reported:
        say(f"{args.text}: these weights are in the current format already")
    for _, group in groupby(reported, key=lambda change: change.step):
        for line in _lines(list(group), args.verbose):
            say(line)
    say(f"wrote {args.output}")
    return 0


def _print_upgrade(
    args: argparse.Namespace, old: UpgradedText, target: Path | None, new: str
) -> None:
    if args.json:
        print_json(_as_json(args, old, target, new))
        return
    print_diagnostics(left_out(old.changes))
    # The report must not get into a text that goes to standard output.
    stream = sys.stdout if args.output else sys.stderr
    for line in _report(args, old, target):
        say(line, stream=stream)


def _report(args: argparse.Namespace, old: UpgradedText, target: Path | None) -> Iterator[str]:
    reported = [change for change in old.changes if not change.lossy]
    if not old.changes:
        yield f"{old.document.source.name}: this {old.kind} is in the current format already"
    for _, group in groupby(reported, key=lambda change: change.step):
        yield from _lines(list(group), args.verbose)
    for path in filter(None, (args.output, target)):
        yield f"wrote {path}"


def _lines(changes: Sequence[Change], verbose: bool) -> Iterator[str]:
    shown = changes if verbose or len(changes) == _SHOWN + 1 else changes[:_SHOWN]
    for change in shown:
        yield f"{change.span}: {change.message}" if change.span else change.message
    if len(shown) < len(changes):
        rest = len(changes) - len(shown)
        yield f"  ... and {rest} more of this kind (--verbose tells all)"


def _as_json(
    args: argparse.Namespace, old: UpgradedText, target: Path | None, new: str
) -> dict[str, object]:
    out: dict[str, object] = {
        "file": old.document.source.name,
        "kind": old.kind,
        "changes": [change_json(change) for change in old.changes],
    }
    if args.output:
        out["output"] = str(args.output)
    else:
        out["text"] = new
    return out | ({"weights_output": str(target)} if target else {})
