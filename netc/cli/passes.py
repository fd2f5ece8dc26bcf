"""``netc passes``: what the passes do to a net, and where they decline."""

from __future__ import annotations

import argparse

from netc.cli.arguments import add_shape_argument, add_state_arguments, add_text_arguments
from netc.cli.output import print_json
from netc.driver import build, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.text import print_graph
from netc.passes.base import Applied, Remark, run_passes
from netc.passes.pipeline import BY_NAME, chosen
from netc.weights.match import assign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="prototxt")
    parser.add_argument("--weights", metavar="FILE", help="default: filled by the layers' fillers")
    parser.add_argument(
        "--passes",
        metavar="NAME,...",
        help=f"only these; `exact` for those that change no sum ({', '.join(BY_NAME)})",
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


def run(args: argparse.Namespace) -> int:
    """Run the passes and tell what they did."""
    graph = _graph(args)
    wanted = args.passes
    optimize: bool | str | list[str] = True
    if wanted:
        optimize = wanted if wanted == "exact" else wanted.split(",")

    def after(name: str, result: Graph) -> None:
        if name in args.print_after:
            print(f"# after {name}\n{print_graph(result)}")

    result, applied = run_passes(graph, chosen(optimize), after)
    if args.json:
        print_json(_as_json(graph, result, applied))
    else:
        _print(graph, result, applied, args.explain)
    return 0


def _graph(args: argparse.Namespace) -> Graph:
    text = read_net(args.net, define=dict(args.define), schema=args.schema)
    built = build(
        text.message,
        phase=args.phase,
        level=args.level,
        stages=args.stage,
        inputs=dict(args.input_shape),
    )
    return assign(runnable(built), args.weights, missing="error")[0]


def _print(before: Graph, after: Graph, applied: tuple[Applied, ...], explain: bool) -> None:
    print(f"{before.name or 'net'}: {len(before.nodes)} layers become {len(after.nodes)} steps\n")
    print(f"{'pass':32} {'nodes':>11} {'rewrites':>9} {'declined':>9} {'ms':>7}")
    for item in applied:
        declined = len(item.remarks) - item.rewrites
        nodes = f"{item.nodes_before} -> {item.nodes_after}"
        print(
            f"{item.name:32} {nodes:>11} {item.rewrites:9} {declined:9} {1e3 * item.seconds:7.1f}"
        )
        if explain:
            for remark in item.remarks:
                print(f"    {_line(remark)}")


def _line(remark: Remark) -> str:
    mark = "-" if remark.declined else "+"
    saved = f" (saves {remark.saved:,} multiply-adds)" if remark.saved else ""
    return f"{mark} {', '.join(remark.layers)}: {remark.message}{saved}"


def _as_json(before: Graph, after: Graph, applied: tuple[Applied, ...]) -> dict[str, object]:
    return {
        "net": before.name,
        "layers": len(before.nodes),
        "steps": len(after.nodes),
        "passes": [
            {
                "name": item.name,
                "nodes_before": item.nodes_before,
                "nodes_after": item.nodes_after,
                "seconds": item.seconds,
                "remarks": [
                    {
                        "message": r.message,
                        "layers": list(r.layers),
                        "declined": r.declined,
                        "saved": r.saved,
                    }
                    for r in item.remarks
                ],
            }
            for item in applied
        ],
    }
