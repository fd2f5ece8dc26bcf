"""The arrays a graph is fed: checked against its inputs; inputs not given are filled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from netc.arguments import float32_array, rounded_note
from netc.diagnostics import Diagnostic, NetcError, NetcWarning, Note, did_you_mean, render
from netc.infer import infer
from netc.ir.edit import live_nodes
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape, count, show
from netc.memory import check_memory
from netc.ops.filler import CONSTANT_ZERO, fill, generator

_CALLER = 5  # frames from a warning of an input to the line that calls the net


class Feeding:
    """Checks the arrays for a graph's inputs, and makes those that a filler can make.

    Args:
        graph: the graph to feed.
        seed: of fillers that draw random numbers.
        unneeded: inputs of the text that the graph lacks because no wanted output reads them; they
            may be given, and are ignored.
        convert: the backend's conversion of a caller's value to an array, on the host or device.
    """

    def __init__(
        self,
        graph: Graph,
        seed: int,
        unneeded: Collection[str],
        convert: Callable[[Any], Any],
    ) -> None:
        self.graph = graph
        self.seed = seed
        self.unneeded = frozenset(unneeded)
        self._convert = convert
        self._fillings: dict[str, Array] = {}
        self._warned: set[str] = set()  # inputs of which it was said that they are rounded

    def clear(self) -> None:
        """Drop the arrays that fillers made."""
        self._fillings.clear()

    def checked(self, given: Mapping[str, object], needed: set[str]) -> dict[str, Any]:
        """Each input value's float32 array, on the backend's device if it was given there.

        Args:
            given: input blob or input value -> what the caller gives.
            needed: input values that must be given.

        Raises:
            NetcError: unknown-input, missing-input, input-dtype; bad-filler, where an input's
                filler cannot fill its shape.
        """
        known = self.graph.input_blobs
        given = {self.blob(n): array for n, array in given.items() if n not in self.unneeded}
        listed = ", ".join(f"`{n}`" for n in known) or "none"
        faults = [
            Diagnostic(
                "unknown-input",
                f"the net has no input `{name}`; its inputs are: {listed}",
                help=did_you_mean(name, known),
            )
            for name in given
            if name not in known
        ]
        faults += [
            Diagnostic(
                "missing-input",
                f"input `{name}` is not given; it is {show(self.graph.shape(value))}",
                self.graph.values[value].span,
            )
            for name, value in known.items()
            if name not in given and value in needed
        ]
        if faults:
            raise NetcError(faults)
        fed = {}
        for name, value in known.items():  # no comprehension: warnings count frames
            fed[value] = self._as_array(name, given[name]) if name in given else self._fill(value)
        return fed

    @cached_property
    def needed(self) -> set[str]:
        """The inputs that must be fed: that have no filler, and that an output depends on.

        For a net without outputs (all blobs go to Silence layers) it is every input that is read.
        """
        if self.graph.results:
            return self.read_for(self.graph.results)
        return self._unfilled({name for node in self.graph.nodes for name in node.inputs})

    def read_for(self, values: Collection[str]) -> set[str]:
        """The inputs without a filler that some of these values depend on."""
        wanted = self.graph.replace(outputs=tuple(values), updates={})
        read = {name for node in live_nodes(wanted) for name in node.inputs}
        return self._unfilled({*values, *read})

    def _unfilled(self, read: set[str]) -> set[str]:
        return {n for n in self.graph.inputs if n in read and self.graph.values[n].filler is None}

    def _fill(self, name: str) -> Array:
        """What an input that is not fed holds, zeros where that is of no matter; made once."""
        if name not in self._fillings:
            rng = generator(self.graph.values[name].blob, self.seed)
            array = filled_input(self.graph, name, rng)
            array.flags.writeable = False
            self._fillings[name] = array
        return self._fillings[name]

    def blob(self, name: str) -> str:
        """The blob name of an input value; any other name unchanged."""
        return self.graph.values[name].blob if name in self.graph.inputs else name

    def _as_array(self, name: str, value: object) -> object:
        try:
            array = self._convert(value)
        except (ValueError, TypeError, RuntimeError, BufferError) as error:  # of whatever library
            message = f"input `{name}` is no array: {str(error)[:200]}"
            raise NetcError(Diagnostic("input-dtype", message)) from None
        span = self.graph.values[self.graph.input_blobs[name]].span
        note = rounded_note(array.dtype, f"input `{name}`", span)
        converted = float32_array(array, f"input `{name}`", span)
        if note and name not in self._warned:
            self._warned.add(name)
            warnings.warn(render(note), NetcWarning, stacklevel=_CALLER)
        return converted


def filled_input(graph: Graph, name: str, rng: np.random.Generator) -> Array:
    """What an input holds that is not fed: what its filler says, zeros where it has none.

    Raises:
        NetcError: bad-filler, where its filler cannot fill its shape; what check_memory raises.
    """
    value, shape = graph.values[name], graph.shape(name)
    check_memory(4 * count(shape), f"the elements of input `{value.blob}`", value.span)
    try:
        return fill(value.filler or CONSTANT_ZERO, shape, rng)
    except NetcError as error:
        raise NetcError(
            replace(d, message=f"input `{value.blob}`: {d.message}", span=value.span)
            for d in error.diagnostics
        ) from None


def input_shapes(graph: Graph) -> tuple[Shape, ...]:
    """The shapes of a graph's inputs, in their order."""
    return tuple(graph.shape(name) for name in graph.inputs)


def graph_for(graph: Graph, shapes: tuple[Shape, ...]) -> Graph:
    """The graph inferred again for other input shapes; the same graph if they are unchanged.

    Raises:
        NetcError: input-shape, where a layer or a trained array does not fit them.
    """
    if shapes == input_shapes(graph):
        return graph
    result = infer(graph, dict(zip(graph.inputs, shapes, strict=True)))
    errors = [d for d in result.diagnostics if d.severity == "error"]
    errors += _changed_weights(graph, result.graph)
    if errors:
        raise NetcError([_shape_misfit(graph, shapes, errors[0]), *errors[1:]])
    return result.graph


def _changed_weights(graph: Graph, reshaped: Graph) -> list[Diagnostic]:
    """Parameters that would need another shape for other inputs."""
    return [
        Diagnostic(
            "input-shape",
            f"parameter `{name}` would have to be {show(parameter.shape)}, and it is "
            f"{show(graph.parameters[name].shape)}",
            parameter.span,
        )
        for name, parameter in reshaped.parameters.items()
        if parameter.shape != graph.parameters[name].shape
    ]


def _shape_misfit(graph: Graph, shapes: tuple[Shape, ...], first: Diagnostic) -> Diagnostic:
    own = input_shapes(graph)
    name, given, wanted = next(
        (n, g, w) for n, g, w in zip(graph.inputs, shapes, own, strict=True) if g != w
    )
    value = graph.values[name]
    return Diagnostic(
        "input-shape",
        f"input `{value.blob}` is {show(given)}, and the net takes {show(wanted)}",
        value.span,
        notes=(Note(first.message, first.span), *first.notes),
    )
