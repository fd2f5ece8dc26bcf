"""The memory that training by a solver's text will take, computed without training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netc.frontend import Built, build
from netc.ir.types import Shape
from netc.report.training import TrainingMemory, training_memory
from netc.solver.nets import net_feeds
from netc.solver.read import NetChoice, SolverReadOptions, Text, read_solver, train_choice
from netc.solver.settings import Settings, read_settings, updating


class Forecast(NamedTuple):
    """A solver's TRAIN net with the shapes of its first batch but no arrays, and its settings."""

    choice: NetChoice
    built: Built
    settings: Settings

    def memory(self) -> TrainingMemory:
        """The memory of an iteration in bytes; see :mod:`netc.report.training`.

        Raises:
            NetcError: no-gradient, no-loss: the net cannot be trained.
        """
        how = updating(self.settings, force_backward=self.choice.message.get("force_backward"))
        return training_memory(self.built.graph, how, split=self.settings.needs_loss)


def forecast(text: Text, reading: SolverReadOptions, inputs: Mapping[str, Shape]) -> Forecast:
    """Read a solver and infer its TRAIN net for the first batch.

    Args:
        text: the solver's text or path.
        reading: placeholders, schemas and overridden fields.
        inputs: blob -> shape, for blobs that no data layer's first batch determines.

    Raises:
        NetcError: mistakes in the texts; data that cannot be read.
    """
    solver = read_solver(text, reading)
    settings = read_settings(solver.message)
    choice = train_choice(solver, reading)
    first = net_feeds(choice, None, 0, "the train net", needs_arrays=False).peek()
    state = choice.state._asdict()
    known = build(choice.message, **state).graph.input_blobs
    shapes = {name: tuple(array.shape) for name, array in first.items() if name in known}
    return Forecast(choice, build(choice.message, inputs={**shapes, **inputs}, **state), settings)
