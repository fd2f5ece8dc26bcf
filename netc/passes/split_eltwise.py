"""Eltwise layers of many bottoms as several of few.

Before::

    y = Eltwise(x0, x1, ..., x39)

After::

    a = Eltwise(x0, ..., x15); b = Eltwise(a, x16, ..., x30); y = Eltwise(b, x31, ..., x39)

A kernel has the code of every bottom in it, so that one of thousands would take minutes to compile
and gigabytes; those of a few are compiled once and run again and again. Bottoms are taken in the
same order, so that no result changes. This is done whatever passes are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.elementwise import EltwiseParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass

MAX_BOTTOMS = 16  # bottoms of one


def split_eltwise(graph: Graph, log: Log) -> Graph:
    """Every Eltwise with few bottoms."""
    draft = Draft(graph)
    for node in draft:
        if has_role(node.op, Role.ELTWISE) and len(node.inputs) > MAX_BOTTOMS:
            _split(draft, node)
            log.applied(
                f"its {len(node.inputs):,} bottoms are taken {MAX_BOTTOMS} at a time", node.name
            )
    return draft.result()


def _split(draft: Draft, node: Node) -> None:
    """The first bottoms in the node's place, the others behind it."""
    params, output = node.params_as(EltwiseParams), node.outputs[0]
    shape = draft.shape(output)
    coeff: Sequence[float] = params.coeff or (1.0,) * len(node.inputs)
    made = draft.fresh_value(f"{output}~{MAX_BOTTOMS}", output, shape)
    first = _factors(params, coeff[:MAX_BOTTOMS])
    draft.put(
        node.name, replace(node, params=first, inputs=node.inputs[:MAX_BOTTOMS], outputs=(made,))
    )
    last = node.name
    for start in range(MAX_BOTTOMS, len(node.inputs), MAX_BOTTOMS - 1):
        stop = min(start + MAX_BOTTOMS - 1, len(node.inputs))
        whole = stop == len(node.inputs)
        result = output if whole else draft.fresh_value(f"{output}~{stop}", output, shape)
        name = f"{node.name}~{stop}"
        inputs = _joined(params, made, node.inputs[start:stop])
        factors = _factors(params, (1.0, *coeff[start:stop]))
        draft.put_after(last, Node(name, "Eltwise", factors, inputs, (result,), spans=node.spans))
        last, made = name, result


def _joined(params: EltwiseParams, made: str, others: Sequence[str]) -> tuple[str, ...]:
    """The bottoms of a later one: of MAX what there is comes second, where NaN stays."""
    if params.operation == "MAX":
        return (others[0], made, *others[1:])
    return (made, *others)


def _factors(params: EltwiseParams, coeff: Sequence[float]) -> EltwiseParams:
    return replace(params, coeff=tuple(coeff) if params.coeff else ())


SPLIT_ELTWISE = Pass("split-eltwise", split_eltwise, exact=True)
