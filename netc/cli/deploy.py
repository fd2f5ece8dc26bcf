"""``netc deploy``: a training net as one for inference."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_shape_argument, add_text_arguments, add_weights_argument
from netc.cli.numbers import positive
from netc.cli.options import add_until_argument
from netc.cli.output import print_diagnostics
from netc.cli.surgery import Result, add_stage_arguments, arrow, read_net_text, shapes_of
from netc.frontend import runnable
from netc.lower.rules import NetState
from netc.surgery.deploy_file import deploy_file
from netc.weights import load_weights
from netc.weights.match import assign


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
    made, beside = deploy_file(
        None if args.net == "-" else Path(args.net),
        text.message,
        state=state,
        inputs=dict(args.input_shape),
        until=args.until,
        batch=args.batch,
        weights=weights,
    )
    graph = runnable(made.built)
    if weights is not None:
        assign(graph, weights)
    if not args.json:
        print_diagnostics((*beside, *made.diagnostics, *made.built.diagnostics))
    return Result(text, made.message, made.changes, arrow(graph), facts=shapes_of(graph)).finish(
        args
    )
