"""Inner products as convolutions, so that a classifier slides over larger images; and back.

Before, on 3 x 224 x 224::

    pool5 = Pooling(...)  512 x 7 x 7;  fc6 = InnerProduct(pool5; 4096 x 25088)

After, on any size from that up::

    pool5 = Pooling(...);  fc6 = Convolution(pool5; 4096 x 512 x 7 x 7)

(Long, Shelhamer, Darrell, Fully convolutional networks, 2015; Caffe's net surgery example.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from netc.analysis.receptive import receptive_fields
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph
from netc.ir.types import Shape, show
from netc.lower.rules import NetState
from netc.migrate.change import Change
from netc.schema.message import Message
from netc.surgery.build import with_input_shapes
from netc.surgery.forms import ToConvolutions, ToInnerProducts
from netc.surgery.loading import TEST, loaded
from netc.surgery.proof import ROUNDING, Error, proven
from netc.weights.model import Weights


class ScoreWindow(NamedTuple):
    """The window of the image that one score of an output depends on, in pixels, height first.

    ``scores`` are the output's sizes along these axes; ``padding`` is how far the first window
    begins before the image.
    """

    output: str
    scores: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


class Convolutional(NamedTuple):
    """A net whose inner products are convolutions, or the other way round.

    Attributes:
        message: the net.
        weights: its arrays.
        changes: each layer that changed its type.
        windows: the window of each output.
        errors: of all blobs, compared with the old net on an image of the old size.
        graph: the net with shapes for the new input size.
        trained: the first input's shape in training.
    """

    message: Message
    weights: Weights
    changes: tuple[Change, ...]
    windows: tuple[ScoreWindow, ...]
    errors: tuple[Error, ...]
    graph: Graph
    trained: Shape


def convolutionize(
    net: Message,
    weights: Weights,
    *,
    state: NetState = TEST,
    sizes: Mapping[str, Shape] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    suffix: str = "",
    reverse: bool = False,
    tolerance: float = ROUNDING,
) -> Convolutional:
    """Replace every inner product over (channels, height, width) by a convolution, and compare.

    Args:
        net: a NetParameter in the current format, with the input size of training.
        weights: its trained arrays.
        state: the NetState, which selects the layers.
        sizes: input blob -> shape for the new net.
        inputs: input blob -> shape in training, where the text does not give it.
        suffix: appended to the names of changed layers; Caffe's own example uses "-conv".
        reverse: whether to replace convolutions that cover their whole input by inner products.
        tolerance: the largest error allowed, relative to a blob's largest element.

    Raises:
        NetcError: nothing-to-convert; not-equal; what inferring the new net raises.
    """
    before = loaded(net, weights, state, inputs)
    surgeon = ToInnerProducts(before, suffix) if reverse else ToConvolutions(before, suffix)
    message, made = surgeon.operated()
    if not surgeon.changes:
        what = "Convolution covers its whole input" if reverse else "InnerProduct reads an image"
        raise NetcError(Diagnostic("nothing-to-convert", f"no {what}", net.span))
    try:
        after = loaded(message, made, TEST._replace(phase=state.phase), inputs)
    except NetcError as error:
        first = error.diagnostics[0]
        reason = f"a layer cannot take maps in the place of vectors: {first.message}"
        raise NetcError(replace(first, code="not-convolutional", message=reason)) from None
    errors = proven(
        before.graph, after.graph, pairs=surgeon.pairs(after.graph), tolerance=tolerance
    )
    if sizes:
        message = with_input_shapes(message, sizes)
        after = loaded(message, made, TEST._replace(phase=state.phase), {**(inputs or {}), **sizes})
    windows = tuple(_windows(after.graph))
    trained = before.graph.shape(before.graph.inputs[0])
    changes = tuple(surgeon.changes)
    return Convolutional(message, made, changes, windows, errors, after.graph, trained)


def _windows(graph: Graph) -> Iterator[ScoreWindow]:
    """What the scores of each output with height and width see of the first input."""
    if not graph.inputs or len(graph.shape(graph.inputs[0])) != 4:
        return
    fields = receptive_fields(graph)
    for name in graph.outputs:
        shape = graph.shape(name)
        if len(shape) == 4 and name in fields:
            field = fields[name]
            stride = tuple(int(s) for s in field.stride)
            yield ScoreWindow(name, shape[2:], field.size, stride, field.padding)


def window_told(window: ScoreWindow) -> str:
    """A window in words."""
    padding = max(window.padding)
    edge = f"; windows reach {padding} pixels over the edges" if padding > 0 else ""
    return (
        f"`{window.output}` is {show(window.scores)}: one score every {show(window.stride)} "
        f"pixels, each of {show(window.size)}{edge}"
    )
