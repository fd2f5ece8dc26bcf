"""What ``netc run`` feeds a net: images and arrays from files, shaped as the net's inputs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from netc.cli.prepare import Said, arranged, preprocessing, said_of, shape_of
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.images import FORMATS, load_input, read_header
from netc.infer import show
from netc.ir.graph import Array, Value
from netc.ir.types import Shape
from netc.weights.numpy_file import load_array, open_archive

IMAGES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


class Feed(NamedTuple):
    """A file for an input; ``blob`` is empty for an .npz whose arrays name their blobs."""

    blob: str
    path: str


def feed(text: str) -> Feed:
    """``BLOB=FILE``, or an .npz file alone; of its arrays those below ``in/`` count if any are."""
    blob, equals, path = text.partition("=")
    if not equals and text.endswith(".npz"):
        return Feed("", text)
    if not blob or not path:
        raise argparse.ArgumentTypeError(f"`{text}` is not BLOB=FILE")
    return Feed(blob, path)


Inputs = Mapping[str, Value]


def load_feeds(
    feeds: list[Feed],
    inputs: Inputs,
    args: argparse.Namespace,
    said: Mapping[str, Said] = MappingProxyType({}),
    unneeded: Collection[str] = (),
) -> dict[str, Array]:
    """Input blob -> array. Several files of one blob are items of one batch.

    Files of inputs that nothing asked for depends on are not read.

    Raises:
        NetcError: a file that cannot be read, or an input that the net does not have.
    """
    parts: dict[str, list[Any]] = {}
    for item in feeds:
        if item.blob in unneeded:
            continue
        for blob, array in _load(item, inputs, args, said, unneeded).items():
            parts.setdefault(blob, []).append(array)
    return {blob: _joined(blob, arrays) for blob, arrays in parts.items()}


def _joined(blob: str, arrays: list[Any]) -> Any:
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = " and ".join(sorted({show(array.shape) for array in arrays}))
        raise NetcError(
            Diagnostic("input-shape", f"the files for input `{blob}` differ in shape: {shapes}")
        )
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _load(
    item: Feed,
    inputs: Inputs,
    args: argparse.Namespace,
    said: Mapping[str, Said],
    unneeded: Collection[str],
) -> dict[str, Any]:
    path = Path(item.path)
    if path.suffix == ".npz":
        arrays = {k: a for k, a in _load_npz(item, path).items() if k not in unneeded}
        for blob in arrays:
            _check_name(blob, inputs)
        return {blob: arranged(array, said_of(blob, said)) for blob, array in arrays.items()}
    _check_name(item.blob, inputs)
    if path.suffix == ".npy":
        array = load_array(path, "input-format")
        return {item.blob: arranged(array, said_of(item.blob, said))}
    if path.suffix.lower() in IMAGES:
        known = said_of(item.blob, said)
        shape = inputs[item.blob].shape
        if shape is None and known.data:  # the layer takes images as they are
            shape = shape_of(known, read_header(path))
        how = preprocessing(_known(item.blob, shape), args, known)
        return {item.blob: load_input(path, how)}
    raise NetcError(
        Diagnostic(
            "input-format",
            f"`{path}` is no image, .npy or .npz by its name",
            help=("images may be " + ", ".join(sorted(s[1:] for s in IMAGES)),),
        )
    )


def _check_name(blob: str, inputs: Inputs) -> None:
    if blob not in inputs:
        listed = ", ".join(f"`{name}`" for name in inputs) or "none"
        raise NetcError(
            Diagnostic(
                "unknown-input",
                f"the net has no input `{blob}`; its inputs are: {listed}",
                help=did_you_mean(blob, inputs),
            )
        )


def _known(blob: str, shape: Shape | None) -> Shape:
    if shape is None:
        raise NetcError(
            Diagnostic(
                "unknown-input-shape",
                f"the text does not say the shape of input `{blob}`",
                help=(f"give it with --input-shape {blob}=1,3,HEIGHT,WIDTH",),
            )
        )
    return shape


def _load_npz(item: Feed, path: Path) -> dict[str, Any]:
    with open_archive(path, "input-format") as file:
        named = [name for name in file.names if name.startswith("in/")] or file.names
        keys = {name.removeprefix("in/"): name for name in named}
        wanted = [item.blob] if item.blob in keys else [] if item.blob else list(keys)
        arrays = {blob: file.read(keys[blob]) for blob in wanted}
    if item.blob and not wanted:
        listed = ", ".join(f"`{name}`" for name in keys) or "none"
        raise NetcError(
            Diagnostic(
                "input-format", f"`{path}` has no array `{item.blob}`; its arrays are: {listed}"
            )
        )
    return arrays
