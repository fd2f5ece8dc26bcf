"""The reference executor: runs each op's NumPy definition, node by node.

Slow, and the definition of every result: all other ways of running a net are compared with it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from netc.backends.base import BackendOptions, ExecutableReport, Options, StepTime
from netc.backends.reduction import check_reduced, passes_for, reduced_report
from netc.backends.variables import Variables
from netc.diagnostics import Diagnostic, NetcError
from netc.infer import RUN_TIME_NEEDS
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count, show
from netc.memory import check_memory
from netc.ops.array import AnyArray, namespace
from netc.ops.catalog import CATALOG
from netc.ops.define import FLOAT, ShapeError
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import part_of
from netc.passes.base import Applied, run_passes
from netc.passes.recompute import recomputed
from netc.plan.needs import ask_for_definitions, live_bytes

RunNode = Callable[[Graph, Node, Sequence[Array]], list[Array]]


def run_node(graph: Graph, node: Node, inputs: Sequence[Array], fast: bool = False) -> list[Array]:
    """One node's outputs as float32 arrays; by its op's own kernel where ``fast`` is asked for."""
    weights = [parameter_array(graph, name) for name in node.parameters]
    results = run_definition(node, inputs, weights, fast)
    return [np.asarray(result, dtype=np.float32) for result in results]


def run(
    graph: Graph,
    feeds: Mapping[str, Array],
    wanted: Sequence[str] = (),
    run_node: RunNode = run_node,
) -> dict[str, Array]:
    """Forward.

    Args:
        graph: with parameters that have arrays.
        feeds: each input value's array, float32.
        wanted: value names to give back besides ``graph.outputs``.
        run_node: gives a node's outputs for its inputs.

    Returns:
        Value name -> array, the outputs first.

    Raises:
        NetcError: an op met values it cannot take (a label out of range ...), with its layer.
    """
    names = dict.fromkeys((*graph.outputs, *wanted))
    remaining = Counter(v for node in graph.nodes for v in node.inputs)
    remaining.update(list(names))
    values: dict[str, Array] = dict(feeds)
    for node in graph.nodes:
        results = run_node(graph, node, [values[v] for v in node.inputs])
        values.update(zip(node.outputs, results, strict=True))
        for name in node.inputs:
            remaining[name] -= 1
        for name in (*node.inputs, *node.outputs):
            if remaining[name] <= 0:
                values.pop(name, None)
    return {name: values[name] for name in names}


def run_definition(
    node: Node, inputs: Sequence[AnyArray], weights: Sequence[AnyArray], fast: bool = False
) -> Sequence[AnyArray]:
    """What a node's definition makes of arrays, of NumPy's or of another library.

    With ``fast`` the op's own kernel runs where it has one.

    Raises:
        NetcError: values it cannot take, with its layer; too-little-memory for its temporaries.
    """
    op, shapes_in = CATALOG[node.op], [array.shape for array in inputs]
    _check_sizes(node, shapes_in, weights)
    if all(isinstance(array, np.ndarray) for array in inputs):
        _ask(node, shapes_in)
    if any(array.size == 0 for array in inputs) and not op.dynamic:
        shapes = op.shape(node.params, shapes_in)
        if all(count(shape) == 0 for shape in shapes):  # however large the window, say
            return [namespace(*inputs).empty(shape, dtype=np.float32) for shape in shapes]
    try:
        with np.errstate(all="ignore"):
            run = op.fast if fast and op.fast is not None else op.reference
            return run(node.params, inputs, weights)
    except NetcError as error:
        raise at_layer(error, node) from None


def _check_sizes(node: Node, inputs: Sequence[Shape], weights: Sequence[AnyArray]) -> None:
    """Refuse sizes that do not fit, where a run alone shows them: behind a Filter, say.

    Caffe reshapes every layer at every forward, and makes the same checks. NumPy would stretch an
    array of one row beside one of several.

    Raises:
        NetcError: shape-mismatch, or what else the layer's rule says.
    """
    op = CATALOG[node.op]
    try:
        op.shape(node.params, inputs)
        wanted = [spec.shape for spec in op.weights(node.params, inputs)]
        for want, array in zip(wanted, weights, strict=False):
            if want is not None and tuple(want) != array.shape:
                raise ShapeError(f"its weights are {show(array.shape)}, and now {show(want)} fit")
    except ShapeError as error:
        if error.code in RUN_TIME_NEEDS:
            return
        message = f"layer `{node.name}` ({node.op}): {error.message}"
        raise NetcError(Diagnostic(error.code, message, node.span, help=error.help)) from None


def _ask(node: Node, inputs: Sequence[Shape]) -> None:
    """Ask for what a definition makes of arrays of these shapes, temporaries included."""
    op = CATALOG[node.op]
    try:
        outputs = op.shape(node.params, inputs)
    except ShapeError:  # of sizes that only a run tells
        return
    needed = op.memory(node.params, inputs, outputs) + FLOAT * sum(map(count, outputs))
    check_memory(needed, f"layer `{node.name}` ({node.op}) and its temporaries", node.span)


def parameter_array(graph: Graph, name: str) -> Array:
    """A parameter's array, an owner's elements in the reader's shape where they are shared."""
    parameter = graph.parameters[name]
    if parameter.owner is not None:
        shape = parameter.shape or ()
        return parameter_array(graph, parameter.owner).reshape(shape)
    if parameter.array is None:
        raise ValueError(f"parameter `{name}` has no array")
    return parameter.array


def at_layer(error: NetcError, node: Node) -> NetcError:
    """The error with the layer's name and place."""
    where = f"layer `{node.name}` ({node.op})"
    if isinstance(node.params, GradientParams):
        where = f"the gradient of layer `{node.params.layer}` ({node.params.op})"
    return NetcError(
        replace(d, message=f"{where}: {d.message}", span=d.span or node.span)
        for d in error.diagnostics
    )


class ReferenceBackend:
    """Runs graphs as they are, by their ops' definitions."""

    options = BackendOptions
    precisions = ("float32", "bf16", "int8")
    on_host = True

    def convert_input(self, value: object) -> AnyArray:
        """The value as a NumPy array."""
        return np.asarray(value)

    def memory_plan(self, graph: Graph) -> None:
        """Nothing is planned."""

    def prepare(self, graph: Graph, options: Options) -> ReferenceExecutable:
        """The graph itself, or with its products in the precision that is asked for.

        Of the other options variables and memory alone say something here.

        Raises:
            NetcError: too-little-memory; quantization-mismatch.
        """
        own = options.own_as(BackendOptions)
        done: tuple[Applied, ...] = ()
        if own.precision != "float32":
            graph, done = run_passes(graph, passes_for(options))
            check_reduced(graph, own)
        graph, applied = recomputed(graph, done, live_bytes, options.blobs)
        ask_for_definitions(graph)
        variables = Variables() if options.variables is None else options.variables
        return ReferenceExecutable(variables.bind(graph), variables, applied)


@dataclass(frozen=True)
class ReferenceExecutable:
    """A graph that is run node by node."""

    graph: Graph
    variables: Variables = field(default_factory=Variables)
    applied: tuple[Applied, ...] = ()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Each output for these inputs; then the updates are written."""
        return self._run(feeds, run_node)

    def timed(self, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], list[StepTime]]:
        """What ``run`` gives, and what each layer took of it, in order."""
        times: list[StepTime] = []

        def timing(graph: Graph, node: Node, inputs: Sequence[Array]) -> list[Array]:
            start = time.perf_counter()
            results = run_node(graph, node, inputs)
            times.append(StepTime(node.name, False, time.perf_counter() - start))
            return results

        return self._run(feeds, timing), times

    def _run(self, feeds: Mapping[str, Array], run_node: RunNode) -> dict[str, Array]:
        if not self.variables:
            return run(self.graph, feeds, run_node=run_node)
        with self.variables.lock:
            found = run(self.graph, feeds, tuple(self.graph.updates.values()), run_node)
            results = {name: np.array(found[name]) for name in self.graph.outputs}
            # A value may be the variable itself (Parameter), which an earlier update writes to.
            made = {name: np.array(found[v]) for name, v in self.graph.updates.items()}
            for name, value in self.graph.updates.items():
                self.variables.variable(name).write(made[name], part_of(self.graph, value))
            return results

    def graphs(self) -> tuple[Graph, ...]:
        """The graph."""
        return (self.graph,)

    def report(self) -> ExecutableReport:
        """The number of steps, and what is computed in fewer bits."""
        steps = len(self.graph.nodes)
        return {"backend": "reference", "steps": steps, **reduced_report(self.graph, self.applied)}
