"""Drop what a result does not need: identity layers and layers that no output depends on.

Before::

    d = Dropout(x); y = InnerProduct(d); a = Accuracy(y, label)        output y

After::

    y = InnerProduct(x)                                                output y
"""

from __future__ import annotations

import numpy as np

from netc.analysis.cost import node_cost
from netc.ir.draft import Draft
from netc.ir.edit import live_nodes, with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.rectifiers import ReLUParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass


def drop_identities(graph: Graph, log: Log) -> Graph:
    """Readers of an identity layer's output read its input instead."""
    draft = Draft(graph)
    for node in draft:
        if not is_identity(draft, node):
            continue
        if _has_neutral_arrays(draft, node) and draft.is_variable(*node.parameters):
            log.missed("it changes nothing now, and its factors are variables", node.name)
        else:
            _drop(draft, node, log)
    return draft.result()


def is_identity(draft: Draft, node: Node) -> bool:
    """True if a node's outputs equal its first input."""
    rule = CATALOG[node.op].identity if node.op in CATALOG else None
    shapes = [draft.shape(v) for v in node.inputs]
    if shapes and rule is not None and rule(node.params, shapes):
        return True
    return _has_neutral_arrays(draft, node) or _rectifies_again(draft, node)


def _has_neutral_arrays(draft: Draft, node: Node) -> bool:
    """A Scale by ones (plus zeros), a Bias of zeros."""
    if not has_role(node.op, Role.SCALE | Role.BIAS) or len(node.inputs) != 1:
        return False
    neutral = (1, 0) if has_role(node.op, Role.SCALE) else (0,)
    arrays = [draft.array(name) for name in node.parameters]
    return all(bool(np.all(a == n)) for a, n in zip(arrays, neutral, strict=False))


def _rectifies_again(draft: Draft, node: Node) -> bool:
    """A ReLU of what a ReLU without slope gave."""
    if not has_role(node.op, Role.RECTIFIER):
        return False
    before = draft.producer(node.inputs[0])
    return (
        before is not None
        and has_role(before.op, Role.RECTIFIER)
        and not before.params_as(ReLUParams).negative_slope
    )


def _drop(draft: Draft, node: Node, log: Log) -> None:
    """Take an identity out; its producer makes the output itself where that is asked for.

    That cannot be where the input is an input of the net, or asked for too.
    """
    source = node.inputs[0]
    asked = [v for v in node.outputs if v in draft.outputs]
    if asked and (len(asked) > 1 or source in draft.outputs or draft.producer(source) is None):
        log.missed("its output is asked for, and is its input too", node.name)
        return
    draft.remove(node.name)
    for value in node.outputs:
        draft.redirect(value, source)
    if asked:
        draft.rename(source, asked[0])
    log.applied(f"{node.op} changes nothing here", node.name)


def drop_dead(graph: Graph, log: Log) -> Graph:
    """Without the nodes that no output depends on."""
    kept = live_nodes(graph)
    if len(kept) == len(graph.nodes):
        return graph
    alive = {node.name for node in kept}
    for node in graph.nodes:
        if node.name not in alive:
            saved = node_cost(graph, node).macs
            log.applied(f"nothing asked for depends on this {node.op}", node.name, saved=saved)
    return with_nodes(graph, kept)


DROP_IDENTITIES = Pass("drop-identities", drop_identities, exact=True)
DROP_DEAD = Pass("drop-dead", drop_dead, exact=True)
