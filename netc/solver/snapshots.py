"""The files of a snapshot: weights, solver state, and what Caffe's files have no place for.

``PREFIX_iter_N.caffemodel``, ``PREFIX_iter_N.solverstate`` (both with ``.h5`` in that format) and
``PREFIX_iter_N.netcstate``, a JSON text. Every file is written atomically and the solver state
last, so that training can be resumed from any state file that exists.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.ir.graph import Array
from netc.schema.message import Message
from netc.solver.smoothing import Smoothing

_SUFFIXES = {"BINARYPROTO": "", "HDF5": ".h5"}


class SnapshotFiles(NamedTuple):
    """The files of one snapshot.

    ``names`` are those of weights and state as the prefix is written, and as Caffe logs and stores
    them; a path drops a leading `./`.
    """

    weights: Path
    state: Path
    beside: Path
    names: tuple[str, str]


def prefix_of(prefix: str, solver: Path | None) -> str:
    """The prefix of snapshot names (util/upgrade_proto.cpp:1102-1125).

    Args:
        prefix: `snapshot_prefix`; empty for the solver's own path without its extension. For a
            folder the solver's file name, without extension, is appended.
        solver: the solver's file; None for a text from no file, when ``prefix`` is used as it is.
    """
    if solver is None:
        return prefix
    if not prefix:
        return os.path.splitext(os.fspath(solver))[0]
    if os.path.isdir(prefix):
        return os.path.join(prefix, solver.stem)
    return prefix


def snapshot_files(prefix: str, iteration: int, format: str) -> SnapshotFiles:
    """The paths of a snapshot's files; ``format`` is the solver's `snapshot_format`."""
    base, suffix = f"{prefix}_iter_{iteration}", _SUFFIXES[format]
    names = f"{base}.caffemodel{suffix}", f"{base}.solverstate{suffix}"
    return SnapshotFiles(Path(names[0]), Path(names[1]), Path(f"{base}.netcstate"), names)


def last_state(prefix: str) -> Path | None:
    """The solver state with this prefix that has the most iterations; None where there is none."""
    base = Path(prefix)
    named = re.compile(re.escape(base.name) + r"_iter_(\d+)\.solverstate(?:\.h5)?")
    try:
        names = [path.name for path in base.parent.iterdir()]
    except OSError:
        return None
    found = [(int(match[1]), name) for name in names if (match := named.fullmatch(name))]
    return base.with_name(max(found)[1]) if found else None


def check_writable(prefix: str, solver: Message) -> None:
    """Check before training that snapshots can be written (solver.cpp:435-452).

    Args:
        prefix: of the snapshots' paths.
        solver: the SolverParameter, where an error points at its `snapshot_prefix`.

    Raises:
        NetcError: cannot-write.
    """
    folder = Path(prefix).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "cannot be written to" if folder.is_dir() else "is not there"
        message = f"snapshots go to `{prefix}_iter_...`, and the folder `{folder}` {what}"
        help = (f"mkdir -p {folder}", "or set `snapshot_prefix`")
        name = "snapshot_prefix" if solver.has("snapshot_prefix") else "snapshot"
        raise NetcError(Diagnostic("cannot-write", message, solver.span_of(name), help=help))


def write_beside(path: Path, content: Mapping[str, object]) -> None:
    """Write a ``.netcstate``."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_beside(state: Path) -> Mapping[str, object]:
    """The content of a state's ``.netcstate``; empty where there is none, as for Caffe's states.

    Raises:
        NetcError: not-a-solver-state, where it is damaged.
    """
    name = state.name.removesuffix(".h5").removesuffix(".solverstate")
    path = state.with_name(f"{name}.netcstate")
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise damaged_beside(os.fspath(path))
    return content


def damaged_beside(path: str) -> NetcError:
    """A ``not-a-solver-state`` error for a damaged ``.netcstate``; to be raised by the caller."""
    message = f"{path}: what lies beside it, its .netcstate, is damaged"
    help = ("delete that file to go on from the state alone",)
    return NetcError(Diagnostic("not-a-solver-state", message, help=help))


def array_json(array: Array) -> list[object]:
    """A small float32 array as JSON: its shape and its elements, without rounding."""
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return [list(array.shape), base64.b64encode(data).decode("ascii")]


def read_array(content: Any) -> Array:
    """The inverse of ``array_json``.

    Raises:
        TypeError, ValueError: the content is something else.
    """
    shape, data = content
    elements = np.frombuffer(base64.b64decode(data, validate=True), "<f4")
    return elements.astype(np.float32).reshape([int(size) for size in shape])


def window_json(window: Smoothing) -> dict[str, object]:
    """The last losses, whose mean is displayed, as JSON."""
    losses = [float(loss) for loss in window.losses]
    return {"losses": losses, "mean": float(window.mean), "seen": window.seen}


def read_window(content: Any) -> Smoothing:
    """The inverse of ``window_json``; the caller compares the window with its own.

    Raises:
        TypeError, ValueError, KeyError: the content is something else.
    """
    losses = tuple(np.float32(loss) for loss in content["losses"])
    seen = int(content["seen"])
    return Smoothing(max(1, len(losses)), losses, np.float32(content["mean"]), seen)
