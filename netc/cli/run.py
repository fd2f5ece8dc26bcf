"""``netc run``: a net on images or arrays."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from netc.cli.answers import Answers, answers, batches
from netc.cli.arguments import (
    add_precision_argument,
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
    chosen_state,
    reading,
)
from netc.cli.boxes import draw
from netc.cli.feeds import LoadedFeeds, load_items
from netc.cli.files import write_arrays
from netc.cli.items import Feed, expanded
from netc.cli.listed import listed_feeds
from netc.cli.numbers import above_zero, finite, natural
from netc.cli.options import add_backend_argument, add_feed_argument
from netc.cli.output import print_diagnostics, print_json
from netc.cli.progress import compiling
from netc.cli.results import PrintOptions, as_json, print_results, read_labels
from netc.cli.texts import STDIN, source_of
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, Note
from netc.driver import compile
from netc.frontend import Text, read_net
from netc.ir.graph import Array, Graph, Value
from netc.ir.types import Shape, show
from netc.lower import NetState
from netc.predict import declared
from netc.predict.boxes import DetectedBox, boxes_of, detections
from netc.predict.declared import DeclaredInputs
from netc.weights.zeros import zero_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="prototxt; - is standard input")
    add_weights_argument(parser)
    add_feed_argument(
        parser,
        "an image, .npy or .npz, a folder or pattern of images, a .txt list of files, or - "
        "for one of these from standard input; several of one blob are a batch; BLOB= may be left "
        "out where one input is meant; without any, the images that the net's ImageData layer "
        "names are read",
    )
    add_image_arguments(parser)
    parser.add_argument(
        "--labels", metavar="FILE", help="one label a line, or a LabelMap (.prototxt)"
    )
    parser.add_argument(
        "--top", metavar="K", type=natural, default=5, help="scores shown (default: 5)"
    )
    parser.add_argument(
        "--output",
        metavar="BLOB",
        action="append",
        default=[],
        help="run up to this blob and give it back, and no other (default: the blobs that no layer "
        "reads); repeatable",
    )
    parser.add_argument(
        "--threshold", metavar="X", type=finite, default=0.5, help="of boxes shown (default: 0.5)"
    )
    parser.add_argument(
        "--draw", metavar="FILE|FOLDER", type=Path, help="draw boxes into copies of the images"
    )
    parser.add_argument("--save", metavar="FILE.npz", type=Path, help="write every output")
    add_backend_argument(parser)
    add_precision_argument(parser)
    parser.add_argument("--fill-missing", action="store_true", help="fill layers without weights")
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """How images are prepared."""
    group = parser.add_argument_group(
        "images", "as Caffe's tools prepare them; what is not given is as the net's text says"
    )
    group.add_argument(
        "--allow-outside",
        action="store_true",
        help="read what the text names (`mean_file`) wherever it lies, not in its folder alone",
    )
    group.add_argument("--mean", metavar="B,G,R|FILE", help="values, .binaryproto or .npy")
    group.add_argument("--scale", type=finite, metavar="X", help="factor after the mean")
    group.add_argument("--raw-scale", type=above_zero, metavar="X", help="what white is (else 255)")
    group.add_argument("--channel-order", choices=("BGR", "RGB"), help="else BGR")
    group.add_argument(
        "--resize", metavar="H,W|SHORT", type=_size, help="before cropping to the input's size"
    )
    group.add_argument("--crops", choices=("center", "ten"), help="else center")


def _size(text: str) -> tuple[int, int] | int:
    try:
        sizes = [int(part) for part in text.replace("x", ",").split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2) or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a size, such as 256 or 256,340")
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def run(args: argparse.Namespace) -> int:
    """Compile, feed, run, tell."""
    labels = read_labels(args.labels)
    written: Text = source_of(STDIN) if args.net == STDIN else args.net
    text = read_net(written, **reading(args))
    known = declared_inputs(text, args)
    kept = [item for item in args.input if item.blob not in known.unneeded]
    files = expanded(kept, known.inputs) or _listed(known, args)

    def load(some: Sequence[Feed]) -> LoadedFeeds:
        return load_items(some, known.inputs, args, known.said, known.unneeded)

    first, *others = batches(files)
    loaded = load(first)
    net = _compile_for(text, args, known.inputs, loaded.arrays)
    found = [*net.diagnostics, *no_weights(net.graph, args.weights), *loaded.notes]
    if not args.json:
        print_diagnostics(found)
    rows = detections(net.graph)
    all_ = answers(net, loaded, others, load, rows, files)
    if args.save:
        write_arrays(args.save, all_.results)
    boxes = {n: boxes_of(all_.results[n], labels, all_.pictures) for n in rows}
    if args.draw:
        _draw(args, boxes, all_)
    how = PrintOptions(labels, args.top, all_.items, boxes, args.threshold)
    if args.json:
        print_json(as_json(net.name, all_.results, how, found))
    else:
        print_results(all_.results, how)
    return 0


def _draw(
    args: argparse.Namespace, boxes: Mapping[str, Sequence[DetectedBox]], all_: Answers
) -> None:
    """Draw what was found into the pictures.

    Raises:
        NetcError: nothing-to-draw, cannot-write.
    """
    if not boxes:
        message = "no output of the net is rows of boxes (DetectionOutput)"
        raise NetcError(Diagnostic("nothing-to-draw", message))
    pictures = [picture for picture in all_.pictures if picture is not None]
    draw(args.draw, [box for own in boxes.values() for box in own], pictures, args.threshold)


def _listed(known: DeclaredInputs, args: argparse.Namespace) -> list[Feed]:
    """The images that the net's own ImageData layer names, where no input is given."""
    if args.input:
        return []
    folder = None if args.net == STDIN else Path(args.net).parent
    wanted = known.inputs.keys() - known.unneeded
    return listed_feeds(known.layers, wanted, folder, outside=args.allow_outside)


def declared_inputs(net: Text, args: argparse.Namespace) -> DeclaredInputs:
    """What is known of the inputs before any is read.

    Raises:
        NetcError: the text has mistakes that no input can mend.
    """
    state = NetState(args.phase, args.level, tuple(args.stage))
    return declared.declared_inputs(
        net, state, args.output, dict(args.input_shape), **reading(args)
    )


def _compile_for(
    text: Text,
    args: argparse.Namespace,
    inputs: Mapping[str, Value],
    feeds: Mapping[str, Array],
) -> CompiledNet:
    """The net for the shapes that are fed.

    Raises:
        NetcError: input-shape, where the net takes the shapes the text says and not these; or
            what ``compile`` raises.
    """
    given = dict(args.input_shape)
    try:
        return _compile(text, args, {**given, **{n: a.shape for n, a in feeds.items()}})
    except NetcError as error:
        misfits = [
            _misfit(inputs[name], array.shape, error)
            for name, array in feeds.items()
            if name in inputs and inputs[name].shape not in (None, array.shape)
        ]
        if misfits and _compiles(text, args, given):
            raise NetcError(misfits) from None
        raise


def _misfit(value: Value, shape: Shape, error: NetcError) -> Diagnostic:
    first = error.diagnostics[0]
    return Diagnostic(
        "input-shape",
        f"input `{value.blob}` is fed {show(shape)}, and the text says {show(value.shape)}",
        value.span,
        notes=(Note(f"with {show(shape)}: {first.message}", first.span),),
    )


def _compiles(text: Text, args: argparse.Namespace, given: Mapping[str, Shape]) -> bool:
    try:
        _compile(text, args, given)
    except NetcError:
        return False
    return True


def _compile(text: Text, args: argparse.Namespace, shapes: Mapping[str, Shape]) -> CompiledNet:
    with compiling() as progress:
        return compile(
            text,
            args.weights,
            backend=args.backend,
            **chosen_state(args),
            **reading(args),
            inputs=shapes,
            outputs=args.output,
            missing="fill" if args.fill_missing else "error",
            progress=progress,
            precision=args.precision,
            allow_outside=args.allow_outside,
        )


def no_weights(graph: Graph, weights: str | None) -> list[Diagnostic]:
    """A warning where a net has the numbers of its fillers alone; of zeros there is another."""
    if weights is not None or not graph.parameters or zero_weights(graph):
        return []
    return [
        Diagnostic(
            "no-weights",
            "no weights are given, so the layers' fillers made some",
            severity="warning",
            help=("give trained ones with --weights",),
        )
    ]
