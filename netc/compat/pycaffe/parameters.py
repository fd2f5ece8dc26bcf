"""Parameters that scripts write to, and their relation to a net's variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netc.backends.variables import Variables
from netc.compat.pycaffe.blob import ParameterBlob
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph
from netc.ir.types import show


def parameters(graph: Graph) -> dict[str, ParameterBlob]:
    """Name -> parameter; one that shares another's elements in its own shape writes through."""
    made = {n: ParameterBlob(p.array) for n, p in graph.parameters.items() if p.array is not None}
    for name, parameter in graph.parameters.items():
        if parameter.owner is not None and parameter.shape is not None:
            owner = made[parameter.owner]
            made[name] = ParameterBlob(owner.array.reshape(parameter.shape), owner)
    return made


def changes(variables: Variables, written: Mapping[str, ParameterBlob]) -> dict[str, Array]:
    """Variable -> array, for parameters to which scripts have written other values."""
    arrays = {name: written[name].array for name in variables if name in written}
    return {n: a for n, a in arrays.items() if not _held(variables.variable(n).array, a)}


def _held(own: Array, array: Array) -> bool:
    """Whether two arrays of one shape are equal bit for bit, NaN included."""
    if own is array:
        return True
    return bool(np.array_equal(own.view(np.uint32), array.view(np.uint32)))


def changed_shapes(before: Graph, after: Graph) -> list[Diagnostic]:
    """A diagnostic for each parameter whose shape changes between two graphs."""
    return [
        Diagnostic(
            "input-shape",
            f"parameter `{name}` would have to be {show(parameter.shape)}, and it is "
            f"{show(before.parameters[name].shape)}",
            parameter.span,
        )
        for name, parameter in after.parameters.items()
        if parameter.shape != before.parameters[name].shape
    ]


def check_alike(layer: str, own: Sequence[ParameterBlob], theirs: Sequence[ParameterBlob]) -> None:
    """Refuse to share the parameters of different layers.

    Raises:
        NetcError: weight-count or weight-shape.
    """
    if len(own) != len(theirs):
        message = f"layer `{layer}` has {len(own)} parameters here and {len(theirs)} there"
        raise NetcError(Diagnostic("weight-count", message))
    for index, (one, other) in enumerate(zip(own, theirs, strict=True)):
        if one.shape != other.shape:
            message = (
                f"layer `{layer}`: parameter {index} is {show(one.shape)} here and "
                f"{show(other.shape)} there"
            )
            raise NetcError(Diagnostic("weight-shape", message))
