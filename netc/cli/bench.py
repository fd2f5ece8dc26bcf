"""``netc bench``: where a net's time goes, layer by layer, as ``caffe time`` tells it."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any, NamedTuple

import numpy as np

from netc.backends.cpu.backend import CpuExecutable
from netc.backends.reference import run as run_reference
from netc.cli.arguments import (
    add_precision_argument,
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    chosen_state,
    reading,
)
from netc.cli.output import print_json
from netc.cli.progress import compiling
from netc.compiled import CompiledNet
from netc.driver import compile
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="prototxt")
    parser.add_argument("-w", "--weights", metavar="FILE", help="default: filled by the fillers")
    parser.add_argument("--batch", type=int, metavar="N", help="images a run")
    parser.add_argument("--threads", type=int, metavar="N", help="default: the machine's cores")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="layers shown; 0 for all")
    parser.add_argument("--optimize", choices=("all", "exact", "none"), default="all")
    parser.add_argument(
        "--compare", choices=("reference",), help="check the answers against the definitions"
    )
    add_precision_argument(parser)
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


class Row(NamedTuple):
    """One layer's share."""

    name: str
    op: str
    milliseconds: float
    macs: int
    gflops: float
    megabytes: float
    compiled: bool


def run(args: argparse.Namespace) -> int:
    """Compile, run some rounds, tell."""
    net = _compile(args)
    rng = np.random.default_rng(0)
    feeds = {
        name: rng.standard_normal(shape, dtype=np.float32) for name, shape in net.inputs.items()
    }
    executable = net.executable(tuple(net.inputs.values()))
    total = _median(net, feeds, args.rounds)
    values = {name: feeds[blob] for blob, name in net.graph.input_blobs.items()}
    rows = _rows(executable, values, args.rounds)
    difference = _difference(net, feeds, values) if args.compare else None
    if args.json:
        print_json(_as_json(net, total, rows, difference))
    else:
        _print(net, total, rows, args.top, difference)
    return 0


def _compile(args: argparse.Namespace) -> CompiledNet:
    choices: dict[str, bool | str] = {"all": True, "exact": "exact", "none": False}
    shapes = dict(args.input_shape)
    options: dict[str, Any] = {**chosen_state(args), **reading(args)}
    if args.batch:
        plain = compile(args.net, backend="reference", inputs=shapes, **options)
        shapes |= {name: (args.batch, *shape[1:]) for name, shape in plain.inputs.items()}
    with compiling() as progress:
        return compile(
            args.net,
            args.weights,
            inputs=shapes,
            optimize=choices[args.optimize],
            threads=args.threads,
            progress=progress,
            precision=args.precision,
            **options,
        )


def _median(net: CompiledNet, feeds: dict[str, Array], rounds: int) -> float:
    """Milliseconds of a whole run."""
    net(feeds)
    times = []
    for _ in range(max(1, rounds)):
        start = time.perf_counter()
        net(feeds)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def _rows(executable: Any, feeds: dict[str, Array], rounds: int) -> list[Row]:
    """The layers by time, the longest first; none where there is no program to look into."""
    if not isinstance(executable, CpuExecutable):
        return []
    graph = executable.emission.graph
    nodes = {node.name: node for node in graph.nodes}
    spent: dict[str, float] = {}
    compiled: dict[str, bool] = {}
    for step in executable.profile(feeds, rounds):
        spent[step.name] = spent.get(step.name, 0.0) + step.seconds
        compiled[step.name] = compiled.get(step.name, True) and step.compiled
    rows = [_row(graph, nodes.get(n), n, s, compiled[n]) for n, s in spent.items()]
    return sorted(rows, key=lambda row: -row.milliseconds)


def _row(graph: Graph, node: Node | None, name: str, seconds: float, compiled: bool) -> Row:
    if node is None:
        return Row(name, "", 1e3 * seconds, 0, 0.0, 0.0, compiled)
    inputs = [graph.shape(v) for v in node.inputs]
    outputs = [graph.shape(v) for v in node.outputs]
    macs = CATALOG[node.op].cost(node.params, inputs, outputs).macs
    weights = sum(count(graph.parameters[p].shape or ()) for p in node.parameters)
    moved = 4 * (sum(map(count, inputs)) + sum(map(count, outputs)) + weights)
    speed = 2e-9 * macs / seconds if seconds else 0.0
    return Row(name, node.op, 1e3 * seconds, macs, speed, moved / 1e6, compiled)


def _difference(
    net: CompiledNet, feeds: dict[str, Array], values: dict[str, Array]
) -> dict[str, float]:
    """How far each output is from the definitions', relative to its largest value."""
    want = run_reference(net.graph, values)
    got = net(feeds)
    return {
        name: float(np.abs(got[name] - want[name]).max(initial=0))
        / (float(np.abs(want[name]).max(initial=0)) or 1.0)
        for name in want
    }


def _print(
    net: CompiledNet,
    total: float,
    rows: list[Row],
    top: int,
    difference: dict[str, float] | None,
) -> None:
    report = net.report()
    shapes = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in net.inputs.items())
    print(f"{net.name or 'net'} on {report['backend']}: {shapes}")
    print(f"{total:.2f} ms a run (median)")
    if rows:
        print(f"\n{'ms':>8} {'%':>5} {'GFLOP/s':>8} {'MB':>7}  layer")
    whole = sum(row.milliseconds for row in rows) or 1.0
    for row in rows[: top or None]:
        note = "" if row.compiled else "  (no kernel: its definition)"
        print(
            f"{row.milliseconds:8.3f} {100 * row.milliseconds / whole:5.1f} {row.gflops:8.1f} "
            f"{row.megabytes:7.2f}  {row.name} {row.op}{note}"
        )
    if top and len(rows) > top:
        rest = sum(row.milliseconds for row in rows[top:])
        print(f"{rest:8.3f} {100 * rest / whole:5.1f} {'':8} {'':7}  {len(rows) - top} more")
    for name, worst in (difference or {}).items():
        print(f"\n{name}: within {worst:.1e} of the definitions, relative to its largest value")


def _as_json(
    net: CompiledNet, total: float, rows: list[Row], difference: dict[str, float] | None
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "milliseconds": total,
        "report": net.report(),
        "layers": [row._asdict() for row in rows],
    }
    if difference is not None:
        out["difference"] = difference
    return out
