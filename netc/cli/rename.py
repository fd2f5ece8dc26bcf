"""``netc rename``: layers and blobs under other names."""

from __future__ import annotations

import argparse

from netc.cli.surgery import (
    Result,
    add_surgery_arguments,
    given_weights,
    read_net_text,
    weights_target,
)
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.surgery.names import rename


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Rename layers and blobs wherever a net of any phase names them, and the layers of its "
        "weights. A * in the old name stands for any text, which a * in the new one repeats."
    )
    add_surgery_arguments(parser, "optional")
    for what in ("layer", "blob"):
        parser.add_argument(
            f"--{what}",
            metavar="OLD=NEW",
            type=_pair,
            action="append",
            default=[],
            help=f"rename a {what}, such as {what[0]}1=first or '*=trunk/*'; repeatable",
        )
    parser.add_argument(
        "--both",
        metavar="OLD=NEW",
        type=_pair,
        action="append",
        default=[],
        help="rename a layer and the blob of its name; repeatable",
    )


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals or not new or max(old.count("*"), new.count("*")) > 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not OLD=NEW, with at most one * in each")
    if "*" in new and "*" not in old:
        raise argparse.ArgumentTypeError(f"`{text}` has a * in the new name alone")
    return old, new


def run(args: argparse.Namespace) -> int:
    """Rename, write."""
    if not (args.layer or args.blob or args.both):
        message = "nothing says what to rename: --layer, --blob or --both OLD=NEW"
        raise NetcError(Diagnostic("bad-argument", message))
    text, target = read_net_text(args), weights_target(args)
    made = rename(
        text.message,
        given_weights(args),
        layers=(*args.layer, *args.both),
        blobs=(*args.blob, *args.both),
    )
    last = counted(len(made.changes), "name") + " changed"
    return Result(text, made.message, made.changes, last, made.weights, target).finish(args)
