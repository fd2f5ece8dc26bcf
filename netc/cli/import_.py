"""``netc import``: an ONNX model as a net and weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.cli.arguments import add_shape_argument
from netc.cli.files import write_text
from netc.cli.options import add_tolerance_argument
from netc.cli.output import print_json, say
from netc.cli.surgery import arrow, shapes_of
from netc.diagnostics import Diagnostic, NetcError
from netc.files import target_of
from netc.schema.convert import to_document
from netc.surgery.loading import loaded, plain_weights, weights_of
from netc.surgery.onnx_import import Imported, import_onnx
from netc.surgery.opponents import OnnxModel
from netc.surgery.proof import TOLERANCE, describe_errors
from netc.surgery.verify import Verification, verify_against
from netc.syntax.printer import print_document
from netc.weights import save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write an ONNX model as prototxt and weights, where Caffe can say it; else each node that "
        "it cannot is named. Where ONNX Runtime is installed both are run and compared."
    )
    parser.add_argument("model", metavar="MODEL.onnx", help="the model")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NET.prototxt", required=True, help="the new text"
    )
    parser.add_argument(
        "--weights-output",
        type=Path,
        metavar="NET.caffemodel",
        help="the weights (.caffemodel, .h5, .npz); default: beside the new text",
    )
    add_shape_argument(parser)
    add_tolerance_argument(parser, TOLERANCE)
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Import, prove, write."""
    target: Path = args.weights_output or args.output.with_suffix(".caffemodel")
    target_of(target)
    if target.exists() and not (args.force or args.weights_output):
        message = f"`{target}`, where the weights would go, exists and is not overwritten"
        help = "name another with --weights-output, or give --force to overwrite it"
        raise NetcError(Diagnostic("file-exists", message, help=(help,)))
    made = import_onnx(Path(args.model), dict(args.input_shape))
    net = loaded(made.message, plain_weights(made.weights))
    found = _proof(args, made)
    save_weights(target, weights_of(net.graph, net.messages), made.message)
    write_text(args.output, print_document(to_document(made.message)))
    if args.json:
        worst = None if found is None else max(error.relative for error in found.errors)
        files = [str(args.output), str(target)]
        print_json({"files": files, **shapes_of(net.graph), "relative_error": worst})
        return 0
    for name, blob in made.renamed.items():
        say(f"output `{name}` is blob `{blob}`")
    proof = (
        "not proven: ONNX Runtime is not installed"
        if found is None
        else describe_errors(found.errors)
    )
    say(f"wrote {args.output} and {target}: {arrow(net.graph)}, {proof}")
    return 0


def _proof(args: argparse.Namespace, made: Imported) -> Verification | None:
    """The comparison with ONNX Runtime; None where it is not installed.

    Raises:
        NetcError: not-equal.
    """
    try:
        opponent = OnnxModel(Path(args.model))
    except NetcError as error:
        if error.diagnostics[0].code == "missing-package":
            return None
        raise
    net = loaded(made.message, plain_weights(made.weights))
    found = verify_against(net, opponent, tolerance=args.tolerance, backend="reference")
    departed = found.departed
    if departed is not None:
        raise NetcError(
            Diagnostic(
                "not-equal",
                f"the net is not the model: blob `{departed.blob}` differs by "
                f"{departed.largest:.3g}, {departed.relative:.2g} of its largest number",
                help=("nothing was written; please report the model, or give a --tolerance",),
            )
        )
    return found
