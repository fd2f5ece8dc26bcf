"""``netc run``: a net on images or arrays."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netc.cli.arguments import add_shape_argument, add_state_arguments, add_text_arguments
from netc.cli.feeds import feed, load_feeds
from netc.cli.output import print_diagnostics, print_json
from netc.cli.progress import compiling
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.driver import build, compile, read_net
from netc.infer import show
from netc.ir.graph import Array
from netc.ir.types import Shape

_VALUES = 1000  # of an output, at most, that --json prints in full


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("net", metavar="NET", help="prototxt")
    parser.add_argument("-w", "--weights", metavar="FILE", help=".caffemodel, .h5 or .npz")
    parser.add_argument(
        "-i",
        "--input",
        metavar="BLOB=FILE",
        type=feed,
        action="append",
        default=[],
        help="an image, .npy or .npz; several of one blob are a batch; an .npz alone names blobs",
    )
    _add_image_arguments(parser)
    parser.add_argument("--labels", metavar="FILE", help="one label a line, for the top scores")
    parser.add_argument("--top", metavar="K", type=int, default=5, help="scores shown (default: 5)")
    parser.add_argument(
        "--output", metavar="BLOB", action="append", default=[], help="a further output; repeatable"
    )
    parser.add_argument("--save", metavar="FILE.npz", help="write every output")
    parser.add_argument("--backend", default="cpu", help="cpu or reference (default: cpu)")
    parser.add_argument("--fill-missing", action="store_true", help="fill layers without weights")
    add_state_arguments(parser)
    add_shape_argument(parser)
    add_text_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images", "as Caffe's tools prepare them")
    group.add_argument("--mean", metavar="B,G,R|FILE", help="values, .binaryproto or .npy")
    group.add_argument("--scale", type=float, default=1.0, help="factor after the mean")
    group.add_argument(
        "--raw-scale", type=float, default=255.0, help="what white is (default: 255)"
    )
    group.add_argument("--channel-order", choices=("BGR", "RGB"), default="BGR")
    group.add_argument(
        "--resize", metavar="H,W|SHORT", type=_size, help="before cropping to the input's size"
    )
    group.add_argument("--crops", choices=("center", "ten"), default="center")


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
    labels = _read_labels(args.labels)
    feeds = load_feeds(args.input, _declared(args), args)
    net = _compile(args, {name: array.shape for name, array in feeds.items()})
    if args.weights is None:
        print_diagnostics([_no_weights()])
    results = net(feeds)
    if args.save:
        np.savez(args.save, **results)  # type: ignore[arg-type]
    if args.json:
        print_json(
            {
                "net": net.name,
                "outputs": {n: _as_json(a, labels, args.top) for n, a in results.items()},
            }
        )
    else:
        for name, array in results.items():
            _print(name, array, labels, args.top)
    return 0


def _declared(args: argparse.Namespace) -> dict[str, Shape | None]:
    """The inputs' shapes as text and arguments say."""
    text = read_net(args.net, define=dict(args.define), schema=args.schema)
    built = build(
        text.message,
        phase=args.phase,
        level=args.level,
        stages=args.stage,
        inputs=dict(args.input_shape),
    )
    return {name: built.graph.values[name].shape for name in built.graph.inputs}


def _compile(args: argparse.Namespace, shapes: dict[str, Shape]) -> CompiledNet:
    with compiling() as progress:
        return compile(
            args.net,
            args.weights,
            backend=args.backend,
            phase=args.phase,
            level=args.level,
            stages=args.stage,
            inputs={**dict(args.input_shape), **shapes},
            outputs=args.output,
            define=dict(args.define),
            schema=args.schema,
            missing="fill" if args.fill_missing else "error",
            progress=progress,
        )


def _no_weights() -> Diagnostic:
    return Diagnostic(
        "no-weights",
        "no weights are given, so the layers' fillers made some",
        severity="warning",
        help=("give trained ones with --weights",),
    )


def _read_labels(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise NetcError(Diagnostic("labels", f"cannot read `{path}`: {reason}")) from None


def _scores(array: Array) -> Array | None:
    """An output as (items, classes), None where it is no such thing."""
    if array.ndim < 2 or any(size != 1 for size in array.shape[2:]) or array.size == 0:
        return None
    return array.reshape(array.shape[:2])


def _top(row: Array, labels: Sequence[str], number: int) -> list[dict[str, Any]]:
    best = np.argsort(-row, kind="stable")[: max(number, 0)]
    return [
        {
            "index": int(i),
            **({"label": labels[i]} if i < len(labels) else {}),
            "score": float(row[i]),
        }
        for i in best
    ]


def _as_json(array: Array, labels: Sequence[str], number: int) -> dict[str, Any]:
    out: dict[str, Any] = {"shape": list(array.shape)}
    scores = _scores(array)
    if scores is not None:
        out["top"] = [_top(row, labels, number) for row in scores]
    if array.size <= _VALUES:
        out["values"] = array.tolist()
    return out


def _print(name: str, array: Array, labels: Sequence[str], number: int) -> None:
    scores = _scores(array)
    if array.size == 1:
        print(f"{name}: {array.item():g}")
    elif scores is None:
        print(f"{name}: {show(array.shape)}, from {array.min():g} to {array.max():g}")
    else:
        for index, row in enumerate(scores):
            item = f" of item {index}" if len(scores) > 1 else ""
            print(f"{name}{item}:")
            for entry in _top(row, labels, number):
                print(f"  {entry['score']:9.4f}  {entry.get('label', entry['index'])}")
