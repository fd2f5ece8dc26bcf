"""Gradients of inner products over several passes, kept as what they are made of.

The gradient of an inner product's weights is the product of two small matrices: what arrives at its
tops, turned, times its bottoms. With few rows in a batch these factors have much fewer elements
than the product (sufficient factors: Xie et al., arXiv:1409.5705). So with
``iter_size`` above one each pass leaves its factors behind, and the sum over passes is taken by the
update alone::

    first      x~kept0 := x, dy~kept0 := dy
    further    x~kept1 := x~kept0, x~kept0 := x; and so for dy
    last       dW = Gradient(x~kept1, dy~kept1) + Gradient(x~kept0, dy~kept0)

in the order of the passes, as sums of whole gradients are: results are the same to the bit. A
backend that makes some rows of a gradient at a time never holds one (netc.passes.fuse_updates).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from netc.ir.graph import Graph
from netc.ir.types import count
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import is_in_rows
from netc.train.growth import GraphGrowth


class Factors(NamedTuple):
    """The gradient of one parameter as its factors.

    Args:
        gradient: what makes the gradient of a pass.
        values: that it reads, in a pass's graph.
        passes: in an iteration.
    """

    gradient: GradientParams
    values: tuple[str, ...]
    passes: int

    def variables(self) -> tuple[str, ...]:
        """The variables that hold the factors of all passes."""
        return tuple(kept_name(v, age) for v in self.values for age in range(self.passes))


def kept_name(value: str, age: int) -> str:
    """The variable that holds a value of the pass so many passes ago."""
    return f"{value}~kept{age}"


def factors_of(graph: Graph, gradients: Mapping[str, str], passes: int) -> dict[str, Factors]:
    """The gradients that are kept as factors, since those of all passes are at most half as large.

    Args:
        graph: forward and backward pass.
        gradients: parameter -> value of its gradient.
        passes: in an iteration.
    """
    found = {}
    for parameter, value in gradients.items():
        node = graph.producers.get(value)
        if node is None or node.op != GRADIENT:
            continue
        gradient = node.params_as(GradientParams)
        if not is_in_rows(gradient):
            continue
        shapes = [graph.values[v].shape for v in node.inputs]
        size = count(graph.parameters[parameter].shape or ())
        if None in shapes or node.parameters or len(graph.readers[value]) > 0:
            continue
        if 2 * passes * sum(count(shape) for shape in shapes if shape is not None) <= size:
            found[parameter] = Factors(gradient, node.inputs, passes)
    return found


def keep_factors(growth: GraphGrowth, kept: Mapping[str, Factors], *, further: bool) -> None:
    """Let a pass leave its factors behind; a further one moves on those of the passes before."""
    for factors in kept.values():
        for value in factors.values:
            shape = growth.shape(value)
            names = [growth.variable(kept_name(value, age), shape) for age in range(factors.passes)]
            growth.updates[names[0]] = value
            if further:
                older = {new: growth.read(old) for old, new in pairwise(names)}
                growth.updates.update(older)


def add_sum(growth: GraphGrowth, parameter: str, factors: Factors, passes: int) -> str:
    """The sum of a parameter's gradients over the last passes, as a value."""
    total = ""
    for age in reversed(range(passes)):
        read = [growth.read(kept_name(value, age)) for value in factors.values]
        made = f"{parameter}~grad{age}"
        growth.node(made, GRADIENT, factors.gradient, read, (made,))
        before, total = total, made
        if before:
            total = f"{parameter}~total{age}"
            growth.node(total, "Eltwise", EltwiseParams(), (before, made), (total,))
    return total
