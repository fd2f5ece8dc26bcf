"""Forward passes over a range of layers; results are computed once and fetched on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from netc.backends.state import RunState
from netc.backends.variables import Variables
from netc.compat.engine import ready
from netc.compat.pycaffe.definition import part
from netc.compiled import CompiledNet
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape
from netc.ops.random import generator_key
from netc.passes.state import Carried, carry_state
from netc.recent import LeastRecentlyUsed
from netc.train.generator import KEY, with_generator

_MAX_COMPILED = 8  # compiled parts, least recently used first out
_ONE_BY_ONE = 3  # blobs asked for afterwards, one at a time, before all are computed each time


class Key(NamedTuple):
    """The cache key of a compiled range of nodes."""

    first: int
    last: int
    outputs: tuple[str, ...]
    shapes: tuple[Shape, ...]


class Engine:
    """Compiles and caches parts of a net; tracks which blobs scripts read after a forward pass."""

    def __init__(
        self,
        backend: str,
        wanted: Iterable[str],
        state: RunState,
        variables: Variables,
        seed: int = 0,
    ) -> None:
        self.backend = backend
        self.seed = seed
        self.passes = -1  # forwards from the first layer on, for what layers draw; from 0
        self._fed: dict[str, Array] = {}  # states of layers before the last forward
        self._rewritten: dict[str, Array | None] = {}  # values that gradients need, and a layer
        self._makers: dict[str, ForwardRun] = {}  # in place rewrites; and what has last made each
        self.variables = variables
        self.state = state
        self.wanted = set(wanted)
        self.all_wanted = False
        self._missed = 0
        self._kept: LeastRecentlyUsed[Key, CompiledNet] = LeastRecentlyUsed(_MAX_COMPILED)
        self._parts: dict[tuple[int, int], tuple[Graph, Graph, Carried]] = {}

    def part(self, graph: Graph, first: int, last: int) -> tuple[Graph, Carried]:
        """The graph of a range of nodes; cached as long as the whole graph is the same object."""
        known = self._parts.get((first, last))
        if known is None or known[0] is not graph:
            found = with_generator(part(graph, first, last))
            known = self._parts[first, last] = graph, found, carry_state(found)
        return known[1:]

    def fed_state(self, node: int, name: str) -> Array:
        """The state from which a recurrent layer started its last forward pass."""
        return self._fed[name]

    def overwritten(self, value: str) -> Array:
        """A blob's content before a layer rewrote it in place; later forward passes keep it."""
        array = self._rewritten.get(value)
        if array is None:
            array = self._makers[value].value(value)
            self._rewritten[value] = None
        return array

    def kept(self, run: ForwardRun) -> tuple[str, ...]:
        """The values that a run must keep for gradients."""
        self._makers.update(dict.fromkeys(run.graph.values, run))
        return tuple(v for v in self._rewritten if v in run.graph.values)

    def ran(self, run: ForwardRun, arrays: Mapping[str, Array]) -> None:
        """Store what gradients need of a forward pass."""
        self._fed.update({name: run.feeds[name] for name in run.carried.states})
        for value in self._rewritten:
            if value in run.feeds:
                self._rewritten[value] = run.feeds[value]
            elif value in run.graph.values:
                self._rewritten[value] = arrays[value]

    def missed(self, blob: str) -> None:
        """Note that a script read a blob that the last forward pass had not returned."""
        self.wanted.add(blob)
        self._missed += 1
        self.all_wanted = self._missed > _ONE_BY_ONE

    def compiled(self, graph: Graph, key: Key) -> CompiledNet:
        """A compiled part, from the cache if possible."""
        return self._kept.get(key, lambda: ready(graph, self.backend, self.variables))


class ForwardRun:
    """One forward of nodes ``first`` until before ``last`` on inputs as they were then.

    ``feeds`` holds the inputs, and the state that layers had before it, so that what is fetched
    later is of this forward.
    """

    def __init__(self, engine: Engine, graph: Graph, first: int, last: int) -> None:
        self.engine = engine
        self.graph, self.carried = engine.part(graph, first, last)
        self.span = (first, last)
        self.feeds: Mapping[str, Array] = {}

    @property
    def reads(self) -> dict[str, str]:
        """Input value -> the blob whose content it is."""
        inputs = self.graph.inputs
        return {name: self.graph.values[name].blob for name in inputs if name != KEY}

    @property
    def makes(self) -> dict[str, str]:
        """Blob -> the last value it gets."""
        return {self.graph.values[name].blob: name for name in self.graph.outputs}

    def start(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run, and have the layers keep their state: blobs wanted each time -> what they hold."""
        carried, state = self.carried, self.engine.state
        key = generator_key(self.engine.seed, max(0, self.engine.passes))
        keyed = {KEY: key} if KEY in self.graph.inputs else {}
        self.feeds = {**feeds, **keyed, **state.feeds(carried)}
        keeps = (*carried.states.values(), *(node.inputs[0] for node in carried.moving))
        arrays = self._arrays((*keeps, *self.engine.kept(self)))
        self.engine.ran(self, arrays)
        if keeps:
            state.take(carried, {**self.feeds, **arrays})
        return self._blobs(arrays)

    def _arrays(self, more: Sequence[str] = ()) -> dict[str, Array]:
        """The values of the blobs that are wanted each time, and more."""
        engine = self.engine
        makes = self.makes.items()
        wanted = [v for b, v in makes if engine.all_wanted or b in engine.wanted]
        return self._only(tuple(dict.fromkeys((*wanted, *more))))

    def _only(self, names: Sequence[str]) -> dict[str, Array]:
        outputs = tuple(name for name in names if name not in self.feeds)
        if not outputs:
            return {}
        graph = self.carried.graph.replace(outputs=outputs)
        shapes = tuple(graph.shape(name) for name in graph.inputs)
        key = Key(*self.span, outputs, shapes)
        return self.engine.compiled(graph, key)(self.feeds)

    def _blobs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {blob: arrays[value] for blob, value in self.makes.items() if value in arrays}

    def value(self, name: str) -> Array:
        """One value of this forward, by a run of its own unless it was fed."""
        found = self.feeds.get(name)
        if found is None:
            found = self._only((name,))[name]
        return found

    def later(self, blob: str) -> Callable[[], Array]:
        """Fetches a blob that was not wanted when this ran; from now on it is."""

        def fetch() -> Array:
            self.engine.missed(blob)
            return self._blobs(self._arrays())[blob]

        return fetch
