"""``netc.check_gradient``: the gradients of a net, or of a layer, against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc import arguments
from netc.backends.base import Progress
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, NetcWarning, Source
from netc.driver import Weights
from netc.frontend import Schemas, Text, build, folder_of, read_net, runnable
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape, count, show
from netc.lower.files import with_files, with_filler_files
from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.ops.catalog import LAYERS
from netc.schema.message import Message
from netc.syntax.quote import quote
from netc.train.double import DoubleRun
from netc.train.generator import KEY, with_generator
from netc.train.gradcheck import GradientCheck, check_graph
from netc.train.samples import sample, varied
from netc.weights.match import assign

_SAMPLED = 24  # bytes of an element while it is drawn, scaled and held
_SHAPE: Shape = (2, 3, 5, 4)  # of a bottom that nothing tells


def check_gradient(
    net: CompiledNet | Text,
    weights: Weights = None,
    *,
    phase: str = "TRAIN",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Sequence[int]] | None = None,
    feeds: Mapping[str, object] | None = None,
    seeds: Mapping[str, object] | None = None,
    define: Mapping[str, str] | None = None,
    schema: Schemas = None,
    elements: int = 24,
    tolerance: float = 1e-4,
    seed: int = 0,
    progress: Progress | None = None,
) -> GradientCheck:
    """Compare analytic gradients with finite differences, in float64 on the reference definitions.

    Args:
        net: a compiled net; or a prototxt's path, a :class:`netc.Source`, or text. The text may
            have layers only: a bottom that none of them produces becomes an input.
        weights: as for :func:`netc.compile`. Arrays not given come from fillers, and are small
            random numbers where the filler gives zeros.
        phase: "TRAIN" or "TEST"; a compiled net keeps its own.
        level: the NetState's level.
        stages: the NetState's stages.
        inputs: input blob -> shape; 2x3x5x4 by default for a text of layers only.
        feeds: input blob -> array; by default random numbers, or valid labels, indices and
            indicators where the layer that reads the input requires those.
        seeds: blob -> gradient arriving there; random by default at outputs that are no losses.
        define: placeholder -> value in the text.
        schema: paths of further caffe.proto files.
        elements: the largest number of elements compared in each array.
        tolerance: the largest error, relative to the larger of the two numbers.
        seed: of all random numbers.
        progress: called as (done, total, name) for each array.

    Returns:
        A :class:`GradientCheck`, true where all gradients agree; ``rows`` has one entry for each
        blob and parameter.

    Raises:
        NetcError: what :func:`netc.compile` raises; no-gradient, where a gradient would pass
            through a layer that has none.
    """
    how = _How(elements, tolerance, seed, progress)
    if isinstance(net, CompiledNet):
        return _checked(net.graph, feeds or {}, seeds or {}, how)
    shapes = arguments.shapes(inputs)
    text, lone = _source(net, shapes)
    message = read_net(text, define=define, schema=schema).message
    shapes = {} if lone else shapes  # else they stand in the text
    state = {"phase": phase, "level": level, "stages": stages, "inputs": shapes}
    graph = _graph(message, weights, state, seed, folder_of(text))
    return _checked(graph, feeds or {}, seeds or {}, how)


def check_message(
    message: Message,
    weights: Weights,
    *,
    elements: int,
    tolerance: float,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
    **state: object,
) -> GradientCheck:
    """:func:`check_gradient` of a bound NetParameter; ``state``: as :func:`netc.frontend.build`."""
    how = _How(elements, tolerance, seed, progress)
    return _checked(_graph(message, weights, state, seed, folder), {}, {}, how)


class _How(NamedTuple):
    elements: int
    tolerance: float
    seed: int
    progress: Progress | None


def _checked(
    graph: Graph, feeds: Mapping[str, object], seeds: Mapping[str, object], how: _How
) -> GradientCheck:
    """The comparison of a graph whose parameters have arrays."""
    rng = np.random.default_rng(how.seed)
    graph = with_generator(graph)
    for name in graph.inputs:
        value = graph.values[name]
        what = f"input `{value.blob}` in float32 and float64"
        check_memory(_SAMPLED * count(graph.shape(name)), what, value.span)
    given = {_input(graph, name): array for name, array in feeds.items()}
    fed = {name: _fed(graph, name, given.get(name), rng) for name in graph.inputs}
    if not feeds and not _finite(graph, fed):  # a logarithm, say
        fed = {name: _positive(graph, name, array) for name, array in fed.items()}
    return check_graph(graph, fed, _seeds(graph, fed, seeds, rng), **how._asdict())


def _graph(
    message: Message, weights: Weights, state: Mapping[str, Any], seed: int, folder: Path | None
) -> Graph:
    """The net's graph with arrays of its parameters."""
    built = with_files(runnable(build(message, **state)), folder, outside=False)
    built = with_filler_files(built, folder, outside=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)  # what is filled with zeros is varied below
        graph, _ = assign(built, weights, missing="fill", seed=seed)
    return varied(graph, np.random.default_rng(seed)) if weights is None else graph


def _source(net: Text, shapes: Mapping[str, Shape]) -> tuple[Text, bool]:
    """The text to read; of layers alone, which it tells, with inputs for what they lack."""
    if not (isinstance(net, str) and "{" in net):
        return net, False
    text = Source("layer.prototxt", net)
    layers = read_net(text).message.get("layer")
    if any(LAYERS[kind].source for layer in layers if (kind := layer.get("type")) in LAYERS):
        return text, False
    made: set[str] = set()
    lacking: dict[str, None] = {}
    for layer in layers:
        lacking.update(dict.fromkeys(b for b in layer.get("bottom") if b not in made))
        made.update(layer.get("top"))
    heads = "".join(_input_layer(blob, shapes.get(blob, _SHAPE)) for blob in lacking)
    return Source("layer.prototxt", heads + net), True


def _input_layer(blob: str, shape: Shape) -> str:
    dims = " ".join(f"dim: {size}" for size in shape)
    name = quote(blob.encode("utf-8", "surrogateescape"))
    return (
        f'layer {{ name: {name} type: "Input" top: {name} input_param {{ shape {{ {dims} }} }} }} '
    )


def _input(graph: Graph, name: str) -> str:
    if name in graph.input_blobs:
        return graph.input_blobs[name]
    listed = ", ".join(f"`{n}`" for n in graph.input_blobs) or "none"
    raise NetcError(
        Diagnostic("unknown-input", f"the net has no input `{name}`; its inputs are: {listed}")
    )


def _fed(graph: Graph, name: str, given: object, rng: np.random.Generator) -> Array:
    if name == KEY:
        return np.zeros(graph.shape(name), np.float32)
    if given is None:
        return sample(graph, name, rng)
    array = np.asarray(given)
    if array.shape != graph.shape(name):
        blob, shape = graph.values[name].blob, graph.shape(name)
        message = f"input `{blob}` is {show(array.shape)}, and the net takes {show(shape)}"
        raise NetcError(Diagnostic("input-shape", message, graph.values[name].span))
    return array


def _finite(graph: Graph, fed: Mapping[str, Array]) -> bool:
    values = DoubleRun(graph, fed).values
    return all(np.isfinite(values[name]).all() for name in (*graph.outputs, *graph.losses))


def _positive(graph: Graph, name: str, array: Array) -> Array:
    """Numbers from 0.5 to 1.5 in the place of those from -1 to 1; labels as they are."""
    free = bool((array < 0).any())
    return np.asarray(1 + array / 2, np.float32) if free else array


def _seeds(
    graph: Graph, fed: Mapping[str, Array], given: Mapping[str, object], rng: np.random.Generator
) -> dict[str, AnyArray]:
    """What arrives at values: as given, and random numbers at outputs that are no losses.

    Where the net has losses nothing is added to them.
    """
    seeds = {name: np.asarray(array, np.float64) for name, array in given.items()}
    if graph.losses or seeds:
        return seeds
    values = DoubleRun(graph, fed).values  # of a Filter only a run tells the rows
    return {name: rng.uniform(-1, 1, values[name].shape) for name in graph.outputs}
