"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from netc.cli.numbers import MAX_SIZE, level
from netc.diagnostics import NetcError
from netc.ir.types import Shape
from netc.memory import size_of


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """``-D`` and ``--schema``: how a text is read."""
    parser.add_argument(
        "-D",
        "--define",
        metavar="NAME=VALUE",
        type=definition,
        action="append",
        default=[],
        help="value of a parameter, or of a placeholder in the text ($NAME, ${NAME}, {{ NAME }})",
    )
    add_schema_argument(parser)
    parser.add_argument(
        "--layers",
        metavar="FILE.py",
        type=Path,
        action="append",
        default=[],
        help="run this Python file first, which calls netc.register_layer for types of your own",
    )


def add_weights_argument(
    parser: argparse.ArgumentParser,
    help: str = ".caffemodel, .h5 or .npz",
    *,
    metavar: str = "FILE",
    needed: bool = False,
    dest: str = "weights",
    long: bool = True,
) -> None:
    """Weights, behind the net or by ``-w``; :func:`take_weights` makes one argument of both.

    Args:
        parser: the command's; what stands before them in the line is added already.
        help: what they are.
        metavar: of the option.
        needed: whether the command does nothing without them.
        dest: the attribute's name.
        long: whether ``--weights`` says them too.
    """
    parser.add_argument("weights_behind", nargs="?", metavar="W", help=help)
    names = ("-w", "--weights") if long else ("-w",)
    parser.add_argument(*names, dest=dest, metavar=metavar, help="W, as an option")
    parser.set_defaults(weights_dest=dest, weights_needed=needed)


def take_weights(
    args: argparse.Namespace, unknown: list[str], parser: argparse.ArgumentParser
) -> None:
    """Have the weights that stand behind the net under the option's name.

    ``unknown`` has them where options stand between (argparse takes an optional argument for left
    out then); they are taken from it. Ends the program where they are needed and not given, or
    given twice.
    """
    dest = getattr(args, "weights_dest", None)
    if dest is None:
        return
    behind, option = args.weights_behind, getattr(args, dest)
    if behind is None and unknown and not unknown[0].startswith("-"):
        behind = unknown.pop(0)
    if behind is not None and option is not None:
        parser.error(f"the weights are `{behind}` behind the net and `{option}` by `-w`")
    if behind is None and option is None and args.weights_needed:
        parser.error("the weights are needed: W behind the net, or by `-w` or `--weights`")
    setattr(args, dest, option if behind is None else behind)


def add_output_arguments(
    parser: argparse.ArgumentParser, metavar: str = "NEW.prototxt", *, weights: bool = True
) -> None:
    """``-o``, ``--weights-output``, ``-v``, ``--json`` of commands that make nets into new ones.

    Args:
        parser: the command's.
        metavar: of the new text.
        weights: whether new weights are written too.
    """
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar=metavar,
        help="the new text; default: standard output",
    )
    if weights:
        parser.add_argument(
            "--weights-output",
            type=Path,
            metavar="NEW.caffemodel",
            help="the new weights (.caffemodel, .h5, .npz); default: beside the new text",
        )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell every change")
    parser.add_argument("--json", action="store_true", help="tell what was done as JSON")


class ReadOptions(TypedDict):
    """How a text is read, as the driver's functions take it."""

    define: dict[str, str]
    schema: list[Path]


def reading(args: argparse.Namespace) -> ReadOptions:
    """What ``add_text_arguments`` added."""
    return {"define": dict(args.define), "schema": args.schema}


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """``--phase``, ``--level``, ``--stage``: which layers a net has."""
    parser.add_argument("--phase", choices=("TEST", "TRAIN"), default="TEST", help="default: TEST")
    parser.add_argument("--level", type=level, default=0, metavar="N", help="of the net's state")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="S", help="of the net's state; repeatable"
    )


class ChosenState(TypedDict):
    """The state of a net, as the driver's functions take it."""

    phase: str
    level: int
    stages: list[str]


def chosen_state(args: argparse.Namespace) -> ChosenState:
    """What ``add_state_arguments`` added."""
    return {"phase": args.phase, "level": args.level, "stages": args.stage}


def add_schema_argument(parser: argparse.ArgumentParser) -> None:
    """``--schema``: fields of forks that netc does not know."""
    parser.add_argument(
        "--schema",
        metavar="FILE.proto",
        type=Path,
        action="append",
        default=[],
        help="a caffe.proto of your own, merged over the known fields",
    )


def add_shape_argument(
    parser: argparse.ArgumentParser,
    help: str = "shape of an input, such as data=1,3,227,227; repeatable",
    kind: Callable[[str], object] | None = None,
) -> None:
    """``--input-shape``: sizes that the text does not say."""
    parser.add_argument(
        "--input-shape",
        metavar="BLOB=N,C,H,W",
        type=kind or blob_shape,
        action="append",
        default=[],
        help=help,
    )


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """``--precision``: what may be rounded for speed."""
    parser.add_argument(
        "--precision",
        metavar="KIND",
        default="float32",
        help="float32; fp16: on a CPU, inner products' weights as float16; bf16: on a CPU, "
        "products of bfloat16; on a GPU, also tf32 (default: float32)",
    )


def add_memory_argument(parser: argparse.ArgumentParser) -> None:
    """``--max-memory``: of every command."""
    parser.add_argument(
        "--max-memory",
        metavar="SIZE",
        type=size,
        help="such as 2GB; what is taken in all (else NETC_MAX_MEMORY, else 80 %% of what is free)",
    )


def size(text: str) -> int:
    """Bytes, of a text such as 2GB."""
    try:
        return size_of(text, "SIZE")
    except NetcError:
        raise argparse.ArgumentTypeError(f"`{text}` is no size such as 2GB or 512MB") from None


def definition(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` as a pair."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=VALUE")
    return name, value


def blob_shape(text: str) -> tuple[str, Shape]:
    """``BLOB=1,3,227,227`` as a pair; a blob's name may contain ``=``."""
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if shape and max(shape) > MAX_SIZE:
        raise argparse.ArgumentTypeError(f"`{text}` has a size of more than {MAX_SIZE:,}")
    if not name or not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(
            f"`{text}` is not BLOB=SIZES, such as data=1,3,227,227, with sizes of at least 1"
        )
    return name, shape
