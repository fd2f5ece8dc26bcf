"""Per-channel linear maps: BatchNorm by stored statistics, Scale, Bias, linear Power.

``merge-maps``, for maps in a row that no product takes. Before::

    n = BatchNorm(x; mean, variance, factor); y = Scale(n; gamma, beta)

After::

    y = Scale(x; s, t)         with  s = gamma / deviation,  t = beta - mean * s
"""

from __future__ import annotations

import numpy as np

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import CATALOG
from netc.ops.define import Affine
from netc.ops.filler import CONSTANT_ZERO
from netc.ops.scale_bias import OperandParams
from netc.passes.base import Log, Pass
from netc.passes.linear import is_tame, with_arrays


def is_map(node: Node) -> bool:
    """True if a node's op can be a per-channel linear map."""
    return CATALOG[node.op].affine is not None


def affine_of(draft: Draft, node: Node) -> Affine | None:
    """The per-channel linear map a node is, None where it is none, or one of variables."""
    rule = CATALOG[node.op].affine
    if rule is None or len(node.inputs) != 1 or len(draft.shape(node.inputs[0])) < 2:
        return None
    if draft.is_variable(*node.parameters):
        return None
    arrays = [draft.array(name) for name in node.parameters]
    return rule(node.params, [draft.shape(node.inputs[0])], arrays)


def composed(first: Affine, then: Affine) -> Affine:
    """The map that does one after another."""
    return Affine(first.scale * then.scale, first.shift * then.scale + then.shift)


def elements(draft: Draft, node: Node) -> int:
    """Multiply-adds of a map: one an element."""
    return count(draft.shape(node.outputs[0]))


def merge_maps(graph: Graph, log: Log) -> Graph:
    """Maps in a row become one Scale with bias."""
    draft = Draft(graph)
    for node in draft:
        chain, affine = _chain(draft, node)
        if affine is None and _follow_each_other(draft, node):
            log.missed("its factors are variables", node.name)
        if affine is not None and len(chain) > 1 and is_tame(affine):
            saved = elements(draft, node) * (len(chain) - 1)
            ops = " and ".join(n.op for n in chain)
            log.applied(f"{ops} are one Scale", *(n.name for n in chain), saved=saved)
            _merge(draft, chain, affine)
    return draft.result()


def _chain(draft: Draft, node: Node) -> tuple[list[Node], Affine | None]:
    """A map with the maps that alone read each other, and all of them as one."""
    affine = affine_of(draft, node)
    chain = [node]
    while affine is not None and (reader := draft.only_reader(chain[-1].outputs[0])) is not None:
        then = affine_of(draft, reader)
        if then is None:
            break
        affine = composed(affine, then)
        chain.append(reader)
    return chain, affine


def _follow_each_other(draft: Draft, node: Node) -> bool:
    """True if a node, whose factors are variables, and what alone reads it are both maps."""
    if not is_map(node) or not draft.is_variable(*node.parameters):
        return False
    reader = draft.only_reader(node.outputs[0]) if len(node.outputs) == 1 else None
    return reader is not None and is_map(reader)


def _merge(draft: Draft, chain: list[Node], affine: Affine) -> None:
    """One Scale in the place of the last map."""
    last = chain[-1]
    node = Node(
        last.name,
        "Scale",
        OperandParams("scale_param", bias_filler=CONSTANT_ZERO),
        chain[0].inputs,
        last.outputs,
        spans=sum((n.spans for n in chain), ()),
    )
    arrays = affine.scale.astype(np.float32), affine.shift.astype(np.float32)
    draft.put(last.name, with_arrays(draft, node, arrays))
    for earlier in chain[:-1]:
        draft.remove(earlier.name)


MERGE_MAPS = Pass("merge-maps", merge_maps)
