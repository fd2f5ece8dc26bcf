"""Snapshots: weights, solver state, and beside them what Caffe's files have no place for.

``PREFIX_iter_N.caffemodel``, ``PREFIX_iter_N.solverstate`` (both with ``.h5`` in that format) and
``PREFIX_iter_N.netcstate``, a JSON text. The solver state is written last and every file whole or
not at all, so that a state that is there can be gone on from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing

_SUFFIXES = {"BINARYPROTO": "", "HDF5": ".h5"}


class SnapshotFiles(NamedTuple):
    """The files of one snapshot."""

    weights: Path
    state: Path
    beside: Path


def prefix_of(prefix: str, solver: Path | None) -> str:
    """What a snapshot's name begins with (util/upgrade_proto.cpp:1102-1125).

    Args:
        prefix: `snapshot_prefix`; empty for the solver's own path without its extension. A folder
            stands for the solver's name inside it.
        solver: the solver's file; None where it came from none, and the prefix is taken as it is.
    """
    if solver is None:
        return prefix
    if not prefix:
        return os.path.splitext(os.fspath(solver))[0]
    if os.path.isdir(prefix):
        return os.path.join(prefix, solver.stem)
    return prefix


def snapshot_files(prefix: str, iteration: int, format: str) -> SnapshotFiles:
    """The names of a snapshot's files."""
    base, suffix = f"{prefix}_iter_{iteration}", _SUFFIXES[format]
    return SnapshotFiles(
        Path(f"{base}.caffemodel{suffix}"),
        Path(f"{base}.solverstate{suffix}"),
        Path(f"{base}.netcstate"),
    )


def check_writable(prefix: str) -> None:
    """Complain before training rather than at the first snapshot (solver.cpp:435-452).

    Raises:
        NetcError: cannot-write.
    """
    folder = Path(prefix).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "cannot be written to" if folder.is_dir() else "is not there"
        message = f"snapshots go to `{prefix}_iter_...`, and the folder `{folder}` {what}"
        help = (f"mkdir -p {folder}", "or set `snapshot_prefix`")
        raise NetcError(Diagnostic("cannot-write", message, help=help))


def write_beside(path: Path, content: Mapping[str, Any]) -> None:
    """Write what lies beside a state."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_beside(state: Path) -> Mapping[str, Any]:
    """What lies beside a state; empty where nothing does, as beside Caffe's own.

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
        message = f"{path}: this is not what lies beside a solver's state"
        help = ("delete it to go on from the state alone",)
        raise NetcError(Diagnostic("not-a-solver-state", message, help=help))
    return content
