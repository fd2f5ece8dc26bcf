"""What the commands that operate on nets share: reading, writing, telling.

Commands take ``NET W -o NEW.prototxt`` and write the new weights beside the new text, or where
``--weights-output`` says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netc.cli.arguments import add_output_arguments, add_text_arguments, add_weights_argument
from netc.cli.check import change_json
from netc.cli.files import check_weights_target, write_text
from netc.cli.output import print_json, print_text, say
from netc.cli.texts import UpgradedText, read_text
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph
from netc.ir.types import Shape, show
from netc.lower.rules import NetState
from netc.migrate.change import Change
from netc.schema.message import Message
from netc.surgery.printing import printed
from netc.weights import load_weights, save_weights
from netc.weights.model import Weights

_SHOWN = 8  # changes told without --verbose


def add_surgery_arguments(parser: argparse.ArgumentParser, weights: str = "needed") -> None:
    """The net, its weights ("needed", "optional" or "none"), and where the new ones go."""
    parser.add_argument("net", metavar="NET", help="prototxt; - is standard input")
    if weights != "none":
        add_weights_argument(parser, needed=weights != "optional")
    add_output_arguments(parser, weights=weights != "none")
    add_text_arguments(parser)


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """``--stage`` and ``--level``: which layers of the phase TEST are meant."""
    from netc.cli.numbers import level

    parser.add_argument("--level", type=level, default=0, metavar="N", help="of the net's state")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="S", help="of the net's state; repeatable"
    )


def test_state(args: argparse.Namespace) -> NetState:
    """The phase TEST with the stages and level that are given."""
    return NetState("TEST", args.level, tuple(args.stage))


def read_net_text(args: argparse.Namespace, *, written: bool = True) -> UpgradedText:
    """The net of the first argument, in the current format.

    Raises:
        NetcError: wrong-file, or it cannot be read, parsed, bound or upgraded.
    """
    text = read_text(args.net, args, written=written)
    if text.kind != "net":
        raise NetcError(Diagnostic("wrong-file", f"`{args.net}` is a {text.kind}, not a net"))
    return text


def weights_target(args: argparse.Namespace) -> Path | None:
    """Where the new weights go, None where there are none; it may be written.

    Raises:
        NetcError: file-exists, bad-argument where nothing says where they go.
    """
    if not args.weights:
        return None
    target: Path | None = args.weights_output
    if target is None and args.output is not None:
        target = args.output.with_suffix(".caffemodel")
    if target is None:
        message = "nothing says where the new weights go"
        help = "name the new text with --output, or the weights with --weights-output"
        raise NetcError(Diagnostic("bad-argument", message, help=(help,)))
    check_weights_target(target, args)
    return target


def given_weights(args: argparse.Namespace) -> Weights | None:
    """The weights of the second argument."""
    return load_weights(args.weights) if args.weights else None


class Result:
    """What an operation made, to be written and told.

    Args:
        text: of the old net.
        message: the new net.
        weights: the new weights, None where there are none to write.
        target: where those go.
        changes: what was done.
        last: what was made, in a few words.
        facts: more for ``--json``.
    """

    def __init__(
        self,
        text: UpgradedText,
        message: Message,
        changes: Sequence[Change],
        last: str = "",
        weights: Weights | Mapping[str, Any] | None = None,
        target: Path | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.text, self.message, self.changes = text, message, tuple(changes)
        self.weights, self.target, self.last = weights, target, last
        self.facts = dict(facts or {})

    def finish(self, args: argparse.Namespace) -> int:
        """Write all files, and tell what was done."""
        new = printed(self.text.message, self.message, self.text.changes)
        if self.target is not None and self.weights is not None:
            save_weights(self.target, self.weights, self.message)
        if args.output:
            write_text(args.output, new)
        elif not args.json:
            print_text(new)
        self._tell(args)
        return 0

    def _tell(self, args: argparse.Namespace) -> None:
        files = [str(path) for path in (args.output, self.target) if path]
        if args.json:
            changes = [change_json(change) for change in self.changes]
            print_json({"net": args.net, "files": files, "changes": changes, **self.facts})
            return
        stream = sys.stdout if args.output else sys.stderr  # the text itself may go there
        say_changes(self.changes, args.verbose, stream)
        if files or self.last:
            wrote = f"wrote {' and '.join(files)}" if files else "done"
            say(f"{wrote}: {self.last}" if self.last else wrote, stream=stream)


def say_changes(changes: Sequence[Change], verbose: bool, stream: Any = None) -> None:
    """What was done, line by line; without ``verbose`` the first ones alone."""
    shown = changes if verbose or len(changes) <= _SHOWN + 1 else changes[:_SHOWN]
    for change in shown:
        say(f"{change.span}: {change.message}" if change.span else change.message, stream=stream)
    if len(shown) < len(changes):
        say(f"... and {len(changes) - len(shown)} more; --verbose tells them", stream=stream)


def shapes_of(graph: Graph) -> dict[str, dict[str, Shape | None]]:
    """Inputs and outputs with their shapes."""
    return {
        "inputs": {graph.values[n].blob: graph.values[n].shape for n in graph.inputs},
        "outputs": {n: graph.values[n].shape for n in graph.outputs},
    }


def arrow(graph: Graph) -> str:
    """``data 1x3x227x227 -> prob 1x1000``."""
    sides = (
        ", ".join(f"{name} {show(shape)}" for name, shape in side.items())
        for side in shapes_of(graph).values()
    )
    return " -> ".join(sides)
