"""Drop what a result does not need: identity layers and layers that no output depends on.

Before::

    d = Dropout(x); y = InnerProduct(d); a = Accuracy(y, label)        output y

After::

    y = InnerProduct(x)                                                output y
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.edit import live_nodes, rename_inputs, with_nodes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG
from netc.passes.base import Log, Pass


def drop_identities(graph: Graph, log: Log) -> Graph:
    """Readers of an identity layer's output read its input instead."""
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = rename_inputs(node, names)
        if not is_identity(graph, node):
            kept.append(node)
        elif not any(v in graph.outputs for v in node.outputs):
            names |= dict.fromkeys(node.outputs, node.inputs[0])
            log.did(f"{node.op} changes nothing here", node.name)
        elif not _take_over(graph, node, kept, names):
            kept.append(node)
            log.declined("its output is asked for, and is its input too", node.name)
    return with_nodes(graph, kept)


def is_identity(graph: Graph, node: Node) -> bool:
    """Whether a node's outputs are its first input unchanged."""
    rule = CATALOG[node.op].identity if node.op in CATALOG else None
    shapes = [graph.shape(v) for v in node.inputs]
    return bool(shapes) and rule is not None and rule(node.params, shapes)


def _take_over(graph: Graph, node: Node, kept: list[Node], names: dict[str, str]) -> bool:
    """Let the producer of an identity layer's input produce the asked-for output itself.

    Possible where the input is neither an input of the net nor asked for.
    """
    source, output = node.inputs[0], node.outputs[0]
    if len(node.outputs) != 1 or source in graph.outputs:
        return False
    for index, earlier in enumerate(kept):
        if source in earlier.outputs:
            outputs = tuple(output if v == source else v for v in earlier.outputs)
            kept[index] = replace(earlier, outputs=outputs)
            for at in range(index + 1, len(kept)):
                kept[at] = rename_inputs(kept[at], {source: output})
            names[source] = output
            names.update({k: output for k, v in names.items() if v == source})
            return True
    return False


def drop_dead(graph: Graph, log: Log) -> Graph:
    """Without the nodes that no output depends on."""
    kept = live_nodes(graph)
    alive = {node.name for node in kept}
    for node in graph.nodes:
        if node.name not in alive:
            log.did(f"nothing asked for depends on this {node.op}", node.name)
    return with_nodes(graph, kept)


DROP_IDENTITIES = Pass("drop-identities", drop_identities, exact=True)
DROP_DEAD = Pass("drop-dead", drop_dead, exact=True)
