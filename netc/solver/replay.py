"""Finds where the first non-finite number comes from, by running the last iterations again.

Divergence is noticed at the loss, when all parameters have already been updated by it. Parameters,
history and statistics are copied every few iterations; from the last copy the same iterations are
run again, which gives bit-identical numbers, and in the last of them every value and the norm of
every parameter's gradient are checked. A run that does not diverge pays for the copies only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from netc.diagnostics import NetcError, Note, Span
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.memory import budget
from netc.solver.feeds import Feeds
from netc.solver.programs import TrainNet
from netc.train.observe import Observation
from netc.train.step import variable_bytes

EVERY = 50  # iterations between copies
_LOOKED_INTO = 5  # the last iterations, of which norms are compared
_LISTED = 3
_GROWN = 10.0  # how many times its first norm a gradient has to be, to be told


class Replay:
    """Takes copies during a run, and replays from the last one.

    Args:
        train: the TRAIN net.
        feeds: its batches; replay needs ``can_seek``.
        passes: passes per iteration (iter_size).
    """

    def __init__(self, train: TrainNet, feeds: Feeds, passes: int) -> None:
        self._train, self._feeds, self._passes = train, feeds, passes
        self._copy: dict[str, Callable[[], Array]] = {}
        self._shapes: dict[str, Shape] = {}
        self._start = self._position = 0
        self._rates: list[np.float32] = []
        room = budget().available()
        size = variable_bytes(train.graphs)
        self._works = feeds.can_seek and (room is None or size < room // 4)

    def begin(self, iteration: int) -> None:
        """To be called before each iteration; takes a copy when one is due."""
        if self._works and (not self._copy or iteration >= self._start + EVERY):
            self._start, self._position = iteration, self._feeds.position
            places = self._train.places
            self._copy = {name: place.copied() for name, place in places.items()}
            self._shapes = {name: place.shape for name, place in places.items()}
            self._rates = []

    def forget(self) -> None:
        """Drop the copies: the next iteration does not continue them, as after a restore."""
        self._copy = {}

    def used(self, rate: np.float32) -> None:
        """Record the learning rate of the current iteration's update."""
        self._rates.append(rate)

    def notes(self, iteration: int) -> tuple[Note, ...]:
        """Notes on the origin of a non-finite loss in ``iteration``, for its error.

        Parameters are left as they were before that iteration.
        """
        if not self._copy or iteration - self._start > len(self._rates):
            return ()
        places = self._train.places
        if any(place.shape != self._shapes[name] for name, place in places.items()):
            return ()  # recurrent layers' states, of another batch size than at the copy
        end = self._feeds.position
        for name, place in places.items():
            place.write(self._copy[name]())
        self._feeds.seek(self._position)
        try:
            return tuple(self._told(iteration))
        except NetcError:  # a batch that is no longer there
            return ()
        finally:
            self._feeds.seek(end)

    def _told(self, iteration: int) -> Iterator[Note]:
        norms: list[dict[str, float]] = []
        for number in range(self._start, iteration):
            batches = [self._feeds.take() for _ in range(self._passes)]
            if number >= iteration - _LOOKED_INTO:
                norms.append(_norms(self._train.observe(batches[-1], self._drawn(number))))
            self._run(number, batches)
        for index in range(self._passes):
            batch = self._feeds.take()
            seen = self._train.observe(batch, self._drawn(iteration) + index)
            first = first_not_finite(self._train, seen)
            if first is not None:
                yield Note(str(first), first.span)
                break
        yield from _grown(norms, iteration)

    def _drawn(self, iteration: int) -> int:
        return iteration * self._passes

    def _run(self, iteration: int, batches: list[Mapping[str, Any]]) -> None:
        rate = self._rates[iteration - self._start]
        drawn = self._drawn(iteration)
        if self._train.fused:
            self._train.iterate(batches[0], rate, iteration, drawn)
            return
        for index, batch in enumerate(batches):
            self._train.accumulate(batch, index, drawn + index)
        self._train.update(rate, iteration)


class First(NamedTuple):
    """The blob, parameter or gradient with the first non-finite number, and its layer.

    ``wrong`` of its ``numbers`` elements are not finite.
    """

    what: str
    layer: str
    span: Span | None
    wrong: int
    numbers: int

    def __str__(self) -> str:
        return (
            f"first in {self.what} of layer `{self.layer}`: {self.wrong} of {self.numbers} numbers"
        )


def first_not_finite(train: TrainNet, seen: Observation) -> First | None:
    """The first non-finite number of a pass, in the order parameters, blobs, gradients; or None."""
    for node in train.graph.nodes:
        for index, name in enumerate(node.parameters):
            owner = train.graph.parameters[name].owner or name
            array = train.variables.variable(owner).array
            if not np.isfinite(array).all():
                return _first(f"parameter {index}", node.name, node.span, array)
        for value in node.outputs:
            made = seen.values.get(value)
            if made is not None and not np.isfinite(made).all():
                return _first(
                    f"blob `{train.graph.values[value].blob}`", node.name, node.span, made
                )
    spans = {node.name: node.span for node in train.graph.nodes}
    for (layer, index), gradient in seen.passed.items():
        if not np.isfinite(gradient).all():
            return _first(f"the gradient of bottom {index}", layer, spans.get(layer), gradient)
    for (layer, index), gradient in seen.learned.items():
        if not np.isfinite(gradient).all():
            return _first(f"the gradient of parameter {index}", layer, spans.get(layer), gradient)
    return None


def _first(what: str, layer: str, span: Span | None, array: Array) -> First:
    return First(what, layer, span, int((~np.isfinite(array)).sum()), array.size)


def _norms(seen: Observation) -> dict[str, float]:
    """Layer/index -> the norm of its gradient."""
    return {
        f"{layer}/{index}": float(np.sqrt(np.square(array, dtype=np.float64).sum()))
        for (layer, index), array in seen.learned.items()
    }


def _grown(norms: list[dict[str, float]], iteration: int) -> Iterator[Note]:
    """The parameters whose gradients grew first, and how."""
    if len(norms) < 2:
        return
    first = norms[0]

    def growth(name: str) -> tuple[int, float]:
        """After how many iterations it had grown, and how far it went."""
        base = first[name] or 1e-30
        ratios = [found[name] / base for found in norms]
        grown = next((i for i, ratio in enumerate(ratios) if not ratio < _GROWN), len(ratios))
        return grown, -ratios[-1]

    names = [name for name in sorted(first, key=growth) if growth(name)[0] < len(norms)]
    for name in names[:_LISTED]:
        shown = ", ".join(f"{found[name]:.3g}" for found in norms)
        start = iteration - len(norms)
        yield Note(
            f"the gradient of `{name}` grew: norm {shown} in iterations {start} to {iteration - 1}"
        )
