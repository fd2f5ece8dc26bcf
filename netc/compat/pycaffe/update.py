"""A solver's update of a net whose gradients scripts may write to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from netc.compat.engine import ready
from netc.compat.pycaffe.net import Net
from netc.ir.graph import Array
from netc.train.growth import sum_name
from netc.train.step import ITERATION, NORM, RATE, SCALE, Updating, update_graph


class ClippedGradients(NamedTuple):
    """The L2 norm of all gradients, and the factor that brought it down to the limit."""

    norm: np.float32
    scale: np.float32


class Update:
    """The update of all of a net's parameters: each ``diff`` is read, and holds the step after it.

    Args:
        net: the TRAIN net.
        how: the solver's rule, decay and clipping.
    """

    def __init__(self, net: Net, how: Updating) -> None:
        self._net, self._limit = net, how.clip_gradients
        made = update_graph(net.learned, how)
        self._learnable, self._histories = made.learnable, made.histories
        engine = net._engine
        self._variables = engine.variables
        self._program = ready(made.graph, engine.backend, engine.variables)
        shapes = [net._parameters[name].array.shape for name in made.learnable]
        halves = len(made.histories) // max(1, len(shapes))
        self._untouched = {
            name: np.zeros(shape, np.float32)
            for name, shape in zip(made.histories, shapes * halves, strict=True)
            if name not in self._variables
        }

    @property
    def history(self) -> tuple[Array, ...]:
        """The history in the order of a solverstate, as writable float32 arrays."""
        return tuple(
            self._untouched[name] if name in self._untouched else self._variables[name]
            for name in self._histories
        )

    def run(self, rate: np.float32, iteration: int) -> ClippedGradients | None:
        """Update all parameters.

        Args:
            rate: the learning rate.
            iteration: its number, from 0.

        Returns:
            How the gradients were scaled down; None where they were not.
        """
        parameters, variables = self._net._parameters, self._variables
        self._net._take_over_parameters(all_of_them=True)
        before = {name: parameters[name].array.copy() for name in self._learnable}
        for name in self._learnable:
            if sum_name(name) in variables:
                variables.variable(sum_name(name)).write(
                    parameters[name].diff.reshape(parameters[name].array.shape)
                )
        scalars = {RATE: np.float32(rate), ITERATION: np.float32(iteration)}
        made = self._program({n: v for n, v in scalars.items() if n in self._program.inputs})
        for name in self._learnable:
            after = variables.variable(name).array
            parameters[name].set(after.copy())
            parameters[name].diff.reshape(after.shape)[...] = before[name] - after
        if NORM not in made or made[NORM].item() <= self._limit:
            return None
        return ClippedGradients(np.float32(made[NORM].item()), np.float32(made[SCALE].item()))
