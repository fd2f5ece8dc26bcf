"""``netc passes``: what the passes do to a net, and where they decline."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netc.analysis.cost import graph_cost
from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
    chosen_state,
    reading,
)
from netc.cli.output import print_json, say
from netc.frontend import build, read_net, runnable
from netc.ir.graph import Graph, Parameter
from netc.ir.text import print_graph
from netc.passes.base import Applied, Remark, run_passes
from netc.passes.pipeline import BY_NAME, chosen
from netc.printable import printable
from netc.report.table import Column, Row, Table, print_table
from netc.weights.match import assign

_WIDTH = 80
_LISTED = 6  # of the layers that one thing was done to; --json has all
_ANY = np.float32(0.5)  # an element that is neither 0 nor 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = f"The passes, in order: {', '.join(BY_NAME)}."
    parser.add_argument("net", metavar="NET", help="prototxt")
    add_weights_argument(parser, "default: none, no array is special")
    parser.add_argument(
        "--passes", metavar="NAME,...", help="only these; `exact` for those that change no sum"
    )
    parser.add_argument("--explain", action="store_true", help="each rewrite and each refusal")
    parser.add_argument(
        "--print-after",
        metavar="PASS",
        action="append",
        default=[],
        choices=tuple(BY_NAME),
        help="print the graph after a pass; repeatable",
    )
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


@dataclass(frozen=True, slots=True)
class PassesOutcome:
    """A net before and after its passes, and the graph's text after some of them."""

    before: Graph
    after: Graph
    applied: tuple[Applied, ...]
    printed: Mapping[str, str]

    @property
    def macs(self) -> tuple[int, int]:
        """Multiply-adds before and after."""
        return graph_cost(self.before).total.macs, graph_cost(self.after).total.macs


def run(args: argparse.Namespace) -> int:
    """Run the passes and tell what they did."""
    wanted = args.passes
    optimize: bool | str | list[str] = True
    if wanted:
        optimize = wanted if wanted == "exact" else wanted.split(",")
    outcome = _outcome(args, optimize)
    if args.json:
        print_json(_as_json(outcome))
    else:
        _print(outcome, args.explain, args.weights)
    return 0


def _outcome(args: argparse.Namespace, optimize: bool | str | list[str]) -> PassesOutcome:
    passes = chosen(optimize)
    before = _graph(args)
    printed: dict[str, str] = {}

    def after(name: str, result: Graph) -> None:
        if name in args.print_after:
            printed[name] = print_graph(result)

    result, applied = run_passes(before, passes, after)
    return PassesOutcome(before, result, applied, printed)


def _graph(args: argparse.Namespace) -> Graph:
    text = read_net(args.net, **reading(args))
    built = build(text.message, **chosen_state(args), inputs=dict(args.input_shape))
    graph = runnable(built)
    return assign(graph, args.weights, missing="error")[0] if args.weights else _unweighted(graph)


def _unweighted(graph: Graph) -> Graph:
    """The graph with arrays that say nothing: a filler's ones and zeros would not stay so."""
    return graph.replace(parameters={k: _any(p) for k, p in graph.parameters.items()})


def _any(parameter: Parameter) -> Parameter:
    if parameter.owner is not None:
        return parameter
    return replace(parameter, array=np.broadcast_to(_ANY, parameter.shape or ()))


def _print(outcome: PassesOutcome, explain: bool, weights: str | None) -> None:
    for name, text in outcome.printed.items():
        say(f"# after {name}", *text.split("\n"))
    layers, steps = len(outcome.before.nodes), len(outcome.after.nodes)
    head = f"{outcome.before.name or 'net'}: {layers} layers become {steps} steps,"
    say(head, _macs(outcome), "")
    print_table(Table(_COLUMNS, tuple(map(_row, outcome.applied))), sys.stdout)
    if not weights:
        say("", "without --weights no array is taken to hold ones or zeros alone")
    if explain:
        for item in outcome.applied:
            for line in _explained(item):
                say(line)


def _macs(outcome: PassesOutcome) -> str:
    before, after = outcome.macs
    if before == after:
        return f"{before:,} multiply-adds stay"
    return f"{before:,} multiply-adds become {after:,}"


_COLUMNS = (
    Column("pass"),
    Column("nodes", True),
    Column("did", True),
    Column("declined", True),
    Column("saves", True),
    Column("ms", True),
)


def _row(item: Applied) -> Row:
    nodes = f"{item.nodes_before} -> {item.nodes_after}"
    missed = len(item.remarks) - item.rewrites
    saved = sum(remark.saved for remark in item.remarks)
    counts = (str(item.rewrites or ""), str(missed or ""), f"{saved:,}" if saved else "")
    return Row((item.name, nodes, *counts, f"{1e3 * item.seconds:.1f}"))


def _explained(item: Applied) -> Iterator[str]:
    """A pass's remarks, those that say the same told once with all their layers."""
    if not item.remarks:
        return
    yield ""
    yield item.name
    groups: dict[tuple[bool, str], list[Remark]] = {}
    for remark in item.remarks:
        groups.setdefault((remark.missed, remark.message), []).append(remark)
    for (missed, message), remarks in groups.items():
        saved = sum(remark.saved for remark in remarks)
        times = f", {len(remarks)} times" if len(remarks) > 1 else ""
        saves = f", saves {saved:,} multiply-adds" if saved else ""
        mark = "-" if missed else "+"
        yield from _wrapped(f"{mark} {message}{times}{saves}", 2, 4)
        layers = [_layers(remark.layers) for remark in remarks[:_LISTED]]
        if len(remarks) > _LISTED:
            layers.append(f"and {len(remarks) - _LISTED} more")
        yield from _wrapped("; ".join(layers), 6, 6)


def _layers(names: Sequence[str]) -> str:
    """``bn (conv)``: the layer it is about, then those it is done with."""
    first, *rest = map(printable, names)
    return first + (f" ({', '.join(rest)})" if rest else "")


def _wrapped(text: str, first: int, rest: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_json(outcome: PassesOutcome) -> dict[str, object]:
    macs_before, macs_after = outcome.macs
    return {
        "net": outcome.before.name,
        "layers": len(outcome.before.nodes),
        "steps": len(outcome.after.nodes),
        "macs_before": macs_before,
        "macs_after": macs_after,
        "passes": [_pass_json(item, outcome.printed.get(item.name)) for item in outcome.applied],
    }


def _pass_json(item: Applied, text: str | None) -> dict[str, object]:
    return {
        "name": item.name,
        "nodes_before": item.nodes_before,
        "nodes_after": item.nodes_after,
        "seconds": item.seconds,
        "remarks": [
            {
                "message": r.message,
                "layers": list(r.layers),
                "declined": r.missed,
                "saved": r.saved,
            }
            for r in item.remarks
        ],
        **({"graph": text} if text is not None else {}),
    }
