"""How images become an input: as the command's options say, else as the net's text says.

A text says it in the ``transform_param`` of its Input layer, which the dialect's ``input`` block
writes; see docs/language.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.images import Preprocessing, read_mean
from netc.infer import show
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.schema.message import Message


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a text says of an input; None where it does not.

    Attributes:
        mean: for each channel, in the net's order.
        mean_file: a path, as it is opened, and where it is said.
        range: what black and white are before mean and scale.
        layout: of arrays, "NCHW" or "NHWC".
        span: where it is said.
    """

    mean: tuple[float, ...] = ()
    mean_file: tuple[Path, Span | None] | None = None
    scale: float | None = None
    order: Literal["BGR", "RGB"] | None = None
    resize: tuple[int, ...] = ()
    crops: Literal["center", "ten"] | None = None
    range: tuple[float, ...] = ()
    layout: str = "NCHW"
    span: Span | None = None


NOTHING = Said()


def said_of_inputs(net: Message, folder: Path | None) -> dict[str, Said]:
    """What a net's text says of its inputs, by blob.

    Args:
        net: in the current format.
        folder: that paths in the text start from; None for the current one.

    Raises:
        NetcError: bad-preprocessing, for numbers that mean nothing.
    """
    found = {}
    for layer in net.get("layer"):
        if layer.get("type") == "Input" and layer.has("transform_param"):
            said = _said(layer.get("transform_param"), folder)
            found.update(dict.fromkeys(layer.get("top"), said))
    return found


def _said(transform: Message, folder: Path | None) -> Said:
    file = transform.optional("mean_file")
    _check_count(transform, "range", (2,))
    _check_count(transform, "resize", (1, 2))
    if len(set(transform.get("range"))) == 1:
        raise transform.error("range", "bad-preprocessing", "black and white are the same number")
    if any(size == 0 for size in transform.get("resize")):
        raise transform.error("resize", "bad-preprocessing", "`resize` is at least 1")
    crops: Any = transform.optional("crops")
    return Said(
        transform.get("mean_value"),
        None if file is None else ((folder or Path()) / file, transform.span_of("mean_file")),
        transform.optional("scale"),
        transform.optional("channel_order"),
        transform.get("resize"),
        crops.lower() if crops else None,
        transform.get("range"),
        transform.get("layout"),
        transform.span,
    )


def _check_count(transform: Message, name: str, allowed: tuple[int, ...]) -> None:
    count = len(transform.get(name))
    if count and count not in allowed:
        listed = " or ".join(map(str, allowed))
        message = f"`{name}` has {listed} values, and {count} are given"
        raise transform.error(name, "bad-preprocessing", message)


def preprocessing(shape: Shape, args: argparse.Namespace, said: Said = NOTHING) -> Preprocessing:
    """How images are made into an input of this shape.

    Raises:
        NetcError: input-shape, if no image can be; or the mean cannot be read.
    """
    if len(shape) != 4:
        raise NetcError(
            Diagnostic(
                "input-shape",
                f"an image cannot be an input of {show(shape)}",
                help=("give an .npy or .npz file",),
            )
        )
    black, white = _range(args, said)
    return Preprocessing(
        size=(shape[2], shape[3]),
        channels=shape[1],
        resize=_first(args.resize, _resize(said), None),
        crops=_first(args.crops, said.crops, "center"),
        channel_order=_first(args.channel_order, said.order, "BGR"),
        raw_scale=white - black,
        mean=_mean(args, said, black),
        scale=_first(args.scale, said.scale, 1.0),
    )


def _first(*values: Any) -> Any:
    """The first that is given; the last is the default."""
    return next((value for value in values if value is not None), values[-1])


def _resize(said: Said) -> tuple[int, int] | int | None:
    if len(said.resize) == 2:
        return said.resize[0], said.resize[1]
    return said.resize[0] if said.resize else None


def _range(args: argparse.Namespace, said: Said) -> tuple[float, float]:
    """What black and white become."""
    if args.raw_scale is not None:
        return 0.0, float(args.raw_scale)
    return (said.range[0], said.range[1]) if said.range else (0.0, 255.0)


def _mean(args: argparse.Namespace, said: Said, black: float) -> Array | None:
    """What is subtracted: the mean, less what black is."""
    mean: Array | None = None
    if args.mean is not None:
        mean = read_mean(args.mean)
    elif said.mean_file is not None:
        mean = _read_mean(*said.mean_file)
    elif said.mean:
        mean = np.array(said.mean, dtype=np.float32)
    if black == 0:
        return mean
    return np.array([-black], dtype=np.float32) if mean is None else mean - np.float32(black)


def _read_mean(path: Path, span: Span | None) -> Array:
    """A mean that the text names; faults are told at its place."""
    try:
        return read_mean(str(path))
    except NetcError as error:
        raise NetcError(*(replace(d, span=d.span or span) for d in error.diagnostics)) from None


def arranged(array: Any, said: Said) -> Any:
    """An array as the net takes it: channels first, where the text says they are last."""
    if said.layout == "NHWC" and getattr(array, "ndim", 0) == 4:
        return array.transpose(0, 3, 1, 2)
    return array


def said_of(blob: str, known: Mapping[str, Said]) -> Said:
    """What is said of an input, nothing where it is not known."""
    return known.get(blob, NOTHING)
