"""Loading weights (the format is detected from the content) and saving them (by the suffix)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.schema.message import Message
from netc.weights.bytefile import open_bytes
from netc.weights.caffemodel import load_caffemodel
from netc.weights.definitions import wire_definitions
from netc.weights.faults import fault
from netc.weights.hdf5 import load_hdf5, save_hdf5
from netc.weights.model import LayerWeights, Weights, float32_array
from netc.weights.modern import modernised
from netc.weights.npz import load_npz, save_npz
from netc.weights.sniff import HDF5, ZIP
from netc.weights.write import Definitions, save_caffemodel

Arrays = Mapping[str, Sequence[Any]]


def load_weights(path: str | os.PathLike[str]) -> Weights:
    """Load trained arrays from a ``.caffemodel`` (V0 to V2), ``.caffemodel.h5`` or ``.npz``.

    The format is detected from the content, not from the file's name.

    Returns:
        Layer name -> tuple of read-only float32 arrays, each in the shape the file gives it.

    Raises:
        NetcError: missing-file and the like; malformed-weights, truncated-weights, not-weights,
            no-layers, bad-blob, too-large, too-little-memory: with the byte or key of the fault;
            missing-package, for HDF5 without h5py.
    """
    with open_bytes(path) as file:
        head = file.peek(0, min(8, file.size))
    if head == HDF5:
        return load_hdf5(path)
    if head.startswith(ZIP):
        return load_npz(path)
    return load_caffemodel(path)


def save_weights(
    path: str | os.PathLike[str],
    weights: Arrays | Weights,
    net: Message | None = None,
    *,
    kind: str | None = None,
    half: bool = False,
    diffs: Arrays | None = None,
) -> None:
    """Write weights as ``.caffemodel``, ``.h5`` or ``.npz``, by the path's suffix.

    The file is written atomically. Blobs stored with legacy num, channels, height and width get
    their current shape where the layer's type determines the number of axes.

    Args:
        path: the file to write.
        weights: what ``load_weights`` returned, or layer name -> arrays.
        net: a bound NetParameter whose layer definitions are stored in a ``.caffemodel``, in its
            order; layers with arrays that it lacks come after them, with name and type only.
        kind: the suffix that selects the format; None for the path's own.
        half: whether arrays whose ``kinds`` say float16 are written as 16-bit floats; otherwise
            all are written as float32.
        diffs: layer name -> gradients (BlobProto's ``diff``) to store beside the arrays, in
            ``.caffemodel`` and ``.h5``.

    Raises:
        NetcError: unknown-suffix, cannot-write, bad-blob, unsupported-name or too-large.
    """
    given = as_weights(weights)
    if diffs is not None:
        given = given.with_diffs(diffs)
    write_weights(path, given, None if net is None else wire_definitions(net), kind, half)


def write_weights(
    path: str | os.PathLike[str],
    weights: Arrays | Weights,
    definitions: Definitions | None = None,
    kind: str | None = None,
    half: bool = False,
) -> None:
    """``save_weights`` with layer definitions that are already encoded; arguments as there.

    Raises:
        NetcError: as :func:`save_weights`.
    """
    target = Path(path)
    kind = "".join(target.suffixes[-1:]).lower() if kind is None else kind
    if kind not in (".caffemodel", ".h5", ".hdf5", ".npz"):
        raise fault(
            "unknown-suffix",
            str(target),
            f"weights cannot be saved with the suffix `{kind}`",
            "use .caffemodel, .caffemodel.h5 or .npz",
        )
    checked = as_weights(weights)
    current = _modernised(checked, half)
    with replacing(target) as temporary:
        if kind == ".npz":
            save_npz(temporary, current)
        elif kind == ".caffemodel":
            _check_whole(current)
            save_caffemodel(temporary, current, definitions)
        else:
            save_hdf5(temporary, current)


def _check_whole(weights: Weights) -> None:
    """A caffemodel has no way to leave a blob out."""
    for layer in weights.layers.values():
        if layer.indices != tuple(range(len(layer.arrays))):
            raise NetcError(
                Diagnostic(
                    "bad-blob",
                    f"layer `{layer.name}` has blobs {list(layer.indices)} alone, since it shares "
                    "others, and a .caffemodel stores them all",
                    help=("save as .caffemodel.h5 or .npz, or save a compiled net's weights",),
                )
            )


def as_weights(weights: Arrays | Weights) -> Weights:
    """Weights from a mapping of layer name -> arrays; Weights are returned unchanged.

    float32 arrays in C order are not copied; others are converted.

    Raises:
        NetcError: bad-blob, where a value is no sequence of arrays of real numbers.
    """
    if isinstance(weights, Weights):
        return weights
    if not isinstance(weights, Mapping):
        raise NetcError(
            Diagnostic(
                "bad-weights",
                f"weights are a path or a mapping of layer name to arrays, not a "
                f"`{type(weights).__name__}`",
            )
        )
    return Weights({str(name): _layer(str(name), given) for name, given in weights.items()})


def _layer(name: str, given: object) -> LayerWeights:
    if not isinstance(given, (list, tuple)):
        raise _bad_layer(name, f"must be a tuple or list of arrays, not `{type(given).__name__}`")
    try:
        return LayerWeights(name, tuple(float32_array(array) for array in given))
    except (TypeError, ValueError) as error:
        raise _bad_layer(name, f"must be arrays of real numbers: {error}") from None


def _bad_layer(name: str, message: str) -> NetcError:
    return NetcError(Diagnostic("bad-blob", f"the weights of layer `{name}` {message}"))


def _modernised(weights: Weights, half: bool) -> Weights:
    """Weights with today's shapes, and 16-bit numbers only where they are wanted."""
    layers = {name: modernised(layer) for name, layer in weights.layers.items()}
    if not half:
        layers = {name: replace(layer, kinds=()) for name, layer in layers.items()}
    return Weights(layers, weights.path, net_name=weights.net_name)
