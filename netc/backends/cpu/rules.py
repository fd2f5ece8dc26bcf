"""What the CPU backend can do without copying: see netc.plan.storage."""

from __future__ import annotations

from itertools import takewhile

from netc.backends.cpu.emit.epilogues import is_sum
from netc.backends.shared.aliases import concat_offsets, moves_nothing, view_offsets
from netc.backends.shared.layout import has_channels, is_in_c_order, pixel_shape
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.convolution import convolution_axes
from netc.ops.fork_normalization import BatchwiseBNParams, RunningBNParams
from netc.ops.fused import NAME as FUSED
from netc.ops.fused import Bound, bind_stages
from netc.ops.normalization import BatchNormParams, MVNParams
from netc.ops.numbers import all_finite
from netc.ops.pooling import pooling_axes, pyramid
from netc.passes.epilogue import ACTIVATIONS, EPILOGUES, PRODUCTS, chain_of
from netc.passes.tile_bottlenecks import cut, may_run_whole, window_of
from netc.plan.storage import BYTES, Rules


def in_place(graph: Graph, node: Node) -> tuple[str, ...]:
    """Inputs whose elements are read before the step that reads them writes in their place."""
    if node.op in EPILOGUES or _reads_first(node):
        return tuple(v for v in node.inputs if _same_shape(graph, node, v))
    if node.op != FUSED:
        return ()
    first, *rest = bind_stages(node.params, node.inputs)
    inputs = [] if first.stage.op in PRODUCTS else first.inputs
    later = rest[:1] if first.stage.op in PRODUCTS else rest
    for bound in takewhile(lambda bound: _joins(first, bound), later):
        inputs = [*bound.inputs, *inputs]
    return tuple(v for v in inputs if _same_shape(graph, node, v))


def _reads_first(node: Node) -> bool:
    return node.op in ("Softmax", "Normalize", "MVN") or (node.op == "LRN" and node.params.across)


def _joins(first: Bound, bound: Bound) -> bool:
    """Whether a stage is certain to run in the step of the first one; later ones overwrite."""
    stage = bound.stage
    if not (all_finite(stage.params) and all_finite(first.stage.params)):
        return False  # a definition, a step of its own
    if first.stage.op in PRODUCTS:
        return first.stage.op != "InnerProduct" and is_sum(bound)
    return stage.op in _ALWAYS or (stage.op == "Eltwise" and stage.params.operation != "MAX")


_ALWAYS = ACTIVATIONS - {"PReLU"}


def _same_shape(graph: Graph, node: Node, value: str) -> bool:
    produced = value in graph.producers
    return produced and graph.shape(value) == graph.shape(node.outputs[0])


def scratch(graph: Graph, node: Node) -> int:
    """Bytes for an image with its padding and for the value between two windows of a chain, for a
    value in Caffe's order on its way to a product or to another shape, or for statistics or
    regions' bins.
    """
    image, middle = padded_image(graph, node), value_between(graph, node)
    if image is not None or middle is not None:
        return BYTES * (count(image or (0,)) + count(middle or (0,)))
    if (floats := special_scratch(graph, node)) is not None:
        return BYTES * floats
    if needs_planes(graph, node) or (node.op in ("Reshape", "Flatten") and _turns(graph, node)):
        return BYTES * count(graph.shape(node.inputs[0]))
    return 0


def special_scratch(graph: Graph, node: Node) -> int | None:
    """Floats for means and deviations of channels, for the bins of regions, for the finest level
    of a pyramid, or for what data adds to recurrent units; None elsewhere.
    """
    shape = graph.shape(node.inputs[0]) if node.inputs else ()
    if takes_moments(graph, node):
        n, _, _, channels = pixel_shape(shape)
        return 2 * n * channels
    if node.op in ("LSTM", "RNN") and is_in_c_order(shape):
        return count(shape[:2]) * int(node.params.gates * node.params.num_output)
    if node.op == "SPP":
        n, channels = shape[:2]
        bins = [axis.out for axis in pooling_axes(pyramid(node.params, shape)[-1], shape)]
        return n * channels * bins[0] * bins[1]
    if node.op in ("ROIPooling", "PSROIPooling"):
        regions, _, high, wide = graph.shape(node.outputs[0])
        return regions * (1 + 2 * high + 2 * wide)
    return None


def takes_moments(graph: Graph, node: Node) -> bool:
    """Whether a node normalises channels by their own mean and deviation."""
    shape, params = graph.shape(node.inputs[0]) if node.inputs else (), node.params
    if not has_channels(shape) or len(node.outputs) != 1:
        return False
    if isinstance(params, MVNParams):
        return not params.across_channels
    if isinstance(params, BatchNormParams):
        return not params.use_global_stats
    if isinstance(params, BatchwiseBNParams):
        return not params.inference
    return isinstance(params, RunningBNParams) and not params.stored


def padded_image(graph: Graph, node: Node) -> tuple[int, int, int, int] | None:
    """Images, height, width and channels of an input as a convolution wants it; None elsewhere.

    An input of few channels that one convolution alone reads is brought from the caller's order to
    pixels with the padding around them, so that a row of the kernel reads one run of memory.
    """
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters), None)
    if first is None or first.stage.op != "Convolution" or len(first.inputs) != 1:
        return None
    value, params = first.inputs[0], first.stage.params
    shape = graph.shape(value)
    alone = value in graph.inputs and value not in graph.outputs
    if not alone or len(graph.readers[value]) != 1 or is_in_c_order(shape):
        return None
    if shape[1] > _FEW_CHANNELS or params.group != 1 or params.axis not in (1, -3):
        return None
    if any(axis.kernel == 1 or axis.dilation > 1 for axis in convolution_axes(params, shape)):
        return None
    high, wide = (
        axis.pad + max(axis.size, (axis.out - 1) * axis.stride + axis.kernel - axis.pad)
        for axis in convolution_axes(params, shape)
    )
    if high * wide > _MOST_PADDING * (shape[2] * shape[3] + _FEW_PIXELS):
        return None
    return shape[0], high, wide, shape[1]


_MOST_PADDING = 4  # times the image's own pixels, and some
_FEW_PIXELS = 1 << 10
_FEW_CHANNELS = 4


def value_between(graph: Graph, node: Node) -> tuple[int, int, int, int] | None:
    """Images, height, width and channels of what is kept of the value between a chain's windows.

    See netc.passes.tile_bottlenecks. It is all of it where both may run one after the other, else
    the rows of a band. None where a chain has no second window.
    """
    stages = chain_of(node).stages
    at = second_window(node)
    if at is None:
        return None
    shape = shape_between(graph, node)
    window = window_of(stages[at], shape)
    if window is None or may_run_whole(stages[at], window):
        return shape[0], shape[2], shape[3], shape[1]
    height = cut(shape, graph.shape(node.outputs[0]), 0, window).height
    return 1, height, shape[3], shape[1]


def shape_between(graph: Graph, node: Node) -> Shape:
    """The shape of what a chain's first convolution makes."""
    params, given = chain_of(node).stages[0].params, graph.shape(node.inputs[0])
    pixels = (axis.out for axis in convolution_axes(params, given))
    return (given[0], params.num_output, *pixels)


def second_window(node: Node) -> int | None:
    """Which stage of a convolution's chain is a window of its own; None where there is none."""
    stages = chain_of(node).stages
    if stages[0].op != "Convolution":
        return None
    return next((i for i, s in enumerate(stages) if i and s.op in ("Convolution", "Pooling")), None)


def needs_planes(graph: Graph, node: Node) -> bool:
    """Whether an inner product's input is brought to the order of its weights.

    Small weights are brought to the order of the input instead, once.
    """
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters))
    if first.stage.op != "InnerProduct" or is_in_c_order(graph.shape(first.inputs[0])):
        return False
    weights = graph.parameters[first.parameters[0]].shape or ()
    return first.stage.params.axis not in (1, -3) or count(weights) > _FEW_WEIGHTS


_FEW_WEIGHTS = 1 << 20


def _turns(graph: Graph, node: Node) -> bool:
    """Whether a reshape changes the channels of pixels, on both sides of it."""
    shapes = (graph.shape(node.inputs[0]), graph.shape(node.outputs[0]))
    return not moves_nothing(graph, node) and not any(map(is_in_c_order, shapes))


RULES = Rules(concat_offsets, view_offsets, in_place, scratch)
