"""``netc fold``: BatchNorm and Scale in the weights of the layers beside them."""

from __future__ import annotations

import argparse

from netc.cli.arguments import add_shape_argument
from netc.cli.options import add_tolerance_argument
from netc.cli.output import print_diagnostics
from netc.cli.surgery import (
    Result,
    add_stage_arguments,
    add_surgery_arguments,
    read_net_text,
    test_state,
    weights_target,
)
from netc.diagnostics import counted
from netc.surgery.fold import fold
from netc.surgery.proof import ROUNDING, describe_errors
from netc.weights import load_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Fold BatchNorm, BN, Scale, Bias and linear Power into the weights of convolutions, "
        "deconvolutions and inner products before or after them, run both nets on the same "
        "inputs, and write the new one if all its blobs are equal."
    )
    add_surgery_arguments(parser)
    add_shape_argument(parser)
    add_stage_arguments(parser)
    add_tolerance_argument(parser, ROUNDING)


def run(args: argparse.Namespace) -> int:
    """Fold, prove, write."""
    text, target = read_net_text(args), weights_target(args)
    weights = load_weights(args.weights)
    made = fold(
        text.message,
        weights,
        state=test_state(args),
        inputs=dict(args.input_shape),
        tolerance=args.tolerance,
    )
    if not args.json:
        print_diagnostics(made.kept)
    last = f"{counted(len(made.changes), 'fold')}, {describe_errors(made.errors)}"
    worst = max((error.relative for error in made.errors), default=0.0)
    facts = {
        "kept": [d.to_json() for d in made.kept],
        "blobs": len(made.errors),
        "relative_error": worst,
    }
    done = Result(text, made.message, made.changes, last, made.weights, target, facts)
    return done.finish(args)
