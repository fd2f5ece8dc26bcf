"""Shape inference: every value's and every parameter's shape, from the inputs' shapes.

An op's shape rule raises only what does not fit; this module adds to the diagnostic the layer, its
blobs, their shapes and the layers that made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Note, Span, counted
from netc.ir.graph import Graph, Node, Parameter, ParamSpec, Value
from netc.ir.types import Shape, count, shape_fault, show
from netc.ops.catalog import CATALOG
from netc.ops.define import ErasedOp, ShapeError, WeightSpec
from netc.schema.message import Message

# What a legal text may lack and a net that runs may not: told as notes and warnings here, and as
# errors where the net is to run.
RUN_TIME_NEEDS = frozenset({"unknown-input-shape", "python-layer"})


_UNWRITTEN = ParamSpec()


class Inferred(NamedTuple):
    """A graph with shapes; a shape is None where it is unknown or could not be inferred."""

    graph: Graph
    diagnostics: tuple[Diagnostic, ...]


def infer(
    graph: Graph,
    inputs: Mapping[str, Shape] | None = None,
    catalog: Mapping[str, ErasedOp] = CATALOG,
    messages: Mapping[str, Message] | None = None,
) -> Inferred:
    """Infer the shapes of all values and parameters.

    Mistakes are returned as diagnostics, not raised; values that depend on one have no shape.

    Args:
        graph: the graph, with the shapes of its inputs.
        inputs: input value -> shape, in place of the graph's.
        catalog: op name -> op, with its shape rule.
        messages: node name -> its layer as written, so that a diagnostic points at the field.
    """
    walk = _Inference(graph, catalog, messages or {})
    for name in graph.inputs:
        shape = (inputs or {}).get(name, graph.values[name].shape)
        walk.set_shape(name, shape, None)
    for node in graph.nodes:
        walk.visit(node)
    return Inferred(walk.result(), tuple(walk.diagnostics))


def inferred(graph: Graph, inputs: Mapping[str, Shape] | None = None) -> Graph:
    """The graph with shapes, as :func:`infer`, but mistakes are raised.

    Raises:
        NetcError: with every diagnostic, such as input-shape or shape-mismatch.
    """
    result = infer(graph, inputs)
    if any(d.severity == "error" for d in result.diagnostics):
        raise NetcError(result.diagnostics)
    return result.graph


class _Inference:
    """One walk over a graph; holds what has been found so far."""

    def __init__(
        self, graph: Graph, catalog: Mapping[str, ErasedOp], messages: Mapping[str, Message]
    ) -> None:
        self.graph = graph
        self.messages = messages
        self.catalog = catalog
        self.shapes: dict[str, Shape | None] = {}
        self.parameters: dict[str, Parameter] = {}
        self.shared: dict[str, tuple[str, ParamSpec]] = {}
        self.loose: set[str] = set()  # values whose sizes only a run tells
        self.nodes: list[Node] = []
        self.diagnostics: list[Diagnostic] = []
        self.known: dict[object, tuple[tuple[Shape, ...], tuple[WeightSpec, ...]]] = {}

    def result(self) -> Graph:
        shapes = self.shapes
        values = {
            name: Value(name, value.blob, shapes.get(name), value.span, value.filler)
            for name, value in self.graph.values.items()
        }
        parameters = self.parameters
        if self.graph.parameters:
            parameters = {name: self._with_content(p) for name, p in parameters.items()}
        return self.graph.replace(nodes=tuple(self.nodes), values=values, parameters=parameters)

    def _with_content(self, parameter: Parameter) -> Parameter:
        """A parameter with what the graph has of it already."""
        old = self.graph.parameters.get(parameter.name)
        return replace(parameter, array=old.array, variable=old.variable) if old else parameter

    def set_shape(self, name: str, shape: Shape | None, node: Node | None) -> None:
        """Keep a value's shape; one that is a bound alone may have more elements than a blob."""
        fault = None if shape is None or name in self.loose else shape_fault(shape)
        if fault:
            value = self.graph.values[name]
            owner = f"layer `{node.name}` ({node.op})" if node else "the net's input"
            self.diagnostics.append(
                Diagnostic(
                    "blob-too-large",
                    f"{owner}: blob `{value.blob}` would be {show(shape)}, {fault}",
                    (node.span if node else None) or value.span,
                )
            )
        self.shapes[name] = None if fault else shape

    def visit(self, node: Node) -> None:
        """Infer one node; a node with an unknown input or a fault leaves its outputs unknown."""
        inputs = [self.shapes.get(name) for name in node.inputs]
        known = [shape for shape in inputs if shape is not None]
        if len(known) < len(inputs):
            self.nodes.append(node)
            return
        node = self._meant(node, known)
        try:
            outputs, specs = self._shapes(node, known)
            self._check_outputs(node, outputs)
        except ShapeError as error:
            self.diagnostics.append(self._located(node, error, known))
            self.nodes.append(node)
            return
        except (ArithmeticError, ValueError) as error:  # of numbers that no rule had in mind
            fault = ShapeError(f"a number is out of range: {error}", code="out-of-range")
            self.diagnostics.append(self._located(node, fault, known))
            self.nodes.append(node)
            return
        if self.catalog[node.op].dynamic or not self.loose.isdisjoint(node.inputs):
            self.loose.update(node.outputs)
        for name, shape in zip(node.outputs, outputs, strict=True):
            self.set_shape(name, shape, node)
        parameters = self._parameters(node, specs)
        if parameters != node.parameters:
            node = node.with_parameters(parameters)
        self.nodes.append(node)

    def _meant(self, node: Node, inputs: list[Shape]) -> Node:
        """The node, or what its op says that it is with inputs of these shapes."""
        rule = self.catalog[node.op].by_shape
        stand = rule(node.params, inputs) if rule is not None else None
        return node if stand is None else replace(node, op=stand.op, params=stand.params)

    def _shapes(
        self, node: Node, inputs: list[Shape]
    ) -> tuple[tuple[Shape, ...], tuple[WeightSpec, ...]]:
        """The shapes of what it makes and of its weights, worked out once for equal layers.

        Lowering gives layers that say the same one object of parameters.
        """
        key = (node.op, id(node.params), *inputs)
        known = self.known.get(key)
        if known is None:
            op = self.catalog[node.op]
            known = op.shape(node.params, inputs), op.weights(node.params, inputs)
            self.known[key] = known
        return known

    def _check_outputs(self, node: Node, outputs: Sequence[Shape]) -> None:
        if len(outputs) != len(node.outputs):
            raise ShapeError(f"{len(node.outputs)} tops are named, and it makes {len(outputs)}")

    def _located(self, node: Node, error: ShapeError, inputs: Sequence[Shape]) -> Diagnostic:
        notes = tuple(
            Note(self._origin(name, shape), self.graph.values[name].span)
            for name, shape in zip(node.inputs, inputs, strict=True)
        )
        return Diagnostic(
            error.code,
            f"layer `{node.name}` ({node.op}): {error.message}",
            self._field_span(node, error.field) or node.span,
            severity="warning" if error.code in RUN_TIME_NEEDS else "error",
            notes=notes,
            help=error.help,
        )

    def _field_span(self, node: Node, path: str | None) -> Span | None:
        """The place of a field of the node's layer, of the nearest written one around it."""
        message, span = self.messages.get(node.name), None
        for name in path.split(".") if path else ():
            if message is None or name not in message.type.fields or not message.has(name):
                break
            span = message.span_of(name)
            value = message.get(name)
            message = value if isinstance(value, Message) else None
        return span

    def _origin(self, name: str, shape: Shape) -> str:
        value = self.graph.values[name]
        producer = self.graph.producers.get(name)
        source = f"layer `{producer.name}`" if producer else "the net's input"
        return f"bottom `{value.blob}` is {show(shape)}, from {source}"

    def _parameters(self, node: Node, specs: Sequence[WeightSpec]) -> tuple[str, ...]:
        if len(node.param_specs) > len(specs):
            self.diagnostics.append(
                Diagnostic(
                    "too-many-params",
                    f"layer `{node.name}` ({node.op}) has {len(node.param_specs)} `param` entries "
                    f"and {counted(len(specs), 'parameter')}",
                    node.param_specs[len(specs)].span or node.span,
                    help=("remove the surplus `param { }`",),
                )
            )
        return tuple(self._parameter(node, i, spec) for i, spec in enumerate(specs))

    def _parameter(self, node: Node, index: int, spec: WeightSpec) -> str:
        name = f"{node.name}/{index}"
        written = node.param_specs[index] if index < len(node.param_specs) else _UNWRITTEN
        fault = shape_fault(spec.shape)
        if fault:
            self.diagnostics.append(
                Diagnostic(
                    "blob-too-large",
                    f"layer `{node.name}` ({node.op}): parameter {index} would be "
                    f"{show(spec.shape)}, {fault}",
                    node.span,
                )
            )
        if written.name and written.name in self.shared:
            return self._share(node, index, spec, written)
        taken = self._taken_over(node, index, spec)
        if taken is not None:
            return taken
        if written.name:
            self.shared[written.name] = (name, written)
        lr_mult, decay_mult = _multipliers(spec, written)
        self.parameters[name] = Parameter(
            name,
            spec.shape,
            spec.filler,
            None,
            node.span,
            lr_mult=lr_mult,
            decay_mult=decay_mult,
        )
        return name

    def _taken_over(self, node: Node, index: int, spec: WeightSpec) -> str | None:
        """The parameter of another net's layer that a node reads, as a TEST net's do; else None.

        Its name, or its owner's, is that of a layer that this graph need not have.
        """
        name = node.parameters[index] if index < len(node.parameters) else ""
        known = self.graph.parameters.get(name)
        if known is None or (name == f"{node.name}/{index}" and known.owner is None):
            return None
        if name not in self.parameters or spec.shape != known.shape:
            self.parameters[name] = replace(known, shape=spec.shape)
        if known.owner is not None:
            self.parameters.setdefault(known.owner, self.graph.parameters[known.owner])
        return name

    def _share(self, node: Node, index: int, spec: WeightSpec, written: ParamSpec) -> str:
        """The parameter that an earlier layer owns under the same ``param { name }``."""
        owner, first = self.shared[written.name]
        shape = self.parameters[owner].shape or ()
        self._check_multipliers(node, written, first)
        self._share_multipliers(owner, spec, written, first)
        if shape == spec.shape:
            return owner
        permissive = written.permissive
        if not permissive or count(shape) != count(spec.shape):
            self.diagnostics.append(
                _share_mismatch(node, written, first, (owner, shape), spec.shape)
            )
            return owner
        name = f"{node.name}/{index}"
        self.parameters[name] = Parameter(
            name, spec.shape, spec.filler, None, node.span, owner=owner
        )
        return name

    def _share_multipliers(
        self, owner: str, spec: WeightSpec, written: ParamSpec, first: ParamSpec
    ) -> None:
        """What any one of its users writes holds for a parameter as a whole (net.cpp)."""
        known = first._replace(
            lr_mult=written.lr_mult if first.lr_mult is None else first.lr_mult,
            decay_mult=written.decay_mult if first.decay_mult is None else first.decay_mult,
        )
        self.shared[written.name] = (owner, known)
        lr_mult, decay_mult = _multipliers(spec, known)
        self.parameters[owner] = replace(
            self.parameters[owner], lr_mult=lr_mult, decay_mult=decay_mult
        )

    def _check_multipliers(self, node: Node, written: ParamSpec, first: ParamSpec) -> None:
        for what, mine, theirs in (
            ("lr_mult", written.lr_mult, first.lr_mult),
            ("decay_mult", written.decay_mult, first.decay_mult),
        ):
            if mine is not None and theirs is not None and mine != theirs:
                self.diagnostics.append(
                    Diagnostic(
                        "shared-param-multiplier",
                        f"layer `{node.name}` shares parameter `{written.name}` with `{what}` "
                        f"{mine:g}, and its owner has {theirs:g}",
                        written.span or node.span,
                        notes=(Note("the owner's `param` is here", first.span),),
                    )
                )


def _multipliers(spec: WeightSpec, written: ParamSpec) -> tuple[float, float]:
    """A parameter's ``lr_mult`` and ``decay_mult``; what is not learned has 0."""
    lr_mult = 1.0 if written.lr_mult is None else written.lr_mult
    decay_mult = spec.decay_mult if written.decay_mult is None else written.decay_mult
    return (lr_mult if spec.learned else 0.0), decay_mult


def _share_mismatch(
    node: Node,
    written: ParamSpec,
    first: ParamSpec,
    owner: tuple[str, Shape],
    shape: Shape,
) -> Diagnostic:
    same_count = count(owner[1]) == count(shape)
    return Diagnostic(
        "shared-param-shape",
        f"layer `{node.name}` ({node.op}) wants parameter `{written.name}` as {show(shape)}, and "
        f"its owner `{owner[0]}` has {show(owner[1])}",
        written.span or node.span,
        notes=(Note("the owner's `param` is here", first.span),),
        help=("`share_mode: PERMISSIVE` shares equal counts in different shapes",)
        if same_count
        else ("shared parameters must have equal shapes",),
    )


def blob_shapes(graph: Graph) -> dict[str, Shape]:
    """Blob name in the prototxt -> shape, for every blob whose shape is known."""
    return {v.blob: v.shape for v in _last_versions(graph) if v.shape is not None}


def _last_versions(graph: Graph) -> list[Value]:
    return list({v.blob: v for v in graph.values.values()}.values())
