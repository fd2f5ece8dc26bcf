"""What the inputs of products look like over a set of inputs, and the scales that follow.

``kl`` takes the range whose 8-bit distribution diverges least from the one that was seen (Migacz,
8-bit inference with TensorRT, GTC 2017); ``percentile`` the range that 99.99 % of the elements that
are not 0 lie in; ``max`` all of it; ``auto``, for each blob, whichever of these and two more
percentiles leaves the smallest squared error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from netc.backends.base import BackendOptions, Options
from netc.backends.registry import backend
from netc.ir.graph import Array, Graph, Node
from netc.ops.fused import bind_stages
from netc.ops.reduced import Int8
from netc.passes.base import run_passes
from netc.passes.epilogue import FUSE_EPILOGUES, chain_of
from netc.passes.pipeline import ALL
from netc.passes.reduce import candidates

Method = Literal["auto", "kl", "percentile", "max"]
Feeds = Mapping[str, Array]
OnCount = Callable[[int], None]

BINS = 2048
_LEVELS = 128  # that the divergence is measured with
_STEP = 16  # bins between ranges that are tried
_PERCENTILES = (0.999, 0.9999, 0.99999)
_PERCENTILE = 0.9999
Counts = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class BlobObserver:
    """What was seen of a blob: its extremes, then how often which size."""

    low: float = 0.0
    high: float = 0.0
    counts: Counts | None = None

    @property
    def most(self) -> float:
        """The largest size of an element."""
        return max(self.high, -self.low)


def before_reduction(graph: Graph) -> Graph:
    """A graph as its products are when they are reduced: the same for calibration and for runs."""
    passes = ALL[: ALL.index(FUSE_EPILOGUES) + 1]
    return run_passes(graph, passes)[0]


def product_input(node: Node) -> str:
    """The value that a product multiplies."""
    first = next(bind_stages(chain_of(node), node.inputs, node.parameters))
    return str(first.inputs[0])


def products_of(graph: Graph) -> list[Node]:
    """The nodes that can be computed in int8."""
    return candidates(graph, Int8(1.0, 128))


def observe(
    graph: Graph, values: Sequence[str], items: Sequence[Feeds], progress: OnCount
) -> Mapping[str, BlobObserver]:
    """Extremes and histograms of values over a set of inputs, in two rounds.

    Args:
        graph: as ``before_reduction`` gives it.
        values: of the graph.
        items: inputs by the names of values.
        progress: called with 1 for each run.
    """
    seen = {name: BlobObserver() for name in values}
    run = _runner(graph, values)
    for item in items:
        for name, array in run(item).items():
            one = seen[name]
            finite = array[np.isfinite(array)]
            one.low = min(one.low, float(finite.min(initial=0)))
            one.high = max(one.high, float(finite.max(initial=0)))
        progress(1)
    for item in items:
        for name, array in run(item).items():
            one = seen[name]
            sizes = np.abs(array[np.isfinite(array)])
            counts, _ = np.histogram(sizes, BINS, (0.0, one.most or 1.0))
            one.counts = counts + (0.0 if one.counts is None else one.counts)
        progress(1)
    return seen


def _runner(graph: Graph, values: Sequence[str]) -> Callable[[Feeds], dict[str, Array]]:
    inputs = [v for v in values if v in graph.inputs]
    made = tuple(dict.fromkeys(v for v in values if v not in inputs))
    program = None
    if made:
        whole = graph.replace(outputs=made, updates={})
        program = backend("cpu").prepare(whole, Options((), own=BackendOptions()))

    def run(item: Feeds) -> dict[str, Array]:
        found = {} if program is None else program.run(item)
        return {**{name: item[name] for name in inputs}, **found}

    return run


def number_of(seen: BlobObserver, method: Method) -> Int8:
    """What a blob is rounded to."""
    signed = seen.low < 0
    steps = 127 if signed else 255
    if seen.counts is None or seen.most == 0:
        return Int8(1.0, 128 if signed else 0)
    if method == "auto":
        ranges = [limit_of(seen, m) for m in ("kl", "max")]
        ranges += [_within(seen, share) for share in _PERCENTILES]
        limit = min(ranges, key=lambda limit: squared_error(seen, limit, steps))
    else:
        limit = limit_of(seen, method)
    return Int8(float(np.float32(limit / steps)), 128 if signed else 0)


def limit_of(seen: BlobObserver, method: str) -> float:
    """The largest size that has a code of its own."""
    if method == "kl":
        return _min_divergence(seen)
    return _within(seen, _PERCENTILE) if method == "percentile" else seen.most


def _within(seen: BlobObserver, share: float) -> float:
    """The size that so many of the elements do not exceed; zeros, which are exact, do not count."""
    assert seen.counts is not None
    counts = seen.counts.copy()
    counts[0] = 0
    total = counts.sum()
    if not total:
        return seen.most
    at = int(np.searchsorted(np.cumsum(counts), share * total))
    return seen.most * min(at + 1, BINS) / BINS


def squared_error(seen: BlobObserver, limit: float, steps: int) -> float:
    """Of all elements together, each at the middle of its bin."""
    assert seen.counts is not None
    middles = (np.arange(BINS) + 0.5) * (seen.most / BINS)
    scale = limit / steps
    rounded = np.minimum(np.rint(middles / scale), steps) * scale
    return float((seen.counts[1:] * (middles - rounded)[1:] ** 2).sum())


def _min_divergence(seen: BlobObserver) -> float:
    assert seen.counts is not None
    counts = seen.counts.copy()
    counts[0] = 0  # mostly exact zeros, which would hide the others
    best, found = np.inf, BINS
    for end in range(_LEVELS, BINS + 1, _STEP):
        divergence = _divergence(counts, end)
        if divergence < best:
            best, found = divergence, end
    return seen.most * found / BINS


def _divergence(counts: Counts, end: int) -> float:
    """Of the first ``end`` bins from the same in fewer levels; what lies beyond is in the last."""
    kept = counts[:end].copy()
    plain = kept.copy()
    kept[-1] += counts[end:].sum()
    if not kept.sum() or not plain.sum():
        return float("inf")
    starts = np.arange(_LEVELS) * end // _LEVELS
    filled = (plain > 0).astype(np.float64)
    sums, numbers = np.add.reduceat(plain, starts), np.add.reduceat(filled, starts)
    level = np.repeat(sums / np.maximum(numbers, 1), np.diff(np.append(starts, end))) * filled
    p, q = kept / kept.sum(), level / level.sum()
    here = p > 0
    return float((p[here] * np.log(p[here] / np.maximum(q[here], 1e-12))).sum())


def numbers(
    seen: Mapping[str, BlobObserver], nodes: Iterable[Node], method: Method
) -> dict[str, Int8]:
    """Layer -> what its input is rounded to; one for all that read a value."""
    by_value = {value: number_of(one, method) for value, one in seen.items()}
    return {node.name: by_value[product_input(node)] for node in nodes}
