"""``netc build``: a net as a library with a C interface, for programs without Python."""

from __future__ import annotations

import argparse
from pathlib import Path

from netc.aot.build import BuiltLibrary, Choices, build
from netc.aot.page import PagePicture
from netc.aot.targets import DEFAULT_CPUS
from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    add_weights_argument,
)
from netc.cli.options import add_until_argument
from netc.cli.output import print_diagnostics, print_json, say
from netc.cli.progress import compiling
from netc.cli.results import read_labels
from netc.cli.texts import STDIN, source_of
from netc.cli.until import graph_until
from netc.diagnostics import Diagnostic
from netc.driver import in_precision
from netc.frontend import Text
from netc.report.figures import size

PLACEMENTS = ("embed", "file")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Write a net as a library that runs without Python and without netc: a header in C, "
        "lib*.a and lib*.so, an example, and a CMake file; or a WebAssembly module and a page."
    )
    parser.add_argument("net", metavar="NET", help="prototxt; - is standard input")
    add_weights_argument(parser, dest="trained", long=False)
    parser.add_argument("-o", "--output", metavar="FOLDER", required=True, type=Path)
    parser.add_argument(
        "--target", metavar="T", help=f"{', '.join(DEFAULT_CPUS)} (default: this machine's)"
    )
    cpus = ", ".join(f"{cpu} for {name}" for name, cpu in DEFAULT_CPUS.items())
    parser.add_argument(
        "--cpu",
        metavar="C",
        help=f"the least processor it is to run on, by LLVM's name, or native (default: {cpus})",
    )
    parser.add_argument(
        "--threads",
        choices=("pthread", "none"),
        default="pthread",
        help="whether an instance may have several threads (default: pthread)",
    )
    parser.add_argument(
        "--weights",
        metavar="embed|file",
        default="embed",
        help="weights in the library, or in a file beside it (default: embed)",
    )
    parser.add_argument(
        "--precision", default="float32", help="float32, fp16 or bf16, as of netc run"
    )
    parser.add_argument("--name", help="what public names begin with (default: the net's name)")
    _add_blobs(parser)
    parser.add_argument("--fill-missing", action="store_true", help="fill layers without weights")
    _add_page(parser)
    add_state_arguments(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="tell what was written as JSON")


def _add_blobs(parser: argparse.ArgumentParser) -> None:
    add_until_argument(parser, "give back this blob; repeatable")
    add_shape_argument(parser, "shape of an input, which the library is made for; repeatable")


def _add_page(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a page that runs the net in a browser (--target wasm32)")
    group.add_argument("--page", action="store_true", help="write index.html, with all in it")
    group.add_argument("--mean", metavar="B,G,R", type=_numbers, default=(), help="of the channels")
    group.add_argument("--scale", metavar="X", type=float, default=1.0, help="after the mean")
    group.add_argument("--channel-order", choices=("BGR", "RGB"), default="BGR")
    group.add_argument("--labels", metavar="FILE", help="one label a line")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Build, and tell what was written."""
    _sort_weights(args)
    text: Text = source_of(STDIN) if args.net == STDIN else args.net
    shapes = dict(args.input_shape)
    graph, found = graph_until(text, args, args.trained, lambda message: shapes)
    if not args.json:
        print_diagnostics(found)
    precision, layers = in_precision(args.precision, args.trained)
    choices = Choices(args.target, args.cpu, args.threads, args.weights, precision, args.name)
    choices = choices._replace(layers=layers)
    with compiling() as progress:
        made = build(graph, args.output, choices, progress, _picture(args))
    _print_built(args, made, found)
    return 0


def _sort_weights(args: argparse.Namespace) -> None:
    """``--weights FILE``, as other commands have it, is -w."""
    if args.weights not in PLACEMENTS:
        args.trained, args.weights = args.weights, "embed"


def _picture(args: argparse.Namespace) -> PagePicture | None:
    if not args.page:
        return None
    labels = read_labels(args.labels)
    return PagePicture(args.mean, args.scale, args.channel_order == "RGB", labels)


def _print_built(
    args: argparse.Namespace, made: BuiltLibrary, found: tuple[Diagnostic, ...]
) -> None:
    library = made.library
    total = sum(path.stat().st_size for path in made.files.values())
    if args.json:
        facts: dict[str, object] = {
            "name": library.name,
            "target": library.target.name,
            "cpu": library.target.machine.cpu,
            "compiler": made.toolchain,
            "inputs": {blob.blob: list(blob.shape) for blob in library.inputs},
            "outputs": {blob.blob: list(blob.shape) for blob in library.outputs},
            "arena_bytes": library.arena,
            "weights_bytes": len(library.weights),
            "files": [str(path) for path in made.files.values()],
            "diagnostics": [d.to_json() for d in found],
        }
        print_json(facts)
        return
    names = ", ".join(made.files)
    say(f"wrote {args.output}: {names}")
    say(
        f"{library.name} for {library.target.name} ({library.target.machine.cpu}): "
        f"{size(total)}, of which weights {size(len(library.weights))}; "
        f"an instance takes {size(library.arena + library.workspace + library.scratch)}"
    )
