"""``netc export``: a net as an ONNX model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from netc.analysis.batch import with_batch
from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    blob_shape,
    chosen_state,
)
from netc.cli.export_torch import write_torch
from netc.cli.numbers import positive
from netc.cli.options import add_until_argument
from netc.cli.output import print_diagnostics, print_json, say
from netc.cli.texts import STDIN, source_of
from netc.cli.until import graph_until
from netc.diagnostics import Diagnostic, NetcError
from netc.export.onnx import save, to_bytes, to_onnx
from netc.frontend import Text, build
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.report.figures import size
from netc.schema.message import Message

BATCH = "batch"  # what a first size that is left open is called


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write a net as an ONNX model, which gives the same numbers. The inputs' first size is "
        "left open, so that the model takes any batch, unless the net fixes it or --batch or "
        "--input-shape says it."
    )
    parser.add_argument(
        "net",
        metavar="[pytorch] NET [W]",
        help="prototxt; - is standard input; with `pytorch` in front the net is written as a "
        "module of PyTorch",
    )
    parser.add_argument("more", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("-w", "--weights", metavar="FILE", help=".caffemodel, .h5 or .npz")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE.onnx",
        help="default: the net's name with .onnx; - is standard output",
    )
    parser.add_argument("--batch", metavar="N", type=positive, help="of the inputs, and fixed")
    add_shape_argument(
        parser,
        "shape of an input, such as data=1,3,227,227; data=N,3,227,227 leaves the first size "
        "open and calls it N; repeatable",
        _shape,
    )
    add_until_argument(
        parser, "end the model at this blob, without the layers after it; repeatable"
    )
    parser.add_argument("--fill-missing", action="store_true", help="fill layers without weights")
    add_state_arguments(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="tell what was written as JSON")


OpenShape = tuple[str, Shape, str]


def _shape(text: str) -> OpenShape:
    """A blob, its shape, and the name of its first size where that is left open."""
    name, _, sizes = text.rpartition("=")
    first, comma, rest = sizes.partition(",")
    if comma and first.isidentifier():
        return (*blob_shape(f"{name}=1,{rest}"), first)
    return (*blob_shape(text), "")


def run(args: argparse.Namespace) -> int:
    """Write the model and tell its inputs and outputs."""
    format, problem = _sort_out(args)
    problem = problem or _usage_problem(args)
    if problem:
        say(f"netc export: error: {problem}", stream=sys.stderr)
        return 2
    text: Text = source_of(STDIN) if args.net == STDIN else args.net
    graph, found = graph_until(text, args, args.weights, lambda message: _shapes(message, args))
    if format == "pytorch":
        return write_torch(args, graph, found)
    model, misfit = _model(graph, args)
    found = (*found, *misfit)
    if not args.json:
        print_diagnostics(found)
    if args.output == STDIN:
        sys.stdout.buffer.write(to_bytes(model))
        sys.stdout.buffer.flush()
        return 0
    facts = _model_facts(model)
    files = save(model, Path(args.output or _default_name(args.net)))
    _print_model(args, facts, files, found)
    return 0


def _sort_out(args: argparse.Namespace) -> tuple[str, str]:
    """The format, and what is wrong; the net and its weights become ``net`` and ``weights``."""
    names = [args.net, *args.more]
    format = names.pop(0) if args.more and args.net in ("pytorch", "onnx") else "onnx"
    args.net, *rest = names
    if rest and not args.weights:
        args.weights = rest.pop(0)
    return format, f"there is no use for `{rest[0]}`" if rest else ""


def _usage_problem(args: argparse.Namespace) -> str:
    if len({name for *_, name in args.input_shape if name}) > 1:
        return "--input-shape calls the first size by two names, and there is one batch"
    if args.batch and any(name for *_, name in args.input_shape):
        return "--batch fixes the first size, and --input-shape leaves it open"
    if args.output == STDIN and args.json:
        return "--json and the model cannot both go to standard output"
    if args.output == STDIN and sys.stdout.isatty():
        return "a model is no text for a terminal: redirect the output, or name a file"
    return ""


def _default_name(net: str) -> str:
    return f"{'net' if net == STDIN else Path(net).stem}.onnx"


def _shapes(message: Message, args: argparse.Namespace) -> Mapping[str, Shape]:
    """The inputs' shapes that are asked for; a first size that is left open is the text's own."""
    given = {name: shape for name, shape, _ in args.input_shape}
    opened = {name for name, _, size in args.input_shape if size}
    if opened:
        graph = build(message, **chosen_state(args)).graph
        for blob in opened & set(graph.input_blobs):
            said = graph.values[graph.input_blobs[blob]].shape
            given[blob] = (said[0] if said else 1, *given[blob][1:])
    if args.batch:
        graph = build(message, **chosen_state(args), inputs=given).graph
        shapes = with_batch(graph, args.batch)
        given |= {graph.values[name].blob: shape for name, shape in shapes.items()}
    return given


def _model(graph: Graph, args: argparse.Namespace) -> tuple[object, tuple[Diagnostic, ...]]:
    """The model; where nobody asked for an open batch that the net does not allow, a warning."""
    name = next((name for *_, name in args.input_shape if name), "")
    if not name and (args.batch or args.input_shape):
        return to_onnx(graph), ()
    try:
        return to_onnx(graph, batch=name or BATCH), ()
    except NetcError as error:
        if name or any(d.code != "batch-misfit" for d in error.diagnostics):
            raise
        help = ("the model is of the text's shapes; --batch and --input-shape say others",)
        warnings = [replace(d, severity="warning", help=help) for d in error.diagnostics]
        return to_onnx(graph), tuple(warnings)


# What is told

Sizes = list[int | str | None]


def _model_facts(model: Any) -> dict[str, Any]:
    """What is in a model."""
    return {
        "net": model.graph.name,
        "opset": model.opset_import[0].version,
        "inputs": {value.name: _sizes(value) for value in model.graph.input},
        "outputs": {value.name: _sizes(value) for value in model.graph.output},
    }


def _sizes(value: Any) -> Sizes:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in dims]


def _print_model(
    args: argparse.Namespace,
    facts: Mapping[str, Any],
    files: tuple[Path, ...],
    found: tuple[Diagnostic, ...],
) -> None:
    total = sum(path.stat().st_size for path in files)
    if args.json:
        written = {"files": [str(path) for path in files], "bytes": total}
        print_json({**facts, **written, "diagnostics": [d.to_json() for d in found]})
        return
    names = " and ".join(map(str, files))
    shapes = " -> ".join(_listed(facts[side]) for side in ("inputs", "outputs"))
    line = f"wrote {names}: opset {facts['opset']}, {shapes}, {size(total)}"
    if len(line) > _LINE:
        line = f"wrote {names}: opset {facts['opset']}, {_batch(facts['inputs'])}, {size(total)}"
    say(line)


_LINE = 80  # columns; where shapes would make more the line tells the batch alone


def _listed(values: Mapping[str, Sizes]) -> str:
    return ", ".join(
        f"{name} ({', '.join('?' if s is None else str(s) for s in sizes)})"
        for name, sizes in values.items()
    )


def _batch(inputs: Mapping[str, Sizes]) -> str:
    """Which batch a model takes."""
    firsts = {sizes[0] for sizes in inputs.values() if sizes}
    if any(isinstance(first, str) for first in firsts):
        return "any batch"
    return " and ".join(f"batch {first}" for first in sorted(map(str, firsts))) or "no inputs"
