"""Layers that only give a value another shape, several in a row or before an inner product.

Before::

    f = Flatten(x); r = Reshape(f); y = InnerProduct(r)

After::

    y = InnerProduct(x)

An InnerProduct flattens what it reads itself, so a reshape before it that keeps the axes before
its own changes nothing. Where values are stored with their channels innermost, such a Flatten
would be a copy.
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import canonical_axis
from netc.ops.catalog import has_role
from netc.ops.linear import InnerProductParams
from netc.ops.reshaping import ReshapeParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass


def merge_reshapes(graph: Graph, log: Log) -> Graph:
    """Each reshape of a reshape reads what the first one read; inner products do so too."""
    draft = Draft(graph)
    for node in draft:
        before = _reshape_before(draft, node)
        if before is None:
            continue
        if has_role(node.op, Role.VIEW):
            _merge(draft, before, node, log)
        elif has_role(node.op, Role.INNER_PRODUCT):
            _read_through(draft, before, node, log)
    return draft.result()


def _reshape_before(draft: Draft, node: Node) -> Node | None:
    before = draft.producer(node.inputs[0]) if node.inputs else None
    return before if before is not None and has_role(before.op, Role.VIEW) else None


def _merge(draft: Draft, before: Node, node: Node, log: Log) -> None:
    source, shape = before.inputs[0], draft.shape(node.outputs[0])
    if draft.only_reader(before.outputs[0]) is None:
        log.missed(f"what `{before.name}` gives is needed elsewhere too", node.name)
        return
    if 0 in shape:
        log.missed("a size is 0, which a Reshape would copy", node.name)
        return
    if shape == draft.shape(source) and node.outputs[0] not in draft.outputs:
        draft.remove(node.name)
        draft.redirect(node.outputs[0], source)
        log.applied("together they change nothing", before.name, node.name)
    else:
        spans = before.spans + node.spans
        merged = Node(
            node.name, "Reshape", ReshapeParams(shape), (source,), node.outputs, spans=spans
        )
        draft.put(node.name, merged)
        log.applied(f"{before.op} and {node.op} are one Reshape", before.name, node.name)
    draft.remove(before.name)


def _read_through(draft: Draft, before: Node, node: Node, log: Log) -> None:
    source, flat = draft.shape(before.inputs[0]), draft.shape(node.inputs[0])
    product = node.params_as(InnerProductParams)
    axis = canonical_axis(product.axis, len(flat))
    if source[:axis] != flat[:axis] or len(source) <= axis:
        log.missed(f"`{before.name}` changes the axes before its `axis` {axis}", node.name)
        return
    params = replace(product, axis=axis)
    draft.put(node.name, replace(node, params=params, inputs=before.inputs))
    log.applied(f"InnerProduct reads what the {before.op} before it reads", node.name, before.name)
    draft.remove_unneeded(before)


MERGE_RESHAPES = Pass("merge-reshapes", merge_reshapes, exact=True)
