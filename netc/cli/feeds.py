"""What ``netc run`` feeds a net: images and arrays from files, shaped as the net's inputs."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from netc.arguments import float32_array, rounded_note
from netc.cli.items import Feed, expanded
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.image_files import read_header
from netc.images import load_input, placement
from netc.ir.graph import Array, Value
from netc.ir.types import Shape, show
from netc.ops.array import AnyArray
from netc.predict.boxes import FedPicture
from netc.predict.prepare import (
    ImageOptions,
    InputTransform,
    arranged,
    preprocessing,
    shape_of,
    transform_of,
)
from netc.predict.records.files import SUFFIXES as IMAGES
from netc.weights.numpy_file import load_array, open_archive

Inputs = Mapping[str, Value]


@dataclass(slots=True)
class LoadedFeeds:
    """What is fed: arrays by blob, what their items are called, and what there is to say.

    ``crops`` is how many crops of each item lie one after another in an array; ``pictures`` has
    one for each item, None for items of arrays.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    pictures: dict[str, list[FedPicture | None]] = field(default_factory=dict)
    crops: dict[str, int] = field(default_factory=dict)
    notes: list[Diagnostic] = field(default_factory=list)


def load_feeds(
    feeds: Sequence[Feed],
    inputs: Inputs,
    args: argparse.Namespace,
    said: Mapping[str, InputTransform] = MappingProxyType({}),
    unneeded: Collection[str] = (),
) -> dict[str, Array]:
    """Input blob -> array. Several files of one blob are items of one batch.

    Files of inputs that nothing asked for depends on are not read.

    Raises:
        NetcError: a file that cannot be read, or an input that the net does not have.
    """
    kept = [item for item in feeds if item.blob not in unneeded]
    return load_items(expanded(kept, inputs), inputs, args, said, unneeded).arrays


def load_items(
    feeds: Sequence[Feed],
    inputs: Inputs,
    args: argparse.Namespace,
    said: Mapping[str, InputTransform],
    unneeded: Collection[str],
) -> LoadedFeeds:
    """What files hold, as ``load_feeds`` does, with what is known of them.

    Raises:
        NetcError: as ``load_feeds``.
    """
    loaded = LoadedFeeds()
    parts: dict[str, list[Any]] = {}
    for item in feeds:
        for blob, array in _load(item, inputs, args, said, unneeded, loaded).items():
            parts.setdefault(blob, []).append(_as_float32(blob, array, loaded))
    loaded.arrays = {blob: _joined(blob, arrays) for blob, arrays in parts.items()}
    loaded.arrays |= _labels(feeds, loaded)
    return loaded


def _labels(feeds: Sequence[Feed], loaded: LoadedFeeds) -> dict[str, Array]:
    """The labels that a list gives beside its images; each crop of an image has the image's."""
    found: dict[str, list[int]] = {}
    for item in feeds:
        if item.label is not None:
            crops = loaded.crops.get(item.blob, 1)
            found.setdefault(item.label[0], []).extend([item.label[1]] * crops)
    return {blob: np.array(labels, np.float32) for blob, labels in found.items()}


def _as_float32(blob: str, array: AnyArray, loaded: LoadedFeeds) -> AnyArray:
    """The array as the net takes it; that it is rounded is said once for each input."""
    note = rounded_note(array.dtype, f"input `{blob}`")
    if note is None:
        return array
    if note not in loaded.notes:
        loaded.notes.append(replace(note, help=()))
    return float32_array(array, f"input `{blob}`")


def _joined(blob: str, arrays: list[AnyArray]) -> AnyArray:
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
    said: Mapping[str, InputTransform],
    unneeded: Collection[str],
    loaded: LoadedFeeds,
) -> dict[str, AnyArray]:
    path = Path(item.path)
    if path.suffix == ".npz":
        arrays = {k: a for k, a in _load_npz(item, path).items() if k not in unneeded}
        for blob in arrays:
            _check_name(blob, inputs)
        found = {blob: arranged(array, transform_of(blob, said)) for blob, array in arrays.items()}
        for blob, array in found.items():
            _note_array(blob, item, array, loaded)
        return found
    _check_name(item.blob, inputs)
    if path.suffix == ".npy":
        array = arranged(load_array(path, "input-format"), transform_of(item.blob, said))
        _note_array(item.blob, item, array, loaded)
        return {item.blob: array}
    if path.suffix.lower() in IMAGES:
        return {item.blob: _load_picture(item, inputs, args, transform_of(item.blob, said), loaded)}
    raise NetcError(
        Diagnostic(
            "input-format",
            f"`{path}` is no image, .npy or .npz by its name",
            help=("images may be " + ", ".join(sorted(s[1:] for s in IMAGES)),),
        )
    )


def _note_array(blob: str, item: Feed, array: AnyArray, loaded: LoadedFeeds) -> None:
    """What the items of an array are called: by its file's name, and their places in it."""
    number = array.shape[0] if array.ndim else 1
    name = item.name or item.path
    names = [name] if number == 1 else [f"{name}[{index}]" for index in range(number)]
    loaded.names.setdefault(blob, []).extend(names)
    loaded.pictures.setdefault(blob, []).extend([None] * number)


def _load_picture(
    item: Feed, inputs: Inputs, args: argparse.Namespace, said: InputTransform, loaded: LoadedFeeds
) -> Array:
    header = read_header(item.path)
    shape = inputs[item.blob].shape
    if shape is None and said.data:  # the layer takes images as they are
        shape = shape_of(said, header)
    how = preprocessing(_known(item.blob, shape), ImageOptions.of(args), said)
    array = load_input(item.path, how)
    name = item.name or item.path
    picture = FedPicture(item.path, name, placement((header.height, header.width), how))
    loaded.names.setdefault(item.blob, []).append(name)
    loaded.pictures.setdefault(item.blob, []).append(picture)
    loaded.crops[item.blob] = array.shape[0]
    if header.turned and not any(note.code == "turned-image" for note in loaded.notes):
        message = f"`{name}` is turned as its camera says (EXIF's orientation), as OpenCV does"
        loaded.notes.append(Diagnostic("turned-image", message, severity="note"))
    return array


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


def _load_npz(item: Feed, path: Path) -> dict[str, AnyArray]:
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
