"""Solver states: ``.solverstate`` and ``.solverstate.h5``, as Caffe's SGDSolver writes them.

The binary form is the message SolverState (caffe.proto): iter 1, learned_net 2, history 3,
current_step 4. weiliu89/caffe@ssd and intel/caffe add what their policy plateau remembers,
minimum_loss 5 and iter_last_event 6, which are read and not written. The HDF5 form has the
datasets ``iter``, ``learned_net`` and ``current_step`` and a group ``history`` with the datasets
"0", "1" ... (BVLC/caffe src/caffe/solvers/sgd_solver.cpp, lines 246 to 349).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netc.boundary import strangers_bytes
from netc.diagnostics import NetcError
from netc.files import replacing
from netc.ir.graph import Array
from netc.weights.archive import Allowance
from netc.weights.blob import BlobOrigin, read_blob, scan_blob
from netc.weights.bytefile import ByteFile, open_bytes
from netc.weights.faults import fault
from netc.weights.hdf5 import check_dataset, dataset_bytes, h5py_module, hdf5_fault, own_member
from netc.weights.model import read_only
from netc.weights.sniff import HDF5
from netc.weights.wire import FIXED32, LENGTH, VARINT, Scanner, WireField, signed
from netc.weights.write import Piece, blob_pieces, record, string_field, varint

if TYPE_CHECKING:
    import h5py

_MAX_BLOBS = 100_000

_LONGEST = 65_536  # bytes of a file's name


@dataclass(frozen=True, slots=True, eq=False)
class SolverState:
    """The contents of a solver state file, from which training resumes.

    Args:
        iteration: how many updates have been made.
        learned_net: path of the weights file, as written when the state was saved; may be empty.
        history: float32 arrays in the solver's order: one for each learnable parameter; AdaDelta
            and Adam have a second one for each, after all of the first.
        current_step: the counter of the policies step, multistep and plateau.
        minimum_loss: plateau's least smoothed loss; None where the file does not say.
        last_event: the iteration of plateau's last event; None where the file does not say.
    """

    iteration: int
    learned_net: str = ""
    history: tuple[Array, ...] = ()
    current_step: int = 0
    minimum_loss: float | None = None
    last_event: int | None = None


def load_solver_state(path: str | os.PathLike[str]) -> SolverState:
    """Load a solver state; binary or HDF5 is detected from the content.

    Raises:
        NetcError: missing-file and the like; not-a-solver-state, or the codes of
            :func:`netc.load_weights` for a damaged file; missing-package without h5py.
    """
    with open_bytes(path) as file:
        if file.peek(0, min(8, file.size)) == HDF5:
            return _load_hdf5(os.fspath(path))
        return _load_binary(file)


def save_solver_state(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a solver state atomically, as HDF5 where the path ends in ``.h5``, else binary.

    Raises:
        NetcError: cannot-write; missing-package without h5py.
    """
    target = Path(path)
    with replacing(target) as temporary:
        if target.suffix.lower() in (".h5", ".hdf5"):
            _save_hdf5(temporary, state)
        else:
            with open(temporary, "wb") as file:
                file.writelines(_pieces(state))


def _pieces(state: SolverState) -> Iterator[Piece]:
    """The bytes that protobuf would write."""
    yield varint(1 << 3 | VARINT) + varint(state.iteration)
    yield string_field(2, state.learned_net)
    for array in state.history:
        yield from record(3, blob_pieces(array)).parts
    yield varint(4 << 3 | VARINT) + varint(state.current_step)


def _load_binary(file: ByteFile) -> SolverState:
    scan = Scanner(file)
    numbers, names, seen = {1: 0, 4: 0}, [""], False
    minimum_loss: float | None = None
    history: list[Array] = []
    for entry in scan.fields(0, file.size):
        if entry.number in (1, 4, 6) and entry.wire == VARINT:
            numbers[entry.number] = signed(entry.value, 32)
            seen = seen or entry.number == 1
        elif entry.number == 2 and seen:
            names.append(scan.text(entry))
        elif entry.number == 3 and seen:
            history.append(_blob(file, scan, entry, len(history)))
        elif entry.number == 5 and entry.wire == FIXED32:
            minimum_loss = float(np.frombuffer(file.read(entry.start, 4), "<f4")[0])
        else:
            raise _no_state(file.path, "it is no SolverState message")
    if not seen:
        raise _no_state(file.path, "it does not say its iteration")
    return SolverState(
        _counted(file.path, numbers[1]),
        names[-1],
        tuple(history),
        numbers[4],
        minimum_loss,
        numbers.get(6),
    )


def _blob(file: ByteFile, scan: Scanner, entry: WireField, index: int) -> Array:
    scan.expect(entry, LENGTH)
    if index >= _MAX_BLOBS:
        raise _no_state(file.path, f"it has more than {_MAX_BLOBS:,} blobs, the limit")
    place = BlobOrigin(file.path, "history", index)
    return read_blob(file, scan_blob(scan, entry.start, entry.end), place)


def _counted(path: str, iteration: int) -> int:
    if iteration < 0:
        raise _no_state(path, f"its iteration is {iteration}")
    return iteration


def _no_state(path: str, reason: str) -> NetcError:
    return fault(
        "not-a-solver-state",
        path,
        f"this is no solver's state: {reason}",
        "a .solverstate lies beside the .caffemodel of the same iteration",
    )


def _load_hdf5(path: str) -> SolverState:
    h5py = h5py_module()
    with strangers_bytes(lambda error: hdf5_fault(path, error)):
        with h5py.File(path, "r") as file:
            return _read_hdf5(path, file)


def _read_hdf5(path: str, file: Mapping[str, object]) -> SolverState:
    group, iteration = own_member(path, file, "history"), own_member(path, file, "iter")
    if group is None or iteration is None or not hasattr(group, "keys"):
        raise _no_state(path, "it has no `iter` and `history`")
    allowance = Allowance(path, os.path.getsize(path))
    history = [_dataset(path, group, str(i), allowance) for i in range(len(group))]
    step = own_member(path, file, "current_step")
    minimum, event = (own_member(path, file, n) for n in ("minimum_loss", "iter_last_event"))
    return SolverState(
        _counted(path, int(_number(path, iteration))),
        _text(path, own_member(path, file, "learned_net")),
        tuple(history),
        0 if step is None else int(_number(path, step)),
        None if minimum is None else _number(path, minimum),
        None if event is None else int(_number(path, event)),
    )


def _text(path: str, dataset: h5py.Dataset) -> str:
    """The net that a state belongs to, empty where it does not say."""
    if dataset is None:
        return ""
    if getattr(dataset, "shape", None) != () or dataset.dtype.itemsize > _LONGEST:
        raise _no_state(path, "`learned_net` is no file's name")
    name = dataset[()]
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
    return text.rstrip("\0")


def _number(path: str, dataset: h5py.Dataset) -> float:
    if getattr(dataset, "size", 0) != 1:
        raise _no_state(path, "it has no one number of iterations")
    return float(np.asarray(dataset[()]).reshape(-1)[0])


def _dataset(path: str, group: Mapping[str, object], name: str, allowance: Allowance) -> Array:
    dataset = own_member(path, group, name)
    if getattr(dataset, "dtype", None) is None:
        raise _no_state(path, f"its history has {len(group)} arrays, and none called `{name}`")
    check_dataset(path, f"history/{name}", dataset)
    allowance.take(f"history/{name}", dataset_bytes(dataset))
    return read_only(np.asarray(dataset[()], dtype=np.float32))


def _save_hdf5(path: Path, state: SolverState) -> None:
    h5py = h5py_module()
    with h5py.File(path, "w") as file:
        file.create_dataset("iter", data=np.array([state.iteration], "<i4"))
        text = state.learned_net.encode("utf-8", "replace")
        file.create_dataset("learned_net", data=np.bytes_(text + b"\0"))
        file.create_dataset("current_step", data=np.array([state.current_step], "<i4"))
        history = file.create_group("history")
        for index, array in enumerate(state.history):
            history.create_dataset(str(index), data=array, dtype="<f4")
