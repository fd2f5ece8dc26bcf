"""Solver states: what Caffe wrote is read and written again, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.weights.solver_state import SolverState, load_solver_state, save_solver_state

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"
BINARY = sorted(GOLDEN.glob("*.solverstate"))
HDF5 = sorted(GOLDEN.glob("*.solverstate.h5"))


def same(a: SolverState, b: SolverState) -> None:
    assert (a.iteration, a.learned_net, a.current_step) == (
        b.iteration,
        b.learned_net,
        b.current_step,
    )
    assert len(a.history) == len(b.history)
    for one, other in zip(a.history, b.history, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("path", BINARY, ids=lambda p: p.name)
def test_caffes_bytes(path: Path, tmp_path: Path) -> None:
    state = load_solver_state(path)
    assert state.learned_net == path.name.replace("solverstate", "caffemodel")
    save_solver_state(tmp_path / "again.solverstate", state)
    assert (tmp_path / "again.solverstate").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", HDF5, ids=lambda p: p.name)
def test_caffes_hdf5(path: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    state = load_solver_state(path)
    assert state.learned_net == path.name.replace("solverstate", "caffemodel")
    written = tmp_path / "again.solverstate.h5"
    save_solver_state(written, state)
    same(load_solver_state(written), state)
    with h5py.File(path) as theirs, h5py.File(written) as ours:
        assert set(theirs) == set(ours)
        for name in ("iter", "current_step"):
            assert ours[name].dtype == theirs[name].dtype
            assert ours[name].shape == theirs[name].shape
        assert ours["learned_net"][()] == theirs["learned_net"][()]


def test_the_histories_are_those_of_the_run() -> None:
    state = load_solver_state(GOLDEN / "resume_adam_bin_iter_10.solverstate")
    with np.load(GOLDEN / "resume_adam_bin.npz") as file:
        for index, array in enumerate(state.history):
            np.testing.assert_array_equal(array, file[f"history10/{index}"])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-a-solver-state"),
        (b"\x0a\x03abc", "not-a-solver-state"),
        (b"\x08\x05\x12\x7fabc", "truncated-weights"),
        (b"\x08\x05\x28\x05", "not-a-solver-state"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "not-a-solver-state"),
        (b"\x08\x05\x1a\x0a\x2a\x08" + bytes(8), "bad-blob"),
    ],
)
def test_other_bytes_are_told(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "x.solverstate"
    path.write_bytes(content)
    with pytest.raises(NetcError) as caught:
        load_solver_state(path)
    assert [found.code for found in caught.value.diagnostics] == [code]


def test_what_plateau_remembers_in_states_of_forks(tmp_path: Path) -> None:
    """weiliu89/caffe@ssd, caffe.proto: SolverState has minimum_loss = 5, iter_last_event = 6."""
    path = tmp_path / "x.solverstate"
    save_solver_state(path, SolverState(7, "x.caffemodel", (np.ones(2, np.float32),), 3))
    caffes = path.read_bytes()
    path.write_bytes(caffes + b"\x2d" + np.float32(0.25).tobytes() + b"\x30\x05")
    state = load_solver_state(path)
    assert (state.iteration, state.current_step) == (7, 3)
    assert (state.minimum_loss, state.last_event) == (0.25, 5)
    save_solver_state(path, state)
    assert path.read_bytes() == caffes


def test_what_plateau_remembers_in_hdf5_states_of_forks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    path = tmp_path / "x.solverstate.h5"
    save_solver_state(path, SolverState(7, "x.caffemodel", (), 3))
    assert load_solver_state(path).minimum_loss is None
    with h5py.File(path, "a") as file:
        file["minimum_loss"] = np.array([0.25], "<f4")
        file["iter_last_event"] = np.array([5], "<i4")
    state = load_solver_state(path)
    assert (state.iteration, state.current_step) == (7, 3)
    assert (state.minimum_loss, state.last_event) == (0.25, 5)


def test_another_hdf5_file_is_told(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", exc_type=ImportError)
    with h5py.File(tmp_path / "x.solverstate.h5", "w") as file:
        file["data"] = 1
    with pytest.raises(NetcError, match="it has no `iter` and `history`"):
        load_solver_state(tmp_path / "x.solverstate.h5")
