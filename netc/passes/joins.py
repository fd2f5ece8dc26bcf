"""Concatenations and slices that undo or repeat each other.

Before::

    c = Concat(a, b); d = Concat(c, e)            a1, b1 = Slice(Concat(a, b)) at the same place

After::

    d = Concat(a, b, e)                           a, b

So do a Concat of all that one Slice gave, in order. A concatenation whose parts are joined again
keeps its own buffer only where something else reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TypeGuard

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import canonical_axis
from netc.ops.catalog import has_role
from netc.ops.joining import ConcatParams, SliceParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass


def simplify_joins(graph: Graph, log: Log) -> Graph:
    """Concats read parts, not other Concats; slices that recover parts are those parts."""
    draft = Draft(graph)
    for node in draft:
        if has_role(node.op, Role.CONCAT):
            _splice(draft, node, log)
            _rejoin(draft, draft.node(node.name), log)
        elif has_role(node.op, Role.SLICE):
            _recover(draft, node, log)
    return draft.result()


def _axis(draft: Draft, node: Node) -> int:
    axis = node.params_as(ConcatParams, SliceParams).axis
    return canonical_axis(axis, len(draft.shape(node.inputs[0])))


def _joins_along(node: Node | None, draft: Draft, axis: int) -> TypeGuard[Node]:
    """True for a Concat along an axis."""
    return node is not None and has_role(node.op, Role.CONCAT) and _axis(draft, node) == axis


def _splice(draft: Draft, node: Node, log: Log) -> None:
    """Read the parts of the Concats among the inputs that nothing else reads."""
    inner = {}
    for value in dict.fromkeys(node.inputs):
        before = draft.producer(value)
        if _joins_along(before, draft, _axis(draft, node)) and draft.only_reader(value) is not None:
            inner[value] = before
    if not inner:
        return
    inputs = [part for v in node.inputs for part in (inner[v].inputs if v in inner else (v,))]
    spans = node.spans + tuple(span for before in inner.values() for span in before.spans)
    draft.put(node.name, replace(node, inputs=tuple(inputs), spans=spans))
    for before in inner.values():
        draft.remove(before.name)
        log.applied("Concat of a Concat joins all parts at once", node.name, before.name)


def _rejoin(draft: Draft, node: Node, log: Log) -> None:
    """A Concat of all parts of a Slice, in order, is what was sliced."""
    cut = draft.producer(node.inputs[0])
    if cut is None or not has_role(cut.op, Role.SLICE) or node.inputs != cut.outputs:
        return
    if _axis(draft, cut) != _axis(draft, node):
        return
    if node.outputs[0] in draft.outputs:
        log.missed("its output is asked for, and is what was sliced", node.name)
        return
    draft.remove(node.name)
    draft.redirect(node.outputs[0], cut.inputs[0])
    log.applied("Concat puts together what was sliced", node.name, cut.name)
    draft.remove_unneeded(cut)


def _recover(draft: Draft, node: Node, log: Log) -> None:
    """Slices that are a Concat's parts are not cut out of it."""
    whole = draft.producer(node.inputs[0])
    if not _joins_along(whole, draft, _axis(draft, node)):
        return
    parts = _ranges(draft, whole.inputs, _axis(draft, node))
    cuts = _ranges(draft, node.outputs, _axis(draft, node))
    known = {reach: value for value, reach in zip(whole.inputs, parts, strict=True)}
    for value, reach in zip(node.outputs, cuts, strict=True):
        if reach not in known:
            log.missed(f"`{value}` is no single part of the Concat `{whole.name}`", node.name)
        elif value in draft.outputs:
            log.missed(f"`{value}` is asked for, and is a part of a Concat too", node.name)
        elif draft.readers(value):
            draft.redirect(value, known[reach])
            log.applied(f"`{value}` is the part `{known[reach]}`", node.name, whole.name)
    draft.remove_unneeded(node)
    draft.remove_unneeded(whole)


def _ranges(draft: Draft, values: Sequence[str], axis: int) -> list[tuple[int, int]]:
    """Where each value begins and ends, laid one after another along an axis."""
    ends = list(accumulate((draft.shape(v)[axis] for v in values), initial=0))
    return list(pairwise(ends))


SIMPLIFY_JOINS = Pass("simplify-joins", simplify_joins, exact=True)
