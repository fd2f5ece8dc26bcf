"""What a run tells besides its outputs: how many rows were chosen, and what is not there.

One int64 for each node that has something to tell, in an array of the caller's behind those of the
inputs, the outputs and the updates. A layer that chooses tells its number of rows. A pooling over
regions tells 0, or -1 less the bits of the number of an image that the batch does not have; an
embedding the same of an index that its table does not have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from netc.backends import reference
from netc.backends.shared.views import External
from netc.diagnostics import NetcError
from netc.ir.graph import Array, Graph, Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.detection.region_bins import not_in_batch
from netc.ops.linear import EmbedParams, no_index
from netc.ops.role import Role
from netc.plan.rows import ChosenRows

_FLOATS = 2  # of an int64


def status_nodes(graph: Graph) -> tuple[Node, ...]:
    """The nodes that tell something, in the order of their numbers."""
    return tuple(n for n in graph.nodes if CATALOG[n.op].dynamic or reports_faults(n))


def reports_faults(node: Node) -> bool:
    """True of a node that tells a number below 0 where an input of it is wrong."""
    return has_role(node.op, Role.REGION_POOLING | Role.EMBEDDING)


def status_index(graph: Graph) -> int:
    """The number of the caller's array that they tell it in."""
    return len(graph.inputs) + len(graph.outputs) + len(graph.updates)


def status_places(graph: Graph) -> Mapping[str, External]:
    """Where each node tells."""
    index = status_index(graph)
    return {node.name: External(index, _FLOATS * k) for k, node in enumerate(status_nodes(graph))}


def new_status(telling: Sequence[Node]) -> NDArray[np.float32]:
    """The array, as the float32 that arrays of callers are."""
    return np.zeros(max(1, len(telling)), np.int64).view(np.float32)


def check_numbers(graph: Graph, telling: Sequence[Node], status: NDArray[np.float32]) -> None:
    """Raise what is wrong with the numbers of images and of rows that nodes were given.

    Raises:
        NetcError: region-out-of-range, index-out-of-range.
    """
    numbers = status.view(np.int64)
    for number, node in zip(numbers.tolist(), telling, strict=False):
        if number < 0:
            (given,) = struct.unpack("<f", struct.pack("<I", -1 - number))
            raise reference.at_layer(_fault(graph, node, given), node)


def _fault(graph: Graph, node: Node, given: float) -> NetcError:
    if has_role(node.op, Role.EMBEDDING):
        return no_index(given, node.params_as(EmbedParams).input_dim)
    return not_in_batch(given, graph.shape(node.inputs[0])[0])


def of_exact_size(
    results: Mapping[str, Array],
    rows: Mapping[str, ChosenRows],
    telling: Sequence[Node],
    status: NDArray[np.float32],
) -> dict[str, Array]:
    """The outputs with as many rows as were chosen: views of the whole."""
    names = [node.name for node in telling]
    numbers = dict(zip(names, status.view(np.int64).tolist(), strict=False))

    def exact() -> Iterator[tuple[str, Array]]:
        for name, array in results.items():
            own = rows.get(name)
            if own is None:
                yield name, array
            else:
                yield name, array[(slice(None),) * own.axis + (slice(numbers[own.maker]),)]

    return dict(exact())
