"""``netc quantize``: weights for a net computed in int8, within a bound."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
    chosen_state,
    reading,
)
from netc.cli.numbers import above_zero, finite, positive
from netc.cli.output import print_diagnostics, print_json, report_broken, say
from netc.cli.run import add_image_arguments
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.driver import compile
from netc.predict.prepare import ImageOptions
from netc.quantize.data import Items, job_of, read_items
from netc.quantize.measure import Agreement
from netc.quantize.run import (
    LayerReport,
    QuantizationResult,
    Stage,
    default_bound,
    find,
    outcome,
    write,
)
from netc.quantize.search import AccuracyBound
from netc.report.figures import size
from netc.report.table import Column, Row, Table, print_table

_ITEMS = 128
_SHOWN = 12  # layers told without --verbose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Compute convolutions and inner products in int8: see what blobs hold on the inputs given, "
        "keep in float32 the layers that a bound cannot bear, and write weights that "
        "`netc run`, `predict` and `bench` and `netc.compile` take as they take others."
    )
    parser.add_argument("net", metavar="NET", help="prototxt")
    add_weights_argument(parser, needed=True)
    parser.add_argument(
        "--calibrate",
        metavar="SOURCE",
        required=True,
        help="inputs like those that the net will see: a folder of images, a list, an LMDB or "
        "LevelDB, an .npz; whatever `netc predict` takes",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT.npz", required=True, type=Path, help="the new weights"
    )
    _add_bounds(parser)
    _add_calibration(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the cores")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of every layer")
    add_image_arguments(parser)
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="tell what was measured as JSON")


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument(
        "--max-error",
        metavar="X",
        type=above_zero,
        help="of the answers: norm of the difference over norm (default where there are no scores: "
        "0.01)",
    )
    bound.add_argument(
        "--top1-agreement",
        metavar="X",
        type=finite,
        help="share of inputs whose best class stays the same (default for scores: 0.99)",
    )


def _add_calibration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--items", metavar="N", type=positive, default=_ITEMS, help=f"read (default: {_ITEMS})"
    )
    parser.add_argument(
        "--held",
        metavar="SHARE",
        type=finite,
        default=0.25,
        help="of the inputs that are not calibrated with, and judged by (default: 0.25)",
    )
    parser.add_argument(
        "--method",
        choices=("auto", "kl", "percentile", "max"),
        default="auto",
        help="how ranges are found (default: auto, for each blob the one of the least error)",
    )
    parser.add_argument(
        "--blob", metavar="BLOB", action="append", default=[], help="judge by this blob; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    """Read, calibrate, choose, write, measure, tell."""
    _check(args)
    plain = _compiled(args, args.weights)
    bound = _bound(args, plain)
    with _showing_progress(args.json) as stage:
        items = _items(args, plain, stage)
        found = find(plain.graph, items.calibration, bound, args.method, stage)
        made = _made(args, bound, items)
        write(plain, found[0], args.output, made)
        small = _compiled(args, str(args.output))
        done = outcome(plain, small, items, found, args.output)
    if args.json:
        print_json(_facts(args, bound, done, items))
        return 0
    report_broken(list(items.broken))
    print_diagnostics(plain.diagnostics)
    _print_result(args, bound, done)
    return 0


def _check(args: argparse.Namespace) -> None:
    wrong = None
    if args.output.suffix.lower() != ".npz":
        wrong = f"quantized weights are an .npz, and `{args.output}` is named otherwise"
    elif not 0 <= args.held <= 0.5:
        wrong = f"--held is a share from 0 to 0.5, not {args.held:g}"
    elif args.top1_agreement is not None and not 0 < args.top1_agreement <= 1:
        wrong = f"--top1-agreement is a share above 0 and up to 1, not {args.top1_agreement:g}"
    if wrong:
        raise NetcError(Diagnostic("bad-argument", wrong))


def _bound(args: argparse.Namespace, net: CompiledNet) -> AccuracyBound:
    if args.max_error is None and args.top1_agreement is None:
        return default_bound(net.graph)
    return AccuracyBound(args.max_error, args.top1_agreement)


def _compiled(args: argparse.Namespace, weights: str) -> CompiledNet:
    """The net for one item at a time."""
    options: dict[str, Any] = {
        **chosen_state(args),
        **reading(args),
        "outputs": args.blob,
        "allow_outside": args.allow_outside,
    }
    asked = dict(args.input_shape)
    shapes = compile(args.net, weights, backend="reference", inputs=asked, **options).inputs
    single = {blob: (1, *shape[1:]) if shape else shape for blob, shape in shapes.items()}
    return compile(args.net, weights, inputs={**asked, **single}, threads=args.threads, **options)


def _items(args: argparse.Namespace, net: CompiledNet, stage: Stage) -> Items:
    """What is calibrated with, by the names of values."""
    state = chosen_state(args)
    predictor = {**reading(args), **state, "inputs": dict(args.input_shape)}
    outputs = {name: shape[1:] for name, shape in net.outputs.items()}
    images = ImageOptions.of(args)
    job = job_of(args.net, args.weights, args.calibrate, outputs, images, predictor)
    read = read_items(job, args.items, args.held, lambda n: stage("reading inputs", n))
    names = net.graph.input_blobs
    own, held = ([{names[b]: a for b, a in item.items()} for item in part] for part in read[:2])
    return Items(own, held, read.broken)


def _made(args: argparse.Namespace, bound: AccuracyBound, items: Items) -> Mapping[str, Any]:
    return {
        "bound": {"error": bound.error, "top1": bound.top1},
        "method": args.method,
        "items": len(items.calibration),
    }


@contextmanager
def _showing_progress(quiet: bool) -> Iterator[Stage]:
    """Progress as a line that changes, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda what, number: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    done: dict[str, int] = {}
    with console.status("reading the net") as status:

        def stage(what: str, number: int) -> None:
            done[what] = done.get(what, 0) + number
            status.update(f"{what}: {done[what]}")

        yield stage


def _facts(
    args: argparse.Namespace, bound: AccuracyBound, done: QuantizationResult, items: Items
) -> object:
    return {
        "output": str(args.output),
        "bound": {"max_error": bound.error, "top1_agreement": bound.top1},
        "calibration": done.calibration._asdict(),
        "held": done.held._asdict() if done.held else None,
        "layers": [layer._asdict() for layer in done.layers],
        "seconds": {"float32": done.seconds[0], "int8": done.seconds[1]},
        "weights_bytes": {"float32": done.weights[0], "int8": done.weights[1]},
        "arena_bytes": {"float32": done.arena[0], "int8": done.arena[1]},
        "file_bytes": done.file,
        "broken": list(items.broken),
    }


def _print_result(args: argparse.Namespace, bound: AccuracyBound, done: QuantizationResult) -> None:
    shown = sorted(done.layers, key=lambda layer: -layer.error)
    hidden = 0 if args.verbose else max(0, len(shown) - _SHOWN)
    chosen = {layer.name for layer in shown[: len(shown) - hidden]}
    rows = [_row(layer) for layer in done.layers if layer.name in chosen]
    columns = (Column("layer"), Column("error alone", True), Column("computed in"))
    print_table(Table(columns, tuple(rows)), sys.stdout)
    if hidden:
        say(f"and {counted(hidden, 'layer')} of smaller errors: --verbose")
    inside = len(done.chosen.layers)
    say(
        f"{inside} of {counted(len(done.layers), 'layer')} in int8, within {bound}",
        f"calibration: {_agreed(done.calibration)}",
        f"held back:   {_agreed(done.held)}" if done.held else "held back:   nothing",
        f"time of one: {1e3 * done.seconds[1]:.3g} ms, in float32 {1e3 * done.seconds[0]:.3g} ms",
        f"weights:     {size(done.weights[1])}, in float32 {size(done.weights[0])}",
        f"blobs:       {size(done.arena[1])}, in float32 {size(done.arena[0])}",
        f"wrote {args.output}: {size(done.file)}",
    )


def _row(layer: LayerReport) -> Row:
    return Row((layer.name, f"{layer.error:.2e}", "int8" if layer.int8 else "float32"))


def _agreed(found: Agreement) -> str:
    top1 = "" if found.top1 is None else f"top-1 agreement {found.top1:.4f}, "
    return f"{top1}error {found.error:.2e}, of {counted(found.items, 'input')}"
