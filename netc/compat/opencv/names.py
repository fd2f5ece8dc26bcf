"""What OpenCV calls the layers of a net read from Caffe's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from netc.frontend import Built
from netc.ops.catalog import has_role
from netc.ops.define import ErasedOp
from netc.ops.role import Role


def opencv_names(built: Built, layers: Mapping[str, ErasedOp]) -> tuple[str, ...]:
    """What OpenCV calls the layers (caffe_importer.cpp, populateNet).

    A Convolution by its top, others by the text's name; one that has been met before gets ``_1``,
    ``_2`` ... after it.
    """
    met: Counter[str] = Counter()
    found: list[str] = []
    nodes = iter(built.graph.nodes)
    for layer in built.layers:
        name, kind = layer.get("name"), layer.get("type")
        number, met[name] = met[name], met[name] + 1
        if not layers[kind].source:
            node = next(nodes)
            by_top = has_role(kind, Role.CONVOLUTION) and len(node.outputs) == 1
            numbered = f"{name}_{number}" if number else name
            found.append(built.graph.values[node.outputs[0]].blob if by_top else numbered)
    return tuple(found)
