"""Shapes for inputs whose text leaves them open, such that all layers agree.

A text to train says at most a batch and a crop; databases have the rest. What a data layer
documents is kept. Pictures get a size that nets of their kind have, the first for which no layer
is at fault; labels and other inputs the first shape that the layers reading them take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netc.analysis.candidate_shapes import BOXES, batches, candidates, channels
from netc.analysis.data_sets import data_set
from netc.analysis.embeddings import infer_meant
from netc.analysis.region_shapes import true_boxes_as_read
from netc.analysis.sequence_shapes import is_sequence, sequences
from netc.analysis.source_layers import source_params
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ops.forks.sequence import ContinuationIndicatorParams
from netc.ops.source_layer import PartialShape, SourceParams
from netc.schema.message import Message

IMAGES = 2  # where the text leaves the batch open
_TRIPLES = 6  # the batch where layers take pairs or thirds of one
# ImageNet; MNIST and its pairs; CIFAR; patches; CamVid; people; words; faces; larger ones.
_PICTURES: tuple[Shape, ...] = (
    (3, 224, 224), (3, 227, 227), (1, 28, 28), (2, 28, 28), (3, 32, 32), (1, 41, 41), (3, 64, 64),
    (3, 360, 480), (3, 144, 56), (3, 160, 64), (3, 32, 128), (1, 32, 128), (3, 112, 96),
    (3, 416, 416), (3, 512, 512), (1, 224, 224), (3, 152, 152), (3, 300, 300),
    (3, 448, 448), (3, 12, 12), (3, 16, 112, 112),
)  # fmt: skip
_PAIR = (6, 224, 224)
_FEATURES = 2048
_LABELS = 3  # tops of a layer beyond which its labels may be of several kinds
_VECTORS: tuple[Shape, ...] = ((16,), (2,), (1,), (4096,))  # where not even the axes are known


@dataclass(frozen=True, slots=True)
class _Source:
    """A data layer with inputs of unknown shape, by their values' names."""

    values: tuple[str, ...]
    params: SourceParams
    image: Shape | None
    sequence: bool = False


@dataclass(frozen=True, slots=True)
class _Trial:
    """Shapes that were tried, and what became of them."""

    shapes: Mapping[str, Shape]
    graph: Graph
    faults: int


def example_shapes(
    graph: Graph, layers: Sequence[Message], batch: int | None = None
) -> dict[str, Shape]:
    """Input blob -> shape, for every input of unknown shape.

    Where no shapes are found that all layers take, those at which the fewest are at fault.

    Args:
        graph: with the shapes that are known.
        layers: its layers as written, data layers included.
        batch: the batch, in place of the one that data layers say.

    Raises:
        NetcError: a field of a data layer is wrong.
    """
    sources = list(_sources(graph, layers))
    if not sources:
        return {}
    best = min_fault(_trials(graph, sources, batch))
    names = {name for source in sources for name in source.values}
    return {graph.values[v].blob: s for v, s in best.shapes.items() if v in names}


def min_fault(trials: Iterator[_Trial]) -> _Trial:
    """The first without a fault, or the one with the fewest."""
    best = next(trials)
    while best.faults:
        other = next(trials, None)
        if other is None:
            break
        best = other if other.faults < best.faults else best
    return best


def _sources(graph: Graph, layers: Sequence[Message]) -> Iterator[_Source]:
    for layer in layers:
        names = [graph.input_blobs.get(top) for top in layer.get("top")]
        values = tuple(name for name in names if name is not None)
        if not values or len(values) < len(names):
            continue
        if any(graph.values[name].shape is None for name in values):
            params = source_params(layer, graph.phase)
            if params is not None:
                known = data_set(layer)
                image = known.image if known else None
                yield _Source(values, params, image, is_sequence(graph, values))


def _trials(graph: Graph, sources: Sequence[_Source], batch: int | None) -> Iterator[_Trial]:
    others = (*batches(graph), _TRIPLES) if batch is None else ()
    for images in dict.fromkeys((batch, *others)):
        seen = set[tuple[tuple[str, Shape], ...]]()
        for number in dict.fromkeys((len(sources), 1, 0)):
            for picture in _pictures(graph, sources):
                shapes = _documented(graph, sources, number, picture, images)
                if tuple(shapes.items()) not in seen:
                    seen.add(tuple(shapes.items()))
                    yield _with_labels(graph, sources, shapes, images)
    if any(len(source.values) > _LABELS for source in sources):
        yield from _with_four_axes(graph, sources, batch)


def _with_four_axes(
    graph: Graph, sources: Sequence[_Source], batch: int | None
) -> Iterator[_Trial]:
    """Trials in which labels have four axes if they may, as R-FCN's data layer makes them.

    A loss takes labels of one axis too, and it may be a layer behind it that does not.
    """
    for picture in _pictures(graph, sources):
        shapes = _documented(graph, sources, len(sources), picture, batch)
        yield _with_labels(graph, sources, shapes, batch, axes=4)


def _pictures(graph: Graph, sources: Sequence[_Source]) -> Iterator[Shape]:
    yield from (source.image for source in sources if source.image is not None)
    yield from _PICTURES
    for source in sources:
        yield from ((number, 224, 224) for number in channels(graph, source.values[0]))
    yield _PAIR
    for node in graph.nodes:  # words are as wide as what reads them has steps
        if isinstance(node.params, ContinuationIndicatorParams):
            yield from ((channels, 30, node.params.steps) for channels in (1, 3))
    if any(source.params.shapes[:1] == (None,) for source in sources):
        yield from _VECTORS


def _documented(
    graph: Graph, sources: Sequence[_Source], number: int, picture: Shape, batch: int | None
) -> dict[str, Shape]:
    """Shapes of first tops, and of those that follow from them or from the layer's text.

    ``number`` of the layers give pictures.
    """
    found: dict[str, Shape] = {}
    for at, source in enumerate(sources):
        told = list(source.params.shapes)
        told += [None] * (len(source.values) - len(told))
        first = graph.values[source.values[0]].shape
        if first is None and at < number and not source.sequence:
            first = _filled(told[0], picture, batch or source.params.batch)
        if batch is not None and told[0] is not None and first:
            first = (batch, *first[1:])
        following = source.params.completed(
            [first, *(_for_batch(s, told[0], batch) for s in told[1:])]
        )
        for name, shape in zip(source.values, (first, *following[1:]), strict=False):
            whole = _rows(shape)
            if whole is not None:
                found[name] = true_boxes_as_read(graph, name, whole)
    return found


def _for_batch(
    shape: PartialShape | None, first: PartialShape | None, batch: int | None
) -> PartialShape | None:
    """What a layer tells of a label, for another batch than the one that the layer says."""
    if batch is None or not shape or not first or shape[0] != first[0]:
        return shape
    return (batch, *shape[1:])


def _filled(shape: PartialShape | None, picture: Shape, batch: int | None) -> Shape:
    """A first top's shape, its open sizes those of a picture."""
    sizes = (batch or IMAGES, *picture)
    if shape is None:
        return sizes
    first, *rest = shape
    if len(shape) != len(sizes):
        sizes = (*sizes, *sizes[-1:] * len(shape))
    made = (s if s is not None else sizes[min(i, len(sizes) - 1)] for i, s in enumerate(rest, 1))
    return (batch or first or IMAGES, *made)


def _rows(shape: PartialShape | None) -> Shape | None:
    """A shape, the number of whose rows may be open: a list of boxes or of regions.

    Rows of features, (images, regions, ?), are as wide as ResNet's.
    """
    if shape is not None and len(shape) > 2 and None not in shape[:-1]:
        shape = (*shape[:-1], shape[-1] or _FEATURES)
    if shape is None or None in shape[-1:] or shape[1:2] == (None,):
        return None
    return tuple(BOXES if size is None else size for size in shape)


def _with_labels(
    graph: Graph,
    sources: Sequence[_Source],
    shapes: dict[str, Shape],
    batch: int | None,
    axes: int | None = None,
) -> _Trial:
    """A trial in which every further open input has the first shape that its readers take.

    Shapes of so many ``axes`` are tried before others.
    """
    trial = _tried(graph, shapes)
    for source in sources:
        trial = _with_sequence(graph, source, trial)
        for name in source.values:
            if name in trial.shapes or trial.faults:
                continue
            images = trial.shapes.get(source.values[0], (batch or IMAGES,))[0]
            if not graph.readers.get(name):  # a run feeds it all the same
                trial = _tried(graph, {**trial.shapes, name: (images,)})
                continue
            options = candidates(trial.graph, name, images, trial.shapes.get(source.values[0]))
            if axes is not None:
                options.sort(key=lambda shape: len(shape) != axes)
            together = _read_together(trial, name)
            trial = min_fault(
                _tried(graph, {**trial.shapes, **dict.fromkeys(names, shape)})
                for names in dict.fromkeys((together, (name,)))
                for shape in options
            )
    return trial


def _with_sequence(graph: Graph, source: _Source, trial: _Trial) -> _Trial:
    """A trial with shapes for the tops of a layer of sequences; itself for other layers."""
    left = [name for name in source.values if name not in trial.shapes]
    if not source.sequence or not left:
        return trial
    found = sequences(trial.graph, left, source.params.batch)
    return min_fault(_tried(graph, {**trial.shapes, **shapes}) for shapes in found)


def _read_together(trial: _Trial, name: str) -> tuple[str, ...]:
    """An open input, and others that a layer reads beside it: targets and their weights.

    No rule is asked before all of a layer's bottoms have shapes. All of a loss's open bottoms are
    mostly of one shape; a loss reads one other, the prediction.
    """
    values = trial.graph.values
    found = [name]
    for node in trial.graph.readers[name]:
        still = [v for v in node.inputs if values[v].shape is None and v in trial.graph.inputs]
        if len(node.inputs) - len(still) <= 1:
            found += still
    return tuple(dict.fromkeys(found))


def _tried(graph: Graph, shapes: Mapping[str, Shape]) -> _Trial:
    result = infer_meant(graph, shapes)
    faults = sum(d.severity == "error" for d in result.diagnostics)
    return _Trial(shapes, result.graph, faults)
