"""Writing snapshots, and resuming from one with the same results as an uninterrupted run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from netc.boundary import strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.schema.message import Message
from netc.solver.net_file import save_net
from netc.solver.rates import RateState
from netc.solver.smoothing import Smoothing
from netc.solver.snapshots import (
    SnapshotFiles,
    array_json,
    damaged_beside,
    read_array,
    read_beside,
    read_window,
    window_json,
    write_beside,
)
from netc.sources.paths import find
from netc.weights.solver_state import SolverState, load_solver_state, save_solver_state


class Restored(NamedTuple):
    """The state from which a run resumes, without the weights.

    Args:
        passes: how many batches the TRAIN net has taken; negative where unknown (Caffe's states).
        test_passes: how many batches each TEST net has taken.
        smoothing: the last losses, whose mean is displayed; None where unknown.
        states: variable name -> last state of a recurrent layer.
        test_states: the same for each TEST net, as its last test left it.
        kept: what the run's listeners store in snapshots, as JSON.
        seed: that the run was given in place of the text's; None for the text's.
    """

    iteration: int
    history: Sequence[Array]
    rates: RateState
    passes: int = -1
    test_passes: Sequence[int] = ()
    smoothing: Smoothing | None = None
    states: Mapping[str, Array] = MappingProxyType({})
    test_states: Sequence[Mapping[str, Array]] = ()
    kept: Mapping[str, object] = MappingProxyType({})
    seed: int | None = None


def write_snapshot(
    files: SnapshotFiles,
    net: Message,
    state: NetState,
    run: Restored,
    params: Mapping[str, Sequence[Array]],
    *,
    beside: bool = True,
    diffs: Mapping[str, Sequence[Array]] | None = None,
) -> None:
    """Write a snapshot's files, the solver state last.

    ``beside`` says whether to write the ``.netcstate`` with what Caffe's state has no place for;
    ``diffs`` are layer -> gradients to store beside the weights, which are those of the TRAIN net
    in its NetState.

    Raises:
        NetcError: cannot-write; missing-package without h5py for HDF5.
    """
    save_net(files.weights, net, state, dict(params), diffs=diffs)
    more = {
        "passes": run.passes,
        "test_passes": list(run.test_passes),
        "minimum_loss": run.rates.minimum_loss,
        "last_event": run.rates.last_event,
        "smoothing": None if run.smoothing is None else window_json(run.smoothing),
        "states": _states_json(run.states),
        "test_states": [_states_json(states) for states in run.test_states],
        "kept": dict(run.kept),
        "seed": run.seed,
    }
    if beside:
        write_beside(files.beside, more)
    history = tuple(run.history)
    step = run.rates.current_step
    save_solver_state(files.state, SolverState(run.iteration, files.names[0], history, step))


def seed_of_state(state: str) -> int | None:
    """The seed that the run of a state was given; None where it had the text's, and if unknown.

    Raises:
        NetcError: not-a-solver-state, where what lies beside it is damaged.
    """
    found = read_beside(Path(state)).get("seed")
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise damaged_beside(state)
    return found


def restored_state(path: str, history: Sequence[Array]) -> tuple[Restored, Path]:
    """The state in a .solverstate, and the path of the weights that it names.

    That path is tried as written, then in the folder of the state.

    Args:
        path: a solver state of netc or Caffe, binary or HDF5.
        history: the solver's history, whose shapes the state must have.

    Raises:
        NetcError: not-a-solver-state, where the history does not fit; file-not-found.
    """
    found = load_solver_state(path)
    _check_history(path, found.history, history)
    beside = read_beside(Path(path))
    with strangers_bytes(lambda error: damaged_beside(path)):
        own = _beside(beside)
    rates = replace(own.rates, current_step=found.current_step)
    if found.minimum_loss is not None:
        rates = replace(rates, minimum_loss=found.minimum_loss)
    if found.last_event is not None:
        rates = replace(rates, last_event=found.last_event)
    made = own._replace(iteration=found.iteration, history=found.history, rates=rates)
    return made, _weights(path, found)


def _beside(content: Mapping[str, Any]) -> Restored:
    """What lies beside a state; iteration and history are in the state itself."""
    window, states = content.get("smoothing"), content.get("states", {})
    return Restored(
        0,
        (),
        RateState(
            0,
            float(content.get("minimum_loss", RateState().minimum_loss)),
            int(content.get("last_event", 0)),
        ),
        int(content.get("passes", -1)),
        tuple(int(number) for number in content.get("test_passes", ())),
        None if window is None else read_window(window),
        _read_states(states),
        tuple(_read_states(own) for own in content.get("test_states", ())),
        dict(content.get("kept", {})),
    )


def _states_json(states: Mapping[str, Array]) -> dict[str, object]:
    return {name: array_json(array) for name, array in states.items()}


def _read_states(content: Mapping[str, Any]) -> dict[str, Array]:
    return {name: read_array(array) for name, array in content.items()}


def _weights(path: str, state: SolverState) -> Path:
    beside = Path(path).parent / Path(state.learned_net).name
    if not Path(state.learned_net).exists() and beside.exists():
        return beside
    return find(state.learned_net, Path(path).parent, f"the weights that `{path}` names,")


def _check_history(path: str, given: Sequence[Array], wanted: Sequence[Array]) -> None:
    """Caffe checks how many there are alone (sgd_solver.cpp:334); sizes must fit as well."""
    if len(given) != len(wanted):
        raise _misfit(path, f"has {len(given)} arrays of history", f"{len(wanted)}")
    for index, (one, other) in enumerate(zip(given, wanted, strict=True)):
        if one.size != other.size:
            raise _misfit(path, f"has {one.size} numbers in array {index}", f"{other.size}")


def _misfit(path: str, has: str, wanted: str) -> NetcError:
    return NetcError(
        Diagnostic(
            "not-a-solver-state",
            f"{path}: it {has}, and this solver takes {wanted}",
            help=("it is of another net, or of another solver type",),
        )
    )
