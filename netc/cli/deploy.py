"""``netc deploy``: a training net as one for inference."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_shape_argument, add_text_arguments, add_weights_argument
from netc.cli.numbers import positive
from netc.cli.options import add_until_argument
from netc.cli.output import print_diagnostics
from netc.cli.surgery import Result, add_stage_arguments, arrow, read_net_text, shapes_of
from netc.cli.texts import UpgradedText
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import runnable
from netc.ir.types import Shape
from netc.lower.rules import NetState
from netc.surgery.beside import sizes_beside
from netc.surgery.data_sizes import sizes_of_data
from netc.surgery.deploy import Deployed, deploy
from netc.weights import load_weights
from netc.weights.match import assign
from netc.weights.model import Weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write the net for inference that a training net trains: data layers become inputs, "
        "SoftmaxWithLoss becomes Softmax, losses, scores and what they alone need go, and so do "
        "learning rates and fillers."
    )
    parser.add_argument("net", metavar="TRAIN.prototxt", help="the text; - is standard input")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DEPLOY", help="default: standard output"
    )
    add_weights_argument(
        parser, "trained weights: they tell an image's size and channels, and must fit the new net"
    )
    add_until_argument(parser, "give this blob back, and no other; repeatable")
    parser.add_argument(
        "--batch", metavar="N", type=positive, default=1, help="of the inputs (default: 1)"
    )
    add_shape_argument(parser)
    add_stage_arguments(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every change")
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")
    add_text_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Derive the net, see that it can run, write it."""
    text = read_net_text(args, written=False)
    weights = load_weights(args.weights) if args.weights else None
    state = NetState("TEST", args.level, tuple(args.stage)) if args.stage or args.level else None
    made, beside = _deployed(args, text, state, weights)
    graph = runnable(made.built)
    if weights is not None:
        assign(graph, weights)
    if not args.json:
        print_diagnostics((*beside, *made.diagnostics, *made.built.diagnostics))
    return Result(text, made.message, made.changes, arrow(graph), facts=shapes_of(graph)).finish(
        args
    )


def _deployed(
    args: argparse.Namespace, text: UpgradedText, state: NetState | None, weights: Weights | None
) -> tuple[Deployed, list[Diagnostic]]:
    """The derived net; sizes that its text lacks are looked for in its folder.

    A mean image or a database tells them, or a text to deploy.
    """
    given = dict(args.input_shape)

    def derived(shapes: dict[str, Shape]) -> Deployed:
        return deploy(
            text.message,
            state=state,
            inputs=shapes,
            until=args.until,
            batch=args.batch,
            weights=weights,
        )

    try:
        return derived(given), []
    except NetcError as error:
        if error.diagnostics[0].code != "unknown-input-shape" or args.net == "-":
            raise
        for search in (sizes_of_data, sizes_beside):
            found, told = search(Path(args.net), text.message)
            batched = {name: (args.batch, *shape[1:]) for name, shape in found.items()}
            if batched.keys() - given.keys():
                try:
                    return derived({**batched, **given}), told
                except NetcError:
                    continue
        raise
