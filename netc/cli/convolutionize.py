"""``netc convolutionize``: inner products as convolutions, and scores of sliding windows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from netc.backends.base import Options
from netc.backends.registry import DEFAULT
from netc.cli.arguments import add_shape_argument
from netc.cli.feeds import load_items
from netc.cli.files import write_arrays
from netc.cli.items import expanded
from netc.cli.numbers import positive
from netc.cli.options import add_feed_argument, add_tolerance_argument
from netc.cli.output import say
from netc.cli.run import add_image_arguments
from netc.cli.surgery import (
    Result,
    add_stage_arguments,
    add_surgery_arguments,
    read_net_text,
    shapes_of,
    test_state,
    weights_target,
)
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import show
from netc.migrate.change import Change
from netc.passes.pipeline import chosen
from netc.surgery.convolutionize import Convolutional, ScoreWindow, convolutionize, window_told
from netc.surgery.proof import ROUNDING, describe_errors
from netc.surgery.sliding import sliding_scores
from netc.weights import load_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Make inner products convolutions, with their weights, so that a classifier takes larger "
        "images and gives a map of scores; run both nets on an image of the old size, and write "
        "the new one if all blobs are equal. With -i the new net is run on an image, at the "
        "net's stride or, by shifted passes, at a smaller one."
    )
    add_surgery_arguments(parser)
    add_shape_argument(parser)
    parser.add_argument(
        "--reverse", action="store_true", help="convolutions of one window become inner products"
    )
    parser.add_argument(
        "--suffix", metavar="TEXT", default="", help="of changed layers' names, such as -conv"
    )
    add_stage_arguments(parser)
    add_tolerance_argument(parser, ROUNDING)
    add_feed_argument(
        parser,
        "an image, .npy or .npz to slide over, of the size that --input-shape says",
    )
    parser.add_argument(
        "--stride", metavar="N", type=positive, help="pixels from one score to the next"
    )
    parser.add_argument("--save", metavar="FILE.npz", type=Path, help="write the scores")
    add_image_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Convert, prove, write; slide where an image is given."""
    if (args.stride or args.save) and not args.input:
        raise NetcError(Diagnostic("bad-argument", "--stride and --save need an image: -i FILE"))
    text, target = read_net_text(args), weights_target(args)
    made = convolutionize(
        text.message,
        load_weights(args.weights),
        state=test_state(args),
        sizes=dict(args.input_shape),
        suffix=args.suffix,
        reverse=args.reverse,
        tolerance=args.tolerance,
    )
    changes = list(made.changes)
    changes += [Change("convolutionize", window_told(window)) for window in made.windows]
    facts = {
        **shapes_of(made.graph),
        "windows": [window._asdict() for window in made.windows],
        "relative_error": max((error.relative for error in made.errors), default=0.0),
    }
    scores = _scores(args, text.message, made) if args.input else {}
    if args.save:
        write_arrays(args.save, scores)
        facts["scores"] = {name: list(array.shape) for name, array in scores.items()}
    last = describe_errors(made.errors)
    done = Result(text, made.message, changes, last, made.weights, target, facts)
    code = done.finish(args)
    if scores and not args.json:
        for name, array in scores.items():
            saved = f", in {args.save}" if args.save else ""
            say(f"{name}: {show(array.shape)} scores{saved}")
    return code


def _scores(args: argparse.Namespace, old: object, made: Convolutional) -> Mapping[str, Array]:
    """The new net's scores of an image.

    Raises:
        NetcError: bad-argument, or the image cannot be read.
    """
    graph = made.graph
    if not made.windows:
        raise NetcError(Diagnostic("bad-argument", "the net gives no map of scores to slide over"))
    window = made.windows[0]
    inputs = {blob: graph.values[name] for blob, name in graph.input_blobs.items()}
    feeds = load_items(expanded(args.input, inputs), inputs, args, {}, ()).arrays
    net = CompiledNet(graph, DEFAULT, Options(chosen(True)))
    image = graph.values[graph.inputs[0]].blob
    own = made.trained[2], made.trained[3]
    step = args.stride or window.stride[0]
    return sliding_scores(net, feeds, image=image, window=own, stride=_two(window), step=step)


def _two(window: ScoreWindow) -> tuple[int, int]:
    return window.stride[0], window.stride[1]
