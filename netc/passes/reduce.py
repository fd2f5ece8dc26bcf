"""Products computed in fewer bits than float32: bfloat16, or int8 where a record has scales.

Before::

    y = Fused[Convolution, ReLU](x); z = Convolution(y)

After::

    y = Fused[ReducedConvolution, ReLU, Rounding](x); z = ReducedConvolution(y)

Each product rounds its input and its weights itself (netc.ops.reduced). A value that such products
alone read is rounded by the one that makes it, once, to the same numbers: a backend may keep it in
fewer bits then (:func:`kept_reduced`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from netc.ir.edit import with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.elementwise import EltwiseParams
from netc.ops.fused import NAME, FusedParams, Stage, bind_stages
from netc.ops.joining import ConcatParams
from netc.ops.linear import InnerProductParams
from netc.ops.numbers import all_finite
from netc.ops.pooling import PoolingParams
from netc.ops.reduced import (
    REDUCED_CONVOLUTION,
    REDUCED_DECONVOLUTION,
    REDUCED_INNER_PRODUCT,
    ROUNDING,
    Bfloat16,
    Int8,
    Number,
    ReducedParams,
    RoundingParams,
    is_depthwise,
    misfit,
)
from netc.ops.role import Role
from netc.passes.base import Applied, Log, Pass
from netc.passes.epilogue import FUSE_EPILOGUES, chain_of, stages_of

OPS = {
    Role.CONVOLUTION: REDUCED_CONVOLUTION,
    Role.DECONVOLUTION: REDUCED_DECONVOLUTION,
    Role.INNER_PRODUCT: REDUCED_INNER_PRODUCT,
}
"""What a product becomes, by its role."""

PASSED_ON = {Role.CONCAT: (Bfloat16.name, Int8.name), Role.POOLING: (Int8.name,)}
"""Whose results may be kept in what their inputs are kept in, by role: parts beside each other, and
the largest elements of windows."""

Choice = Callable[[Node], Number | None]
"""What a product is computed in; None for float32."""
Objection = Callable[[Graph, Node, Number], str | None]
"""Why a product that can be computed in fewer bits had better not be; None where it should be."""


REDUCTIONS = (Bfloat16.name, Int8.name)
"""The names of the passes that are asked for by a precision."""


def no_objection(graph: Graph, node: Node, number: Number) -> str | None:
    """Whatever can be computed in fewer bits is."""
    return None


def reduction(name: str, choose: Choice, objection: Objection = no_objection) -> Pass:
    """A pass that lets products be computed in what ``choose`` says of them, where they can be.

    Its log tells of each other product why it stays in float32: see :func:`left_in_float32`.

    Args:
        name: of the pass.
        choose: what a product is computed in.
        objection: what speaks against it.
    """

    def rewrite(graph: Graph, log: Log) -> Graph:
        nodes = [_reduced(graph, node, choose, objection, log) for node in graph.nodes]
        return _rounded_once(with_nodes(graph, nodes), log)

    return Pass(name, rewrite)


def left_in_float32(applied: Iterable[Applied], name: str) -> dict[str, str]:
    """Product -> why a reduction left it in float32.

    Args:
        applied: what passes did.
        name: of the reduction.
    """
    remarks = [remark for item in applied if item.name == name for remark in item.remarks]
    return {layer: r.message for r in remarks if r.missed for layer in r.layers}


def with_reduction(passes: tuple[Pass, ...], own: Pass) -> tuple[Pass, ...]:
    """Passes with a reduction where products have their epilogues, and stand by themselves."""
    at = passes.index(FUSE_EPILOGUES) + 1 if FUSE_EPILOGUES in passes else len(passes)
    return (*passes[:at], own, *passes[at:])


def candidates(graph: Graph, number: Number) -> list[Node]:
    """The nodes of a graph whose products can be computed in a kind of number."""
    return [node for node in graph.nodes if _misfit(graph, node, number) is None]


def _reduced(graph: Graph, node: Node, choose: Choice, objection: Objection, log: Log) -> Node:
    if not _is_product(node):
        return node
    number = choose(node)
    if number is None:
        log.missed("it was chosen to stay so", node.name)
        return node
    reason = _misfit(graph, node, number) or objection(graph, node, number)
    if reason is not None:
        log.missed(reason, node.name)
        return node
    first, *rest = stages_of(node)
    op = next(name for role, name in OPS.items() if has_role(first.op, role))
    params = ReducedParams(first.params_as(ConvolutionParams, InnerProductParams), number)
    log.applied(f"computed in {number.name}", node.name)
    if not rest:
        return replace(node, op=op, params=params)
    return replace(node, params=FusedParams((replace(first, op=op, params=params), *rest)))


def _is_product(node: Node) -> bool:
    return has_role(stages_of(node)[0].op, Role.PRODUCT)


def _misfit(graph: Graph, node: Node, number: Number) -> str | None:
    """Why a node stays in float32; None where it need not."""
    if not _is_product(node) or len(node.outputs) != 1:
        return "it is no product"
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters))
    shape, weights = graph.shape(first.inputs[0]), graph.parameters[first.parameters[0]]
    if len(first.inputs) != 1 or 0 in shape:
        return "it has several inputs, or none with elements"
    if weights.variable or weights.owner is not None or weights.array is None:
        return "its weights are variables, or read in another shape too"
    op = CATALOG[first.stage.op]
    params = first.stage.params_as(ConvolutionParams, InnerProductParams)
    return misfit(op, params, shape, weights.array, number)


# Values that are rounded where they are made


def _rounded_once(graph: Graph, log: Log) -> Graph:
    """Let the products that make a value round it, if all that read it would."""
    numbers = _kept(graph)
    nodes = []
    for node in graph.nodes:
        number = numbers.get(node.outputs[0]) if node.outputs else None
        if number is None or _passes_on(graph, node, number):
            nodes.append(node)
            continue
        nodes.append(_with_rounding(node, number))
        log.applied(f"its result is kept as {number.name}", node.name)
    return with_nodes(graph, nodes)


def _kept(graph: Graph) -> dict[str, Number]:
    """The values that can be kept in fewer bits, and in what.

    A product makes them, or a node that passes elements on, of values that are kept themselves; and
    all that read them are products that round to the same, sums in such products' epilogues,
    or nodes whose results are kept.
    """
    found: dict[str, Number] = {}
    for node in reversed(graph.nodes):  # the readers of a value come before it
        number = _read_as(graph, node.outputs[0], found) if len(node.outputs) == 1 else None
        if number is None:
            continue
        made = _makes_reduced(node) and _fills_words(graph, node, number)
        if made or _passes_on(graph, node, number):
            found[node.outputs[0]] = number
    while lost := [v for v in found if not _holds(graph, v, found)]:
        for value in lost:
            del found[value]
    return found


def _holds(graph: Graph, value: str, found: Mapping[str, Number]) -> bool:
    """True if what a value is passed on from, and what it is passed on to, is kept."""
    number, node = found[value], graph.producers[value]
    if _passes_on(graph, node, number) and any(found.get(v) != number for v in node.inputs):
        return False
    return _read_as(graph, value, found) == number


def _passes_on(graph: Graph, node: Node, number: Number) -> bool:
    """True for a node each of whose results is an input's element, codes included."""
    if len(node.outputs) != 1 or any(len(graph.shape(v)) != 4 for v in node.inputs):
        return False
    if any(graph.shape(v)[1] % number.per_word for v in node.inputs):
        return False
    role = next((role for role in PASSED_ON if has_role(node.op, role)), None)
    if role is None or number.name not in PASSED_ON[role]:
        return False
    if role is Role.CONCAT:
        return node.params_as(ConcatParams).axis in (1, -3) and len(node.inputs) > 1
    return node.params_as(PoolingParams).method == "MAX"


def _makes_reduced(node: Node) -> bool:
    """True if a kernel of a reduced product finishes the node's only result."""
    first, *rest = stages_of(node)
    return has_role(first.op, Role.REDUCED_PRODUCT) and len(rest) <= 2 and _is_finished(rest)


def _fills_words(graph: Graph, node: Node, number: Number) -> bool:
    """True if no group of a product's outputs ends within a word, and no pixel's."""
    params = stages_of(node)[0].params_as(ReducedParams).product
    groups = params.group if isinstance(params, ConvolutionParams) else 1
    together = 1 if is_depthwise(params, graph.shape(node.inputs[0])) else groups
    return params.num_output // together % number.per_word == 0


def _is_finished(stages: list[Stage]) -> bool:
    """True for a sum with another value, then an activation, or one of them."""
    sums = [is_plain_sum(stage) for stage in stages]
    if any(sums[1:]):
        return False
    return all(s or _is_exact(stage) for s, stage in zip(sums, stages, strict=True))


def _is_exact(stage: Stage) -> bool:
    """True for an activation that kernels do as its definition says, to the last bit."""
    if has_role(stage.op, Role.CLIPPED) and getattr(stage.params, "negative_slope", None):
        return False
    return has_role(stage.op, Role.RECTIFIER | Role.CLIPPED) and all_finite(stage.params)


def is_plain_sum(stage: Stage) -> bool:
    """True if a stage adds one value of the same shape to the chain."""
    params = stage.params
    return (
        isinstance(params, EltwiseParams)
        and params.operation == "SUM"
        and stage.inputs == 1
        and set(params.coeff) <= {1.0}
    )


def _read_as(graph: Graph, value: str, found: Mapping[str, Number]) -> Number | None:
    """What all readers of a value round it to; None where one does not, or they differ."""
    if value in graph.results or len(graph.shape(value)) != 4:
        return None
    read = [_reads(graph, node, value, found) for node in graph.readers[value]]
    numbers = {number for one in read if one is not None for number in one}
    return numbers.pop() if None not in read and len(numbers) == 1 else None


def _reads(
    graph: Graph, node: Node, value: str, found: Mapping[str, Number]
) -> tuple[Number, ...] | None:
    """What a node rounds a value to that it reads; empty where it takes any, None where none.

    A sum in a reduced product's epilogue reads it as it is.
    """
    stages = stages_of(node)
    if not has_role(stages[0].op, Role.REDUCED_PRODUCT):
        number = found.get(node.outputs[0]) if node.outputs else None
        return (number,) if number is not None and _passes_on(graph, node, number) else None
    params = stages[0].params_as(ReducedParams)
    added = len(stages) > 1 and is_plain_sum(stages[1]) and node.inputs[1] == value
    if node.inputs.count(value) != added + (node.inputs[0] == value):
        return None
    return (params.number,) if node.inputs[0] == value else ()


def _with_rounding(node: Node, number: Number) -> Node:
    stage = Stage(ROUNDING, RoundingParams(number))
    return replace(node, op=NAME, params=FusedParams((*stages_of(node), stage)))


def kept_reduced(graph: Graph) -> Mapping[str, Number]:
    """The values whose elements fewer bits can hold, and that readers take so."""
    found: dict[str, Number] = {}
    for node in graph.nodes:
        if len(node.outputs) != 1:
            continue
        last = stages_of(node)[-1]
        if has_role(last.op, Role.ROUNDING):
            params = last.params_as(RoundingParams)
            found[node.outputs[0]] = params.number
            continue
        number = found.get(node.inputs[0]) if node.inputs else None
        same = number is not None and all(found.get(v) == number for v in node.inputs)
        if number is not None and same and _passes_on(graph, node, number):
            found[node.outputs[0]] = number
    return found
