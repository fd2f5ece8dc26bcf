"""The step of the last update, as written by ``snapshot_diff``: what each parameter decreased by.

After Net::Update a parameter's diff holds its step (sgd_solver.cpp, ComputeUpdateValue). For SGD
that is the history itself; for other rules it is computed here as the parameter's difference before
and after the update, and 0 for a parameter with lr_mult 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netc.ir.graph import Array
from netc.ops.update_rules import UpdateRule
from netc.solver.programs import TrainNet

_BY_HISTORY = ("SGD", "LARS")


class UpdateSizes:
    """The steps of the last update.

    Args:
        train: the net.
        rule: the solver's.
    """

    def __init__(self, train: TrainNet, rule: UpdateRule) -> None:
        self._train, self._rule = train, rule
        self._before: dict[str, Array] = {}
        self._made = False

    def before(self) -> None:
        """To be called before an update; copies parameters where the rule needs them."""
        self._made = True
        if self._rule.name not in _BY_HISTORY:
            names = self._train.graphs.learnable
            self._before = {name: self._array(name).copy() for name in names}

    def _array(self, name: str) -> Array:
        return self._train.variables.variable(name).array

    def by_layer(self) -> Mapping[str, tuple[Array, ...]]:
        """Layer -> float32 steps of its parameters, shared ones included."""
        graph = self._train.graph
        found = {}
        for node in graph.nodes:
            if node.parameters:
                found[node.name] = tuple(map(self._step, node.parameters))
        return found

    def _step(self, name: str) -> Array:
        entry = self._train.graph.parameters[name]
        owner = self._train.graph.parameters[entry.owner or name]
        shape = entry.shape or ()
        by_history = self._rule.name in _BY_HISTORY
        if not self._made or (owner.lr_mult == 0 and not by_history):
            return np.zeros(shape, np.float32)
        if by_history:
            index = self._train.graphs.learnable.index(owner.name)
            return self._train.history[index].reshape(shape)
        return (self._before[owner.name] - self._array(owner.name)).reshape(shape)
