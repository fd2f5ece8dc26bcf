"""The road from a net, its weights and inputs to a file of weights in int8."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.feeding import input_shapes
from netc.ir.graph import Graph, Node
from netc.ops.catalog import has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.reduced import Int8, is_depthwise, weight_codes
from netc.ops.role import Role
from netc.passes.epilogue import stages_of
from netc.quantize.calibrate import (
    Feeds,
    Method,
    before_reduction,
    numbers,
    observe,
    product_input,
    products_of,
)
from netc.quantize.data import Items
from netc.quantize.measure import Agreement, agreement, layer_errors, program, scores_of
from netc.quantize.search import AccuracyBound, QuantizedLayers, choose
from netc.weights.load import as_weights
from netc.weights.quantized import Quantization, save_quantized

Stage = Callable[[str, int], None]  # told what is done, and how many inputs of it are done
_FOR_ERRORS = 8  # items that layers' errors are measured on
_SECONDS = 2.0  # that programs are timed for


class LayerReport(NamedTuple):
    """A layer, its error in int8, and whether it is computed so."""

    name: str
    error: float
    int8: bool


class QuantizationResult(NamedTuple):
    """What was made, and what it costs and gives.

    Args:
        layers: every product, in the net's order.
        chosen: what is in int8.
        calibration: agreement on the items that were calibrated with.
        held: on those that were not; None where there are none.
        seconds: of an item: float32 and int8.
        weights: bytes of weights as they are read: float32 and int8.
        arena: bytes of blobs: float32 and int8.
        file: bytes of the file.
    """

    layers: Sequence[LayerReport]
    chosen: QuantizedLayers
    calibration: Agreement
    held: Agreement | None
    seconds: tuple[float, float]
    weights: tuple[int, int]
    arena: tuple[int, int]
    file: int


def default_bound(graph: Graph) -> AccuracyBound:
    """Top-1 agreement of 0.99 where the net gives scores, an error of 0.01 elsewhere."""
    return AccuracyBound(error=0.01) if scores_of(graph) is None else AccuracyBound(top1=0.99)


def find(
    graph: Graph, items: Sequence[Feeds], bound: AccuracyBound, method: Method, stage: Stage
) -> tuple[QuantizedLayers, list[LayerReport]]:
    """Which layers are computed in int8, and each layer's error.

    Args:
        graph: with arrays and shapes, of batch 1, before its passes.
        items: inputs by the names of values.
        bound: what the answers must keep.
        method: how ranges are found.
        stage: told of progress.

    Raises:
        NetcError: nothing-to-quantize; bound-not-held.
    """
    reduced = before_reduction(graph)
    nodes = products_of(reduced)
    if not nodes:
        message = f"net `{graph.name}` has no layer that can be computed in int8"
        help = ("convolutions and inner products with constant weights can be",)
        raise NetcError(Diagnostic("nothing-to-quantize", message, help=help))
    if bound.top1 is not None and scores_of(graph) is None:
        message = "the net gives no row of scores, whose largest could be compared"
        raise NetcError(Diagnostic("bad-argument", message, help=("give --max-error",)))
    values = tuple(dict.fromkeys(map(product_input, nodes)))
    seen = observe(reduced, values, items, lambda n: stage("observing blobs", n))
    layers = numbers(seen, nodes, method)
    some = items[:: max(1, len(items) // _FOR_ERRORS)][:_FOR_ERRORS]
    errors = layer_errors(reduced, layers, some, lambda n: stage("measuring layers", n))
    plain = program(graph)
    want = [plain.run(item) for item in items]
    scores = scores_of(graph)

    def measure(chosen: Mapping[str, Int8]) -> Agreement:
        stage(f"{len(chosen)} of {len(layers)} layers in int8", 1)
        return agreement(program(graph, chosen), want, items, scores)

    chosen = choose(layers, errors, bound, measure)
    return chosen, [LayerReport(n.name, errors[n.name], n.name in chosen.layers) for n in nodes]


def write(
    net: CompiledNet,
    chosen: QuantizedLayers,
    target: str | os.PathLike[str],
    made: Mapping[str, Any],
) -> None:
    """Write a net's weights, as codes where it makes the same codes of them, and the record."""
    reduced = before_reduction(net.graph)
    arrays = net.params
    coded = set()
    for node in reduced.nodes:
        own = arrays.get(node.name)
        if node.name in chosen.layers and own is not None and _has_scales_by_rows(reduced, node):
            folded = reduced.parameters[node.parameters[0]].array
            if folded is not None and _same_codes(own[0], folded):
                coded.add(f"{node.name}/0")
    save_quantized(target, as_weights(arrays), Quantization(chosen.layers, made), coded)


def _has_scales_by_rows(graph: Graph, node: Node) -> bool:
    """True if each row of a layer's weights is of one output, by whose scale codes are kept.

    A deconvolution's rows are of its inputs.
    """
    first = stages_of(node)[0]
    if not has_role(first.op, Role.DECONVOLUTION):
        return True
    params = first.params_as(ConvolutionParams)
    return is_depthwise(params, graph.shape(product_input(node)))


def _same_codes(own: Any, folded: Any) -> bool:
    """True if weights keep their codes where other layers are folded into them, but for signs.

    A factor may turn an output's sign, and carry a weight that lies between two codes to the other
    side: to either it is as near.
    """
    if own.shape != folded.shape:
        return False
    first, second = (
        weight_codes(array).codes.reshape(len(array), -1).astype(np.int16)
        for array in (own, folded)
    )
    signs = np.sign((first.astype(np.int64) * second).sum(axis=1, keepdims=True))
    return bool(
        (np.abs(first - signs * second) <= 1).all() and _nearly_all_equal(first, signs * second)
    )


def _nearly_all_equal(first: Any, second: Any) -> bool:
    """True if few codes differ, those of weights that lie between two."""
    return bool((first != second).mean() < _MAX_TIES)


_MAX_TIES = 1e-3


def outcome(
    plain: CompiledNet,
    small: CompiledNet,
    items: Items,
    found: tuple[QuantizedLayers, list[LayerReport]],
    target: str | os.PathLike[str],
) -> QuantizationResult:
    """What the net gives with the file that was written, and what that took."""
    scores = scores_of(plain.graph)
    runs = [net.executable(input_shapes(net.graph)) for net in (plain, small)]

    def agreed(some: Sequence[Feeds]) -> Agreement:
        return agreement(runs[1], [runs[0].run(item) for item in some], some, scores)

    first = items.calibration[0]
    reports = [run.report() for run in runs]
    return QuantizationResult(
        found[1],
        found[0],
        agreed(items.calibration),
        agreed(items.held) if items.held else None,
        _timed([lambda run=run: run.run(first) for run in runs]),  # type: ignore[misc]
        (reports[0]["weights_bytes"], reports[1]["weights_bytes"]),
        (reports[0]["arena_bytes"], reports[1]["arena_bytes"]),
        Path(target).stat().st_size,
    )


def _timed(calls: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """Median seconds of two, in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or len(times[0]) < 3:
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return float(np.median(times[0])), float(np.median(times[1]))
