"""Weights written by `netc quantize`: an ``.npz`` with int8 codes and the scales of layer inputs.

Beside ``<layer>/<index>`` arrays the file has:

``netc.quantization``
    bytes of JSON: ``{"version": 1, "layers": {layer: {"scale": s, "zero": z}}, "made": {...}}``;
    a layer's input x has the code ``rint(x / s) + z`` (netc.ops.reduced).
``netc.scales/<layer>/0``
    the outputs' scales of an array ``<layer>/0`` that is stored as int8 codes.

Such files are as untrusted as any weights: nothing in them is executed, and everything is checked.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netc.boundary import strangers_bytes
from netc.diagnostics import NetcError
from netc.files import replacing
from netc.ir.graph import Array
from netc.ops.reduced import Int8, weight_codes
from netc.weights.archive import entries_of
from netc.weights.bytefile import open_bytes
from netc.weights.faults import fault
from netc.weights.model import Weights
from netc.weights.numpy_file import NumpyArchive, open_archive
from netc.weights.sniff import ZIP

RECORD = "netc.quantization"
SCALES = "netc.scales/"
_VERSION = 1
_MAX_BYTES = 1 << 24  # of the record


@dataclass(frozen=True, slots=True)
class Quantization:
    """Which layers are computed in int8.

    Args:
        layers: layer -> scale and zero point of its input.
        made: how the file was made and what was measured then, as plain values.
    """

    layers: Mapping[str, Int8]
    made: Mapping[str, Any] = field(default_factory=dict)


def quantization_in(weights: object) -> Quantization | None:
    """The quantization record of a weights file; None where ``weights`` is no path to such a file.

    Raises:
        NetcError: malformed-weights, for a damaged record; what opening a file raises.
    """
    if not isinstance(weights, (str, os.PathLike)) or not os.path.isfile(weights):
        return None  # whoever reads the weights tells
    with open_bytes(weights) as file:
        if not file.peek(0, min(8, file.size)).startswith(ZIP):
            return None
    with open_archive(weights) as archive:
        return _record(archive) if RECORD in archive.names else None


def _record(archive: NumpyArchive) -> Quantization:
    given = archive.read(RECORD)
    if given.dtype != np.uint8 or given.ndim != 1 or given.size > _MAX_BYTES:
        raise _bad(archive.path, f"`{RECORD}` holds no bytes of a record")
    with strangers_bytes(lambda error: _bad(archive.path, "its record is no JSON")):
        read = json.loads(given.tobytes().decode("utf-8"))
    if not isinstance(read, dict) or read.get("version") != _VERSION:
        raise _bad(archive.path, f"its record is not of version {_VERSION}")
    layers = read.get("layers")
    if not isinstance(layers, dict):
        raise _bad(archive.path, "its record has no layers")
    made = read.get("made")
    numbers = {name: _number(archive.path, name, value) for name, value in layers.items()}
    return Quantization(numbers, made if isinstance(made, dict) else {})


def _number(path: str, layer: str, given: object) -> Int8:
    scale, zero = (given.get(k) if isinstance(given, dict) else None for k in ("scale", "zero"))
    exact = isinstance(scale, float) and math.isfinite(scale) and zero in (0, 128)
    if not exact or not isinstance(scale, float) or not 1e-30 < np.float32(scale) < 1e30:
        raise _bad(path, f"the scale or the zero of layer `{layer[:80]}` is none")
    return Int8(float(np.float32(scale)), 128 if zero else 0)


def _bad(path: str, why: str) -> NetcError:
    return fault("malformed-weights", path, why, "write it again with `netc quantize`")


def decoded(archive: NumpyArchive, key: str, array: Any) -> Any:
    """An array as stored, or dequantized from int8 codes and scales where it is stored as codes."""
    if RECORD not in archive.names or SCALES + key not in archive.names:
        return array
    scales = archive.read(SCALES + key)
    if array.dtype != np.int8 or scales.dtype != np.float32 or scales.shape != array.shape[:1]:
        raise _bad(archive.path, f"the scales of `{key[:80]}` do not fit its codes")
    return array.astype(np.float32) * scales.reshape(-1, *(1,) * (array.ndim - 1))


def save_quantized(
    path: str | os.PathLike[str],
    weights: Weights,
    quantization: Quantization,
    coded: Collection[str],
) -> None:
    """Write an ``.npz`` of weights and a quantization record, atomically.

    Args:
        path: the file to write.
        weights: all arrays of a net.
        quantization: the layers computed in int8, with their inputs' scales.
        coded: keys ``<layer>/<index>`` of the arrays to store as int8 codes.

    Raises:
        NetcError: cannot-write.
    """
    layers = {n: {"scale": v.scale, "zero": v.zero} for n, v in quantization.layers.items()}
    record = {"version": _VERSION, "layers": layers, "made": dict(quantization.made)}
    text = json.dumps(record, sort_keys=True).encode("utf-8")
    with replacing(Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _put(archive, RECORD, np.frombuffer(text, np.uint8))
        for entry in entries_of(weights):
            key = f"{entry.layer}/{entry.index}"
            if key in coded:
                codes, scales = weight_codes(entry.array)
                _put(archive, key, codes)
                _put(archive, SCALES + key, scales)
            else:
                _put(archive, key, np.asarray(entry.array, np.float32))


def _put(archive: zipfile.ZipFile, key: str, array: Array | np.ndarray[Any, Any]) -> None:
    with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array))
