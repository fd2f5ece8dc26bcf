"""Sums over pixels: gradients of biases and factors, and BatchNorm by its batch's statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from netc.backends.cuda.chain import as_floats
from netc.backends.cuda.emission import SUMMING, THREADS, CudaEmitContext, blocks, side
from netc.backends.cuda.emit.elementwise import emit_chain
from netc.backends.cuda.emit.moves import copy_kernel
from netc.backends.cuda.program import Argument, Int64, Launch, SplitKCounters, Steps
from netc.backends.shared.derived import Weights
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import View, Workspace, dense
from netc.ir.graph import Node
from netc.ops.axes import axis_in
from netc.ops.batch_norm import BatchNormParams, uses_batch_statistics
from netc.ops.gradient import GradientParams
from netc.ops.rectifiers import PReLUParams
from netc.ops.scale_bias import OperandParams
from netc.ops.update import RunningParams

_LANES = 32  # channels of a block
_MIN_PIXELS = 64  # pixels of a block, where there are as many
_FLOAT = 4  # bytes
_STATISTICS = 3  # BatchNorm's arrays before a scale and a bias of its own
PLAIN, PRODUCT, NEGATIVE, NORMALIZED = range(4)


@dataclass(frozen=True, slots=True)
class Floats:
    """Runs of float32 numbers in a node's workspace, one after another."""

    emission: CudaEmitContext

    def view(self, first: int, number: int) -> View:
        """Numbers from ``first`` on."""
        each = _FLOAT // self.emission.precision.item
        return dense(Workspace(first * each), 1, 1, 1, number * each)


def shares(sets: int, pixels: int) -> tuple[int, int]:
    """How many blocks share the pixels of each of so many sums, and pixels of each.

    As many as keep a device busy, unless a block then had next to nothing to do.
    """
    wanted = max(1, 8 * SUMMING // max(1, sets))
    number = max(1, min(wanted, pixels // _MIN_PIXELS, 256))
    each = math.ceil(pixels / number)
    return math.ceil(pixels / max(1, each)), each


def sum_launch(
    emission: CudaEmitContext,
    name: str,
    term: int,
    read: Sequence[View],
    outputs: Sequence[View],
    statistics: Sequence[View] = (),
    eps: float = 0.0,
    factor: float = 1.0,
    taken: int = 0,
) -> Launch:
    """Sums over pixels, for each channel.

    Args:
        emission: the graph's.
        name: the node's.
        term: what is summed: see channel_sums.cuh.
        read: x, and y where the term has one.
        outputs: vectors of channels, one or two; those in the workspace have float32 numbers.
        statistics: mean and variance of each channel of y.
        eps: added to the variance.
        factor: of the sums.
        taken: floats of the workspace that are not its own.
    """
    x, y = read[0], read[-1]
    sets = math.ceil(x.c / _LANES)
    number, share = shares(sets, x.pixels)
    sums = 2 if term == NORMALIZED else 1
    partial_floats = sums * number * x.c
    partial = Floats(emission).view(taken, partial_floats)
    places = [view.place for view in statistics] or [Workspace(), Workspace()]
    arguments: tuple[Argument, ...] = (
        *(x.place, y.place, *places, outputs[0].place, outputs[-1].place),
        *(partial.place, SplitKCounters(), x.ld, y.ld, x.c, x.pixels, share, eps, factor),
    )
    # What another kernel of the node reads lies in the workspace, as float32.
    inside = isinstance(outputs[0].place, Workspace)
    kind = ("result_t", "float" if inside else emission.precision.text)
    kernel = emission.kernel("channel_sums", {"TERM": term})
    kernel = replace(kernel, types=(*kernel.types, kind))
    memory = _FLOAT * (taken + partial_floats)
    reads, writes = (*read, *statistics), (*outputs, partial)
    grid = (sets, number, 1)
    return Launch(name, kernel, grid, THREADS, arguments, reads, writes, memory, sets)


def channel_sums(
    emission: CudaEmitContext, node: Node, term: int, read: Sequence[View]
) -> Steps | None:
    """A gradient that is one sum over pixels for each channel."""
    out = emission.view(node.outputs[0])
    if out.count != read[0].c or (out.pixels > 1 and out.ld != out.c):
        return None
    if out.count == 0:
        return []
    return [sum_launch(emission, node.name, term, read, [out])]


def moments_launch(
    emission: CudaEmitContext, name: str, x: View, mean: View, variance: View, taken: int
) -> Launch:
    """Mean and variance of each channel over the pixels; ``taken`` floats of workspace are used."""
    sets = math.ceil(x.c / _LANES)
    number, share = shares(sets, x.pixels)
    partial = Floats(emission).view(taken, 3 * number * x.c)
    arguments = (
        *(x.place, mean.place, variance.place, partial.place, SplitKCounters()),
        *(x.ld, x.c, x.pixels, share),
    )
    memory = _FLOAT * (taken + 3 * number * x.c)
    writes, grid = (mean, variance, partial), (sets, number, 1)
    kernel = emission.kernel("moments", {})
    return Launch(name, kernel, grid, THREADS, arguments, (x,), writes, memory, sets)


def in_order(steps: Sequence[Launch]) -> Steps:
    """Launches of one node, each with the memory that any of them takes."""
    memory = max(launch.workspace for launch in steps)
    return [replace(launch, workspace=memory) for launch in steps]


def emit_batch_norm(emission: CudaEmitContext, node: Node) -> Steps | None:
    """BatchNorm: by its batch's own statistics, or as a chain."""
    if not uses_batch_statistics(node.params):  # the first stage of a chain neither
        return emit_chain(emission, node)
    params = node.params_as(BatchNormParams)
    shape = emission.graph.shape(node.inputs[0])
    if not has_channels(shape):
        return None
    x, y = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    if x.count == 0:
        return []
    floats = Floats(emission)
    mean, variance = floats.view(0, x.c), floats.view(x.c, x.c)
    own = [as_floats(emission.array(name)) for name in node.parameters[_STATISTICS:]]
    first = moments_launch(emission, node.name, x, mean, variance, 2 * x.c)
    last = _normalized(emission, node.name, x, None, y, (mean, variance), params.eps, own)
    return in_order([first, last])


def _normalized(
    emission: CudaEmitContext,
    name: str,
    x: View,
    top: View | None,
    y: View,
    vectors: Sequence[View],
    eps: float,
    own: Sequence[Weights],
) -> Launch:
    """The last kernel of BatchNorm, or with ``top`` of its gradient.

    ``vectors`` are mean and variance, for the gradient also the means of the top's gradient and of
    it times the normalised input.
    """
    read = (x, *([top] if top else []))
    each = side(emission, y.count, (*read, y))
    places: list[Argument] = [view.place for view in vectors]
    places += [Workspace()] * (4 - len(places))
    owned: list[Argument] = [*own[:1], *([] if top else own[1:2])]
    owned += [Workspace()] * (2 - len(owned))
    g = top or x
    arguments = (
        *(x.place, g.place, y.place, *places, *owned, x.ld, g.ld, y.ld),
        *(y.c, float(eps), y.count // each),
    )
    kernel = emission.kernel("normalize", {"VEC": each, "BACK": top is not None, "OWN": bool(own)})
    grid = blocks(y.count // each)
    return Launch(name, kernel, grid, THREADS, arguments, (*read, *vectors), (y,))


def emit_batch_norm_back(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of the bottom of a BatchNorm by its batch's own statistics."""
    params = node.params_as(GradientParams)
    layer = params.params_as(BatchNormParams)
    if layer.use_global_stats or not has_channels(params.shapes[0]) or params.inputs != (0,):
        return None
    x, top = (emission.view(value) for value in node.inputs)
    y = emission.view(node.outputs[0])
    if y.count == 0:
        return []
    vectors = [Floats(emission).view(i * x.c, x.c) for i in range(4)]
    own = [as_floats(emission.array(name)) for name in node.parameters]
    taken, mean = 4 * x.c, 1.0 / max(1, x.pixels)
    launches = [
        moments_launch(emission, node.name, x, vectors[0], vectors[1], taken),
        sum_launch(
            *(emission, node.name, NORMALIZED, (top, x), vectors[2:], vectors[:2]),
            *(layer.eps, mean, taken),
        ),
        _normalized(emission, node.name, x, top, y, vectors, layer.eps, own),
    ]
    return in_order(launches)


def emit_batch_norm_own(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradients of a BatchNorm's own scale and bias."""
    params = node.params_as(GradientParams)
    layer = params.params_as(BatchNormParams)
    top = emission.view(node.inputs[-1])
    if not has_channels(params.shapes[0]):
        return None
    if params.index > _STATISTICS:
        return channel_sums(emission, node, PLAIN, (top,))
    if layer.use_global_stats:
        return None
    x, out = emission.view(node.inputs[0]), emission.view(node.outputs[0])
    if x.count == 0 or isinstance(out.place, Workspace):
        return None
    floats = Floats(emission)
    mean, variance, sums, products = (floats.view(i * x.c, x.c) for i in range(4))
    launches = [
        moments_launch(emission, node.name, x, mean, variance, 4 * x.c),
        sum_launch(
            *(emission, node.name, NORMALIZED, (top, x), (sums, products), (mean, variance)),
            *(layer.eps, 1.0, 4 * x.c),
        ),
        _stored(emission, node.name, products, out),
    ]
    return in_order(launches)


def _stored(emission: CudaEmitContext, name: str, numbers: View, out: View) -> Launch:
    """Float32 numbers of the workspace as a value."""
    count, one = numbers.count, Int64(1)
    sizes, none = (count, 1, 1, count), (Int64(0),) * 3
    arguments = (numbers.place, out.place, *sizes, *none, one, *none, one)
    kernel = copy_kernel("float", emission.precision.text)
    return Launch(name, kernel, blocks(count), THREADS, arguments, (numbers,), (out,))


def emit_operand(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of the factor of Scale, or the term of Bias, of each channel."""
    params = node.params_as(GradientParams)
    layer = params.params_as(OperandParams)
    shape = params.shapes[0]
    if len(params.shapes) != 1 or not has_channels(shape):
        return None
    if axis_in(shape, layer.axis, "") != 1 or emission.graph.shape(node.outputs[0]) != shape[1:2]:
        return None
    *read, top = (emission.view(value) for value in node.inputs)
    return channel_sums(emission, node, PRODUCT if read else PLAIN, (top, *read))


def emit_slopes_of_prelu(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The gradient of PReLU's slopes, one for each channel."""
    params = node.params_as(GradientParams)
    if params.params_as(PReLUParams).channel_shared or not has_channels(params.shapes[0]):
        return None
    x, top = (emission.view(value) for value in node.inputs)
    return channel_sums(emission, node, NEGATIVE, (top, x))


def emit_running(emission: CudaEmitContext, node: Node) -> Steps | None:
    """The averages that BatchNorm keeps (batch_norm_layer.cpp)."""
    params = node.params_as(RunningParams)
    layer, shape = params.params, emission.graph.shape(node.inputs[0])
    if not isinstance(layer, BatchNormParams) or layer.use_global_stats or not has_channels(shape):
        return None
    x, new = emission.view(node.inputs[0]), [emission.view(value) for value in node.outputs]
    if x.count == 0:
        return None
    old = [as_floats(emission.array(name)) for name in node.parameters]
    mean, variance = (Floats(emission).view(i * x.c, x.c) for i in range(2))
    keep = np.float32(layer.moving_average_fraction)
    if layer.fillers:
        numbers = (float(1 - keep), 1.0, float(np.float32(layer.eps)))
    else:
        numbers = (1.0, x.pixels / (x.pixels - 1) if x.pixels > 1 else 1.0, 0.0)
    arguments = (
        *(mean.place, variance.place, *old[:2], new[0].place, new[1].place),
        *(float(keep), *numbers, x.c),
    )
    kernel = emission.kernel("running", {})
    made = [
        moments_launch(emission, node.name, x, mean, variance, 2 * x.c),
        Launch(
            node.name, kernel, blocks(x.c), THREADS, arguments, (mean, variance), tuple(new[:2])
        ),
    ]
    scale, term = (1.0, 0.0) if layer.fillers else (float(keep), 1.0)
    others = zip(old[2:], new[2:], strict=True)
    made += [_affine(emission, node.name, array, view, scale, term) for array, view in others]
    return in_order(made)


def _affine(
    emission: CudaEmitContext, name: str, array: Weights, out: View, scale: float, term: float
) -> Launch:
    """A trained array times a number plus another."""
    kernel = emission.kernel("affine", {})
    arguments = (array, out.place, scale, term, out.count)
    return Launch(name, kernel, blocks(out.count), THREADS, arguments, (), (out,))
