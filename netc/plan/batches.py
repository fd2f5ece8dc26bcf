"""A batch in parts: a few images at a time, where their blobs stay in the last cache.

A layer of a large batch writes more than the caches hold, and the next one reads it from memory
again. A few images at a time leave their blobs in the cache, and weights are read again for each
part in their place::

    batch of 8:   conv1 of 8, conv2 of 8, ...        each blob goes to memory and back
    parts of 2:   conv1 of 2, conv2 of 2, ..., conv1 of the next 2, ...

It is for nets that make of each image its own answers, whatever else is in the batch, but for a
layer at the end that finds boxes: that one takes the batch as a whole.
"""

from __future__ import annotations

from netc.ir.graph import Graph, Node
from netc.ir.types import count
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.plan.rows import ChosenRows, row_by_row
from netc.plan.split import parted
from netc.plan.storage import BYTES

_START = 4 << 20  # bytes that could be read while a part is started

#: Ops whose result takes the place of an input, or is stored by the op that makes the input.
_IN_PLACE = Role.EPILOGUE | Role.UNARY | Role.ELTWISE | Role.DROPOUT | Role.COPY | Role.VIEW


def images_at_a_time(graph: Graph, cache: int, minimum: int = 1) -> int:
    """How many images a part has: the divisor of the batch that moves the fewest bytes.

    Args:
        graph: inferred, before passes.
        cache: bytes of blobs that stay in the last cache.
        minimum: images that a part must have, so that there is work for all threads.

    Returns:
        0 where the batch is better whole, or where images depend on each other.
    """
    batch = _batch(graph)
    largest = max((_at_once(graph, node) for node in graph.nodes), default=0)
    if batch == 1 or largest <= cache or not _image_by_image(graph):
        return 0
    weights = BYTES * sum(count(p.shape or ()) for p in graph.parameters.values() if not p.owner)
    blobs = sum(_written(graph, node) for node in graph.nodes)

    def moved(images: int) -> int:
        parts = batch // images
        stays = largest * images <= cache * batch
        return parts * (weights + _START) + (0 if stays else 2 * blobs)

    sizes = (m for m in range(batch, minimum - 1, -1) if batch % m == 0)
    best = min(sizes, key=moved, default=batch)
    return 0 if best == batch else best


def _batch(graph: Graph) -> int:
    """The size of the first axis that all inputs have; 1 where they differ."""
    sizes = {graph.shape(name)[:1] for name in graph.inputs}
    (first,) = sizes if len(sizes) == 1 else ((),)
    return first[0] if first else 1


def without_head(graph: Graph) -> tuple[Graph, Graph | None]:
    """A detection net cut in two: what makes of each image its own, and the layer that finds boxes.

    ``graph`` has its priors worked out. The second graph is None where there is nothing to cut: the
    whole net may be image by image, or more of it than finding boxes is not.
    """
    late = _mixed(graph)
    boxes = [node for node in late if has_role(node.op, Role.BOX_ROWS)]
    alone = all(has_role(node.op, Role.BOX_ROWS | Role.CONSTANT) for node in late)
    if not boxes or not alone or graph.updates or not graph.inputs:
        return graph, None
    return parted(graph, late)


def _image_by_image(graph: Graph) -> bool:
    """True if each output's rows are made of the same rows of the inputs, and of nothing else."""
    if graph.updates or not graph.inputs or _mixed(graph):
        return False
    return all(graph.shape(name) for name in graph.outputs)


def _mixed(graph: Graph) -> list[Node]:
    """The nodes that make something else than a row of each row of the inputs."""
    known = {name: ChosenRows("", 0) for name in graph.inputs}
    mixed = []
    for node in graph.nodes:
        inside = node.inputs and all(value in known for value in node.inputs)
        if inside and row_by_row(graph, node, known):
            known.update(dict.fromkeys(node.outputs, ChosenRows("", 0)))
        else:
            mixed.append(node)
    return mixed


def _at_once(graph: Graph, node: Node) -> int:
    """Bytes of blobs that a node reads and writes."""
    read = {name for name in node.inputs if graph.shape(name)}
    return BYTES * sum(count(graph.shape(name)) for name in read) + _written(graph, node)


def _written(graph: Graph, node: Node) -> int:
    if has_role(node.op, _IN_PLACE):
        return 0
    return BYTES * sum(count(graph.shape(name)) for name in node.outputs)
