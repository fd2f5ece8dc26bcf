"""Writing a run to disk and going on from there, equal to a run that was not interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, NetcError
from netc.ir.graph import Array
from netc.lower.rules import State, filter_layers, merged_state
from netc.schema.message import Entry, Message
from netc.solver.rates import RateState
from netc.solver.snapshots import SnapshotFiles, read_beside, write_beside
from netc.sources.paths import find
from netc.weights.load import save_weights
from netc.weights.solver_state import SolverState, load_solver_state, save_solver_state


class Restored(NamedTuple):
    """What a run goes on from, besides its weights.

    ``passes`` are how many batches the TRAIN net has taken; below 0 where nothing tells.
    """

    iteration: int
    history: Sequence[Array]
    rates: RateState
    passes: int = -1
    test_passes: Sequence[int] = ()


def write_snapshot(
    files: SnapshotFiles,
    net: Message,
    state: State,
    run: Restored,
    params: Mapping[str, Sequence[Array]],
    *,
    beside: bool = True,
) -> None:
    """Write a snapshot's files, the solver state last.

    ``beside`` says whether what Caffe's state has no place for is written too.

    The weights carry the layers that the TRAIN net has in its state, as Net::ToProto has it.

    Raises:
        NetcError: cannot-write; missing-package without h5py for HDF5.
    """
    kept = filter_layers(net, merged_state(net, state), Collector())
    layers = tuple(Entry(layer, layer.span) for layer in kept)
    save_weights(files.weights, dict(params), net.with_entries(layer=layers))
    more = {
        "passes": run.passes,
        "test_passes": list(run.test_passes),
        "least_loss": run.rates.least_loss,
        "last_event": run.rates.last_event,
    }
    if beside:
        write_beside(files.beside, more)
    history = tuple(run.history)
    step = run.rates.current_step
    save_solver_state(files.state, SolverState(run.iteration, str(files.weights), history, step))


def restored_state(path: str, history: Sequence[Array]) -> tuple[Restored, Path]:
    """What a .solverstate says, and where the weights are that it names.

    Their path is looked for as it was written, then beside the state.

    Args:
        path: of the state, of netc or of Caffe, in either format.
        history: of the solver, whose shapes are wanted.

    Raises:
        NetcError: not-a-solver-state, where the history does not fit; file-not-found.
    """
    found = load_solver_state(path)
    _check_history(path, found.history, history)
    beside = read_beside(Path(path))
    rates = RateState(
        found.current_step,
        float(beside.get("least_loss", RateState().least_loss)),
        int(beside.get("last_event", 0)),
    )
    tests = tuple(int(number) for number in beside.get("test_passes", ()))
    passes = int(beside.get("passes", -1))
    return Restored(found.iteration, found.history, rates, passes, tests), _weights(path, found)


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
