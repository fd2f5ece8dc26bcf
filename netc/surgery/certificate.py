"""Certificates: what was compared with what, and the errors, as JSON that can be re-checked."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.surgery.opponents import Opponent
from netc.surgery.verify import Verification, array_hash
from netc.version import __version__
from netc.weights.bytefile import open_bytes

FORMAT = "netc certificate 1"
_MAX_BYTES = 64 << 20  # of a certificate
_BLOCK = 1 << 20


class CertifiedFiles(NamedTuple):
    """What is verified: the files, and how they are read."""

    net: Path
    weights: Path | None
    inputs: Path | None = None
    other_weights: Path | None = None
    stages: tuple[str, ...] = ()
    level: int = 0
    shapes: Mapping[str, tuple[int, ...]] = {}
    backend: str = "cpu"


def certificate(
    subject: CertifiedFiles, opponent: Opponent, found: Verification, folder: Path
) -> dict[str, Any]:
    """The certificate of a comparison, as plain values.

    Args:
        subject: the files.
        opponent: the program or numbers they were compared with.
        found: the comparison's result.
        folder: the certificate's folder; its paths are relative to it.
    """
    departed = found.departed
    return {
        "format": FORMAT,
        "equal": found.equal,
        "first_departure": departed.blob if departed else None,
        "tolerance": found.tolerance,
        "net": _file(subject.net, folder),
        "weights": _file(subject.weights, folder),
        "against": {
            "kind": opponent.kind,
            "version": opponent.version,
            "files": [_file(path, folder) for path in opponent.files],
            "weights": _file(subject.other_weights, folder),
        },
        "inputs": {
            "seed": found.seed,
            "file": _file(subject.inputs, folder),
            "blobs": {
                blob: {"shape": list(array.shape), "sha256": array_hash(array)}
                for blob, array in found.feeds.items()
            },
        },
        "state": {"stages": list(subject.stages), "level": subject.level},
        "input_shapes": {blob: list(shape) for blob, shape in subject.shapes.items()},
        "backend": subject.backend,
        "versions": {
            "netc": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "blobs": [
            {
                "blob": error.blob,
                "layer": error.layer,
                "shape": list(error.shape),
                "largest_error": _plain(error.largest),
                "relative_error": _plain(error.relative),
            }
            for error in found.errors
        ],
        "not_compared": dict(found.apart),
    }


def _plain(value: float) -> float | str:
    """A number that JSON has; infinities as text."""
    return value if math.isfinite(value) else str(value)


def _file(path: Path | None, folder: Path) -> dict[str, Any] | None:
    if path is None:
        return None
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return {"file": Path(relative).as_posix(), "sha256": file_hash(path)}


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        NetcError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with open_bytes(path) as file:
        for start in range(0, file.size, _BLOCK):
            digest.update(file.read(start, min(_BLOCK, file.size - start)))
    return digest.hexdigest()


def read_certificate(path: Path) -> dict[str, Any]:
    """Read a certificate.

    Raises:
        NetcError: bad-certificate, or it cannot be read.
    """
    with open_bytes(path) as file:
        if file.size > _MAX_BYTES:
            raise _bad(path, f"it has {file.size:,} bytes")
        data = file.read(0, file.size)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is no JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise _bad(path, f"its format is not `{FORMAT}`")
    return found


def _bad(path: Path, why: str) -> NetcError:
    return NetcError(Diagnostic("bad-certificate", f"`{path}` is no certificate: {why}"))


class NamedFiles(NamedTuple):
    """The files that a certificate names, with their expected SHA-256."""

    subject: CertifiedFiles
    kind: str
    other: tuple[Path, ...]
    hashes: Mapping[Path, str]


def named_files(found: Mapping[str, Any], path: Path, outside: bool = False) -> NamedFiles:
    """The files of a certificate; with ``outside`` they may be in any folder, not only its own.

    Raises:
        NetcError: bad-certificate, outside-file.
    """
    hashes: dict[Path, str] = {}

    def place(entry: Any) -> Path | None:
        if entry is None:
            return None
        file: Path = path.parent / str(entry["file"])
        inside = file.resolve().is_relative_to(path.parent.resolve())
        if not inside and not outside:
            message = f"`{path}` names `{entry['file']}`, which lies outside of its folder"
            help = ("--allow-outside reads it all the same",)
            raise NetcError(Diagnostic("outside-file", message, help=help))
        hashes[file] = str(entry["sha256"])
        return file

    try:
        against, inputs, state = found["against"], found["inputs"], found["state"]
        net = place(found["net"])
        others = tuple(file for file in map(place, against["files"]) if file)
        subject = CertifiedFiles(
            net or Path(),
            place(found["weights"]),
            place(inputs["file"]),
            place(against["weights"]),
            tuple(map(str, state["stages"])),
            int(state["level"]),
            {str(b): tuple(map(int, s)) for b, s in found["input_shapes"].items()},
            str(found["backend"]),
        )
        return NamedFiles(subject, str(against["kind"]), others, hashes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(path, f"an entry is missing or of another kind: {error}") from None


def changed_files(named: NamedFiles) -> list[str]:
    """The names of the files whose hash has changed."""
    return [str(file) for file, wanted in named.hashes.items() if file_hash(file) != wanted]


def differences(found: Mapping[str, AnyArray], again: Mapping[str, AnyArray]) -> list[str]:
    """The differences between a certificate and a new comparison, in words; none if it holds."""
    unlike: list[str] = []
    if found["inputs"]["blobs"] != again["inputs"]["blobs"]:
        unlike.append("the inputs are not those of the certificate")
    before = {entry["blob"]: entry for entry in found["blobs"]}
    after = {entry["blob"]: entry for entry in again["blobs"]}
    unlike += [f"blob `{name}` is compared no more" for name in before if name not in after]
    tolerance = float(found["tolerance"])
    for name, entry in after.items():
        was = before.get(name)
        if was is not None and _within(was, tolerance) != _within(entry, tolerance):
            verb = "departs now" if _within(was, tolerance) else "is equal now"
            error = float(entry["relative_error"])
            unlike.append(f"blob `{name}` {verb}: its relative error is {error:.2g}")
    return unlike


def _within(entry: Mapping[str, Any], tolerance: float) -> bool:
    return float(entry["relative_error"]) <= tolerance
