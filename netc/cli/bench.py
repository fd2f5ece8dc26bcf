"""``netc bench``: where a net's time goes, layer by layer, as ``caffe time`` tells it."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from netc.analysis.feeds import drawn_inputs
from netc.backends.base import Executable
from netc.backends.profile import Roof, RunProfile, profile
from netc.backends.reference import run as run_reference
from netc.backends.registry import roof_of
from netc.cli.arguments import (
    add_precision_argument,
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
    chosen_state,
    reading,
)
from netc.cli.feeds import load_feeds
from netc.cli.items import feed
from netc.cli.numbers import natural, positive
from netc.cli.output import print_json, say
from netc.cli.progress import compiling
from netc.cli.run import add_image_arguments, declared_inputs
from netc.cli.texts import STDIN, source_of
from netc.compiled import CompiledNet
from netc.diagnostics import NetcWarning
from netc.driver import compile
from netc.frontend import Text, read_net
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count, show
from netc.ops.catalog import CATALOG
from netc.weights.seeded import without_zeros


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="prototxt; - is standard input")
    add_weights_argument(parser, "default: the fillers', seeded ones for zeros")
    parser.add_argument(
        "-i",
        "--input",
        metavar="BLOB=FILE",
        type=feed,
        action="append",
        default=[],
        help="an image, .npy or .npz; default: random numbers, labels that are classes",
    )
    add_image_arguments(parser)
    parser.add_argument(
        "--output", metavar="BLOB", action="append", default=[], help="run up to it; repeatable"
    )
    parser.add_argument("--batch", type=positive, metavar="N", help="images a run")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="default: the machine's cores"
    )
    parser.add_argument(
        "--rounds", type=positive, default=20, metavar="N", help="runs, at least 4 (default: 20)"
    )
    parser.add_argument(
        "--top", type=natural, default=20, metavar="N", help="layers shown; 0 for all"
    )
    parser.add_argument("--optimize", choices=("all", "exact", "none"), default="all")
    parser.add_argument(
        "--floor",
        action="store_true",
        help="each layer beside the least time that its arithmetic or its bytes take here",
    )
    parser.add_argument(
        "--compare", choices=("reference",), help="check the answers against the definitions"
    )
    add_precision_argument(parser)
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


class BenchRow(NamedTuple):
    """One layer's share; ``op`` is empty for what is no layer, such as an input's conversion.

    ``floor`` is the least it could take in milliseconds; None where that was not asked for.
    """

    name: str
    op: str
    milliseconds: float
    macs: int
    gflops: float
    megabytes: float
    compiled: bool
    floor: float | None = None


OUTSIDE = "(outside of layers)"


class BenchResult(NamedTuple):
    """The results to print."""

    net: CompiledNet
    times: RunProfile
    rows: list[BenchRow]
    difference: dict[str, float] | None
    roof: Roof | None = None


def run(args: argparse.Namespace) -> int:
    """Compile, run some rounds, tell."""
    text: Text = source_of(STDIN) if args.net == STDIN else args.net
    net, feeds = _compile(text, args)
    executable = net.executable(tuple(feeds[name].shape for name in net.graph.inputs))
    times = profile(executable, feeds, args.rounds)
    difference = _difference(net, executable, feeds) if args.compare else None
    roof = roof_of(executable) if args.floor else None
    rows = _rows(executable, times)
    result = BenchResult(net, times, _above(rows, roof), difference, roof)
    if args.json:
        print_json(_as_json(result))
    else:
        _print(result, args.top)
    return 0


def _compile(text: Text, args: argparse.Namespace) -> tuple[CompiledNet, dict[str, Array]]:
    """The net, and each of its input values' array."""
    choices: dict[str, bool | str] = {"all": True, "exact": "exact", "none": False}
    text = read_net(text, **reading(args))
    declared = declared_inputs(text, args)
    given = load_feeds(args.input, declared.inputs, args, declared.said, declared.unneeded)
    fed = {blob: array.shape for blob, array in given.items()}
    shapes = {**dict(args.input_shape), **fed}
    options: dict[str, Any] = {**chosen_state(args), **reading(args), "outputs": args.output}
    weights = args.weights
    if args.batch:
        shapes = {**shapes, **_batched(_plain(text, shapes, options).inputs, args.batch), **fed}
    if weights is None:
        weights = without_zeros(_plain(text, shapes, options).graph)
    with compiling() as progress:
        net = compile(
            text,
            weights or None,
            inputs=shapes,
            optimize=choices[args.optimize],
            threads=args.threads,
            progress=progress,
            precision=args.precision,
            **options,
        )
    values = {net.graph.input_blobs[blob]: _as_float(array) for blob, array in given.items()}
    return net, drawn_inputs(net.graph, values)


def _plain(text: Text, shapes: Mapping[str, Shape], options: dict[str, Any]) -> CompiledNet:
    """The net with its fillers' weights; that they are zeros is of no matter, it will be mended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        return compile(text, backend="reference", inputs=shapes, **options)


def _batched(inputs: Mapping[str, Shape], batch: int | None) -> dict[str, Shape]:
    if batch is None:
        return {}
    return {name: (batch, *shape[1:]) for name, shape in inputs.items()}


def _as_float(array: object) -> Array:
    return np.ascontiguousarray(array, np.float32)


def _rows(executable: Executable, times: RunProfile) -> list[BenchRow]:
    """The layers by time, the longest first."""
    nodes: dict[str, tuple[Graph, Node]] = {}
    for graph in executable.graphs():
        for node in graph.nodes:
            nodes.setdefault(node.name, (graph, node))
    rows = [_row(nodes.get(s.name), s.name, s.seconds, s.compiled) for s in times.steps]
    rows.append(_row(None, OUTSIDE, times.outside, True))
    return sorted(rows, key=lambda row: -row.milliseconds)


def _row(place: tuple[Graph, Node] | None, name: str, seconds: float, compiled: bool) -> BenchRow:
    if place is None:
        return BenchRow(name, "", 1e3 * seconds, 0, 0.0, 0.0, compiled)
    graph, node = place
    inputs = [graph.shape(v) for v in node.inputs]
    outputs = [graph.shape(v) for v in node.outputs]
    macs = CATALOG[node.op].cost(node.params, inputs, outputs).macs
    weights = sum(count(graph.parameters[p].shape or ()) for p in node.parameters)
    moved = 4 * (sum(map(count, inputs)) + sum(map(count, outputs)) + weights)
    speed = 2e-9 * macs / seconds if seconds else 0.0
    return BenchRow(name, node.op, 1e3 * seconds, macs, speed, moved / 1e6, compiled)


def _above(rows: list[BenchRow], roof: Roof | None) -> list[BenchRow]:
    """The rows with the least that each could take."""
    if roof is None:
        return rows
    made = [row.macs * roof.shares.get(row.name, 1.0) for row in rows]
    return [
        row._replace(floor=1e3 * roof.floor(macs, 1e6 * row.megabytes))
        for row, macs in zip(rows, made, strict=True)
    ]


def _difference(net: CompiledNet, executable: Any, feeds: Mapping[str, Array]) -> dict[str, float]:
    """How far each output is from the definitions', relative to its largest value.

    Infinite where it has another shape, as where a box more or less was found.
    """
    want = run_reference(net.graph, feeds)
    got = executable.run(feeds)
    return {name: _max_difference(got[name], want[name]) for name in want}


def _max_difference(got: Array, want: Array) -> float:
    if got.shape != want.shape:
        return float("inf")
    largest = float(np.abs(want).max(initial=0)) or 1.0
    return float(np.abs(got - want).max(initial=0)) / largest


def _print(result: BenchResult, top: int) -> None:
    net, times = result.net, result.times
    shapes = ", ".join(f"{n} {show(s)}" for n, s in net.inputs.items())
    say(f"{net.name or 'net'} on {net.report()['backend']}: {shapes}")
    low, high = (1e3 * seconds for seconds in times.quartiles)
    say(f"{1e3 * times.run:.2f} ms a run (median; half of the runs {low:.2f} to {high:.2f})")
    if times.busy:
        say("the machine was too busy for times to mean much: close other programs, try again")
    if (roof := result.roof) is not None:
        say(f"floors: {roof.operations / 1e9:.0f} GFLOP/s, {roof.bytes / 1e9:.1f} GB/s")
    _print_rows(result.rows, top)
    for name, worst in (result.difference or {}).items():
        say("", f"{name}: {_agreement(worst)}")


def _print_rows(rows: Sequence[BenchRow], top: int) -> None:
    head = "" if not rows or rows[0].floor is None else f"{'floor':>8} {'ratio':>6}  "
    say("", f"{'ms':>8} {'%':>5} {'GFLOP/s':>8} {'MB':>7}  {head}layer")
    whole = sum(row.milliseconds for row in rows) or 1.0
    for row in rows[: top or None]:
        note = "" if row.compiled else "  (no kernel: its definition)"
        say(
            f"{row.milliseconds:8.3f} {100 * row.milliseconds / whole:5.1f} {row.gflops:8.1f} "
            f"{row.megabytes:7.2f}  {_beside([row])}{f'{row.name} {row.op}'.strip()}{note}"
        )
    if top and len(rows) > top:
        rest = sum(row.milliseconds for row in rows[top:])
        more = f"{_beside(rows[top:])}{len(rows) - top} more"
        say(f"{rest:8.3f} {100 * rest / whole:5.1f} {'':8} {'':7}  {more}")
    say(f"{whole:8.3f} {100:5.1f} {'':8} {'':7}  {_beside(rows)}sum")


def _beside(rows: Sequence[BenchRow]) -> str:
    """The floor of some rows, and how many times that they take."""
    if not rows or rows[0].floor is None:
        return ""
    floor, spent = sum(r.floor or 0.0 for r in rows), sum(r.milliseconds for r in rows)
    ratio = f"{spent / floor:6.2f}" if floor else f"{'':6}"
    return f"{floor:8.3f} {ratio}  "


def _agreement(worst: float) -> str:
    if np.isinf(worst):
        return "not of the shape that the definitions give"
    return f"within {worst:.1e} of the definitions, relative to its largest value"


def _as_json(result: BenchResult) -> dict[str, object]:
    out: dict[str, object] = {
        "milliseconds": 1e3 * result.times.run,
        "quartiles": [1e3 * seconds for seconds in result.times.quartiles],
        "busy": result.times.busy,
        "report": result.net.report(),
        "layers": [row._asdict() for row in result.rows],
    }
    if result.roof is not None:
        floors = sum(row.floor or 0.0 for row in result.rows)
        out["roof"] = {**result.roof._asdict(), "milliseconds": floors}
    if result.difference is not None:
        out["difference"] = result.difference
    return out
