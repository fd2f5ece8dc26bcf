"""A run's state: gathered for a snapshot, and restored from one."""

from __future__ import annotations

from netc.solver.opening import SolverRun
from netc.solver.rates import RateState
from netc.solver.resume import Restored
from netc.solver.smoothing import Smoothing
from netc.sources.catalog import NetSources


def gathered(
    run: SolverRun, iteration: int, rates: RateState, smoothing: Smoothing, ranks: int
) -> Restored:
    """A run's state without the weights, for a snapshot.

    Args:
        run: the nets and their batches.
        iteration: the number of updates made.
        rates: the state of the learning-rate policy.
        smoothing: the last losses, whose mean is displayed.
        ranks: the number of ranks; each has taken the same number of batches.
    """
    return Restored(
        iteration,
        run.train.history,
        rates,
        run.feeds.position * ranks,
        tuple(test.feeds.position for test in run.tests),
        smoothing,
        {name: place.array for name, place in run.train.states.items()},
        tuple(test.net.states for test in run.tests),
    )


def put_back(run: SolverRun, found: Restored, iter_size: int, ranks: int) -> None:
    """Restore history, positions in the data, and recurrent layers' states from a snapshot."""
    for place, array in zip(run.train.history, found.history, strict=True):
        place[...] = array.reshape(place.shape)
    run.feeds.seek(_passes_so_far(run, found, iter_size, ranks))
    for test, position in zip(run.tests, found.test_passes, strict=False):
        test.feeds.seek(position)
    for test, states in zip(run.tests, found.test_states, strict=False):
        test.net.reset()
        test.net.go_on_from(states)
    for name, variable in run.train.states.items():
        if name in found.states and found.states[name].shape == variable.shape:
            variable.write(found.states[name])


def _passes_so_far(run: SolverRun, found: Restored, iter_size: int, ranks: int) -> int:
    """How many batches of its own a restored run has taken.

    Nothing tells with a state of Caffe. Its data layers begin anew when it resumes, and so do those
    that are read here; batches that are given go on.
    """
    if found.passes >= 0:
        return found.passes // ranks
    given = not isinstance(run.feeds.source, NetSources)
    return found.iteration * iter_size if given else 0


def window_of(found: Restored, window: int) -> Smoothing | None:
    """A snapshot's last losses for a mean over ``window``; None where its window differs."""
    kept = found.smoothing
    if kept is None or len(kept.losses) > window or len(kept.losses) != min(kept.seen, window):
        return None
    return Smoothing(window, kept.losses, kept.mean, kept.seen)
