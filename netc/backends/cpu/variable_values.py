"""Values that lie in their variables: parameters, histories and what an update makes of them.

Where an update may work in the variables themselves (netc.backends.shared.in_place), nothing is
copied to the arena and back. The gradient then has the variable's order too, Caffe's, whatever its
axes: one long pixel for each of its first axis.

    dW      in the arena, in Caffe's order, and so its mean over ranks; in the memory that ranks
            share, where they do

With several passes an iteration a gradient is written to the variable of the sum, or added to it
there. The update has the sum in Caffe's order; where ranks share memory the variable lies in it,
and so do the value of the sum and its mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from netc.backends.cpu.status import status_index
from netc.backends.shared.in_place import in_place_updates, last_reads
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External, Place, View, dense
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape
from netc.ops.elementwise import EltwiseParams
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient import GradientParams
from netc.ops.gradient_update import NAME as GRADIENT_UPDATE
from netc.ops.gradient_update import written_by
from netc.ops.inputs import ParameterParams
from netc.ops.ranks import FINISH, START, SumParams, sharing_group
from netc.ops.update import CLIP


@dataclass(frozen=True)
class VariableValues:
    """Which values lie in variables, and which gradients lie in Caffe's order in the arena."""

    places: Mapping[str, External] = field(default_factory=dict)
    gradients: frozenset[str] = frozenset()

    def view(self, graph: Graph, value: str, place: Place) -> View | None:
        """How one of these values lies, None for others."""
        if value not in self.places and value not in self.gradients:
            return None
        shape = graph.shape(value)
        return view_of(shape, place) if is_in_c_order(shape) else in_rows(shape, place)


def in_rows(shape: Shape, place: Place) -> View:
    """A value in Caffe's order as a pixel for each of its first axis."""
    return dense(place, shape[0], 1, 1, math.prod(shape[1:]))


def variable_values(graph: Graph) -> VariableValues:
    """The values of a graph that may lie in variables."""
    first = len(graph.inputs) + len(graph.outputs)
    index = {variable: first + i for i, variable in enumerate(graph.updates)}
    places: dict[str, External] = {}
    gradients: set[str] = set()
    for node, pairs in in_place_updates(graph):
        reached = _whole_gradient(graph, node)
        if not all(_in_any_order(graph, node, gradient) for gradient in reached):
            continue
        for variable, before, after in pairs:
            places[before] = places[after] = External(index[variable])
        for gradient in reached:
            chain = _handed_on(graph, gradient)
            gradients.update((*chain, *_summands(graph, chain[-1])))
            places.update(_shared_places(graph, chain))
    stored = {v: place for v, place in _stored(graph, index, last_reads(graph)) if v not in places}
    return VariableValues({**places, **stored}, frozenset({*gradients, *stored}))


def _stored(
    graph: Graph, index: Mapping[str, int], last: Mapping[str, int]
) -> Iterator[tuple[str, External]]:
    """Gradients that a variable is to hold, of which nothing reads what it held before."""
    for variable, value in graph.updates.items():
        maker = graph.producers.get(value)
        if maker is None or not _is_weight_gradient(maker):
            continue
        alone = not graph.readers[value] and value not in graph.outputs
        if alone and variable not in last and list(graph.updates.values()).count(value) == 1:
            yield value, External(index[variable])


def _is_weight_gradient(node: Node) -> bool:
    return node.op == GRADIENT and node.params_as(GradientParams).kind == "weight"


def _whole_gradient(graph: Graph, node: Node) -> tuple[str, ...]:
    """The gradient that a node writes to variables by; empty where it makes it itself."""
    own = written_by(graph, node)
    return () if own is None or node.op == GRADIENT_UPDATE else own.gradient


def _in_any_order(graph: Graph, node: Node, gradient: str) -> bool:
    """True if whoever makes and reads a gradient knows it in Caffe's order."""
    if is_in_c_order(graph.shape(gradient)):
        return True
    *handed, made = _handed_on(graph, gradient)
    summands = _summands(graph, made)
    if not all(_may_be_in_c_order(graph, value) for value in summands or (made,)):
        return False
    return all(
        value not in graph.outputs and len(_others(graph, node, value)) == (value != gradient)
        for value in (*handed, made, *summands)
    )


def _summands(graph: Graph, value: str) -> tuple[str, ...]:
    """What a plain sum adds up, such as the gradients of layers that share a parameter."""
    maker = graph.producers.get(value)
    return maker.inputs if maker is not None and maker.params == EltwiseParams() else ()


def _may_be_in_c_order(graph: Graph, value: str) -> bool:
    """True of what a variable holds, and of a gradient of one, as it is made."""
    maker = graph.producers.get(value)
    if maker is None:
        return False
    return _is_variable(maker) or _is_weight_gradient(maker)


def _is_variable(node: Node) -> bool:
    return isinstance(node.params, ParameterParams)


def _handed_on(graph: Graph, gradient: str) -> tuple[str, ...]:
    """A gradient, what it was before its mean over ranks was taken, and so on to what was made."""
    producer = graph.producers.get(gradient)
    if producer is None or producer.op not in (START, FINISH):
        return (gradient,)
    return (gradient, *_handed_on(graph, producer.inputs[0]))


def shared_gradients(graph: Graph) -> str:
    """The group in whose memory gradients lie; empty where ranks do not share memory."""
    sums = (n.params_as(SumParams) for n in graph.nodes if n.op == START)
    sliced = (params.group for params in sums if params.sliced)
    return next(sliced, "")


def _shared_places(graph: Graph, chain: tuple[str, ...]) -> Mapping[str, External]:
    """Places of a gradient, of it under way and of its mean in the memory that ranks share.

    They are one place there: nothing is copied. None where somebody else reads one of the values,
    or where the gradient is a part or a view of another value, whose place is its own.
    """
    maker = graph.producers.get(chain[-1])
    if len(chain) < 3 or maker is None:
        return {}
    params = graph.producers[chain[-2]].params_as(SumParams)
    read = ([r for r in graph.readers[v] if r.op != CLIP] for v in chain)
    alone = all(len(readers) == 1 for readers in read) and not {*chain} & {*graph.outputs}
    made_there = maker.op == GRADIENT or _lies_in_shared_memory(graph, maker, params)
    if not params.sliced or not alone or not made_there:
        return {}
    first = shared_areas(graph, params)
    own = first.offset + params.rank * area_elements(params)
    return dict.fromkeys(chain, first._replace(offset=own))


def shared_areas(graph: Graph, params: SumParams) -> External:
    """Where a gradient lies in the memory that ranks share, in the area of rank 0."""
    return External(status_index(graph) + 1, params.offset)


def area_elements(params: SumParams) -> int:
    """Elements from a gradient in one rank's area to that in the next rank's."""
    return int(sharing_group(params.group).areas.shape[1])


def _lies_in_shared_memory(graph: Graph, maker: Node, params: SumParams) -> bool:
    """True of a sum over passes whose variable lies where its mean is to be."""
    array = graph.parameters[maker.parameters[0]].array if _is_variable(maker) else None
    if array is None or not params.sliced:
        return False
    area: Array = sharing_group(params.group).areas[params.rank]
    return bool(array.ctypes.data == area[params.offset :].ctypes.data)


def _others(graph: Graph, node: Node, value: str) -> list[Node]:
    """Readers of a value besides the update and what takes the norm of all gradients."""
    return [r for r in graph.readers[value] if r.name != node.name and r.op != CLIP]
