"""Products that float32 does faster than fewer bits would."""

from __future__ import annotations

from netc.backends.cpu.machine import Machine
from netc.backends.cpu.steps.costs import ConvShape, is_faster_in_float32
from netc.backends.shared.geometry import pixel_window
from netc.ir.graph import Graph, Node
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.reduced import Number
from netc.passes.epilogue import stages_of

BY_WINOGRAD = "float32 is faster, by Winograd's algorithm"


def why_float32(graph: Graph, node: Node, number: Number, target: Machine) -> str | None:
    """Why a product had better stay in float32 on a machine; None where fewer bits are faster.

    Args:
        graph: with shapes.
        node: a product that can be computed in ``number``, alone or with an epilogue.
        number: the format with fewer bits.
        target: the machine, whose vectors and units count.
    """
    params, shape = stages_of(node)[0].params, graph.shape(node.inputs[0])
    if not isinstance(params, ConvolutionParams) or len(shape) != 4:
        return None
    geometry = pixel_window(params.window.axes(shape[2:]), params.group)
    _, _, height, width = graph.shape(node.outputs[0])
    sizes = ConvShape(shape[0], shape[1], (params.num_output,), height, width, geometry)
    return BY_WINOGRAD if is_faster_in_float32(sizes, number, target) else None
