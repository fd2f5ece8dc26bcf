"""Gradients of a compiled net: its joint programs, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape, show
from netc.ops.array import AnyArray
from netc.plan.split import loose_values
from netc.recent import LeastRecentlyUsed
from netc.train.differentiate import differentiate
from netc.train.joint import Joint
from netc.train.wanted import owner_of

_PROGRAMS = 8  # joint programs that are kept, least recently used first out


class Gradients(NamedTuple):
    """What a forward and a backward pass give, float32 arrays all.

    Args:
        outputs: output blob -> array.
        blobs: blob -> its gradient, in its shape; 0 where the losses do not depend on it. A blob
            that no gradient can reach at all, such as a label, is absent.
        params: layer -> the gradients of its trained arrays, in their order and shapes. Layers that
            share one have each the whole gradient, as in Caffe. 0 for what is not learned.
    """

    outputs: dict[str, Array]
    blobs: dict[str, Array]
    params: dict[str, tuple[Array, ...]]


class GradientRequest(NamedTuple):
    """What is asked of a net: blobs by the names they are asked by, and seeded values."""

    blobs: tuple[tuple[str, str], ...]
    reached: bool
    seeds: tuple[str, ...]


Program = TypeVar("Program")


class GradientPrograms(Generic[Program]):
    """The joint programs of a net, one for each input shapes, wanted blobs and seeded outputs."""

    def __init__(self, prepare: Callable[[Graph], Program]) -> None:
        self._prepare = prepare
        self._programs: LeastRecentlyUsed[object, tuple[Joint, Program]]
        self._programs = LeastRecentlyUsed(_PROGRAMS)

    def program(self, graph: Graph, request: GradientRequest) -> tuple[Joint, Program]:
        """The joint graph and its executable, made if they have not been yet."""
        key = (tuple(graph.shape(name) for name in graph.inputs), request)
        return self._programs.get(key, lambda: self._made(graph, request))

    def _made(self, graph: Graph, request: GradientRequest) -> tuple[Joint, Program]:
        joint = joint_of(graph, request)
        return joint, self._prepare(joint.graph)


def joint_of(graph: Graph, request: GradientRequest) -> Joint:
    """The graph with the gradients of all parameters and of the blobs asked for."""
    wanted = tuple(value for _, value in request.blobs)
    return differentiate(
        graph,
        parameters={owner_of(graph, name) for name in graph.parameters},
        values=() if request.reached else wanted,
        reached=wanted if request.reached else (),
        seeds=request.seeds,
    )


def requested(graph: Graph, wrt: Sequence[str] | None, seeds: Sequence[str]) -> GradientRequest:
    """What is asked for, by the graph's values.

    Raises:
        NetcError: unknown-blob.
    """
    seeded = tuple(dict.fromkeys(_value(graph, name, output=True) for name in seeds))
    if wrt is None:
        return GradientRequest(tuple(graph.input_blobs.items()), True, seeded)
    names = [wrt] if isinstance(wrt, str) else list(wrt)
    return GradientRequest(tuple((name, _value(graph, name)) for name in names), False, seeded)


def _value(graph: Graph, name: str, output: bool = False) -> str:
    """The value of a name: an input's blob means the input, another the blob's last content."""
    if not output and name in graph.input_blobs:
        return graph.input_blobs[name]
    if name in graph.values:
        return name
    raise NetcError(
        Diagnostic(
            "unknown-blob",
            f"the net has no blob `{name}` in phase {graph.phase}",
            help=did_you_mean(name, graph.values),
        )
    )


def seed_arrays(graph: Graph, seeds: Mapping[str, object]) -> dict[str, Array]:
    """The gradients that arrive, by value, as float32 arrays of its shape.

    Raises:
        NetcError: input-shape or input-dtype.
    """
    return {
        _value(graph, name, output=True): _seed(graph, name, array) for name, array in seeds.items()
    }


def _seed(graph: Graph, name: str, given: object) -> Array:
    try:
        array = np.asarray(given, dtype=np.float32)
    except (ValueError, TypeError) as error:
        message = f"the gradient of `{name}` is no array: {str(error)[:200]}"
        raise NetcError(Diagnostic("input-dtype", message)) from None
    value = _value(graph, name, output=True)
    shape, loose = graph.shape(value), value in loose_values(graph)
    if array.shape != shape and not (loose and array.shape[1:] == shape[1:]):
        message = f"the gradient of `{name}` is {show(array.shape)}, and the blob is {show(shape)}"
        raise NetcError(Diagnostic("input-shape", message, graph.values[name].span))
    return array


def collected(
    graph: Graph,
    joint: Joint,
    request: GradientRequest,
    made: Mapping[str, Array],
    feeds: Mapping[str, AnyArray],
) -> Gradients:
    """What a run of the joint program gave, by the names of the net."""
    known = {**feeds, **made}  # a seed may be a gradient as it stands

    def gradient(value: str) -> Array:
        if value in joint.values:
            array: Array = known[joint.values[value]].copy()  # of NumPy's, or of a device's
            return array
        return np.zeros(graph.shape(value), np.float32)

    blobs = {
        name: gradient(value)
        for name, value in request.blobs
        if value in joint.values or not request.reached or not is_label(graph, value)
    }
    outputs = {name: made[name] for name in graph.outputs}
    return Gradients(outputs, blobs, _by_layer(graph, joint, made))


def is_label(graph: Graph, value: str) -> bool:
    """True if a value is read where no gradient can pass, and nowhere else."""
    from netc.ops.gradients.catalog import GRADIENTS

    readers = graph.readers[value]
    return bool(readers) and all(
        index in rule.stopped(node.params, len(node.inputs))
        for node in readers
        if (rule := GRADIENTS.get(node.op)) is not None
        for index, name in enumerate(node.inputs)
        if name == value
    )


def _by_layer(
    graph: Graph, joint: Joint, made: Mapping[str, Array]
) -> dict[str, tuple[Array, ...]]:
    def gradient(name: str) -> Array:
        parameter = graph.parameters[name]
        shape: Shape = parameter.shape or ()
        value = joint.parameters.get(parameter.owner or name)
        return np.zeros(shape, np.float32) if value is None else made[value].reshape(shape)

    return {
        node.name: tuple(gradient(name) for name in node.parameters)
        for node in graph.nodes
        if node.parameters
    }
