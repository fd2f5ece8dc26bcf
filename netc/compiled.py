"""A net that is ready to run."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netc.backends.base import Executable, ExecutableReport, Options
from netc.backends.registry import backend
from netc.backends.state import RunState, StatefulExecutable
from netc.backends.variables import Variables
from netc.diagnostics import Diagnostic, NetcError
from netc.feeding import Feeding, graph_for, input_shapes
from netc.infer import blob_shapes
from netc.ir.edit import with_variables
from netc.ir.graph import Array, Graph
from netc.ir.types import Shape, show
from netc.memory import Budget, budget, on_behalf, using
from netc.ops.array import AnyArray
from netc.passes.state import carry_state
from netc.plan.needs import ask_for_blobs
from netc.recent import LeastRecentlyUsed

if TYPE_CHECKING:
    from netc.sources.reader import DataReader
    from netc.train.gradients import GradientPrograms, Gradients
from netc.layer_arrays import LayerArrays, parameter_bytes

_PLANS = 8  # input shapes whose plans are kept, least recently used first out


class CompiledNet:
    """A net with its weights, made by :func:`netc.compile`.

    Call it with one array per input; it returns a dict from output blob to a new float32 array. A
    DummyData layer's blobs may be left out: they hold what their fillers say, random ones the same
    at each call (Caffe draws anew each time, dummy_data_layer.cpp). It may be called from several
    threads at once. Input shapes may change from call to call: the net is planned for each new set
    of shapes, and the most recently used plans are kept.

    On backend "cuda" inputs may also be CuPy arrays or anything with ``__cuda_array_interface__``
    or ``__dlpack__``; arrays on the device are used without a copy to the host, and outputs are
    CuPy arrays where the first input was on the device.

    With ``read_data=True`` a data layer's blobs that are not given are read from its source, one
    batch per call. A copy of the net, or an unpickled one, does not read and must be fed.

    With ``variables=True`` the trained arrays in ``params`` are writable, and the next call uses
    what they hold, whatever its input shapes; such calls run one at a time.
    """

    def __init__(
        self,
        graph: Graph,
        backend_name: str,
        options: Options,
        diagnostics: tuple[Diagnostic, ...] = (),
        seed: int = 0,
        unneeded: Collection[str] = (),
        stateful: bool = False,
        reader: DataReader | None = None,
    ) -> None:
        self._reader = reader
        self.variables = Variables() if options.variables is None else options.variables
        if stateful:
            graph = with_variables(graph, carry_state(graph).parameters)
        self.graph = self.variables.bind(graph)
        self._state = RunState(self._variable, self._write) if stateful else None
        self.backend = backend_name
        self.options = replace(options, variables=self.variables)
        self.diagnostics = diagnostics
        self.seed = seed
        self._backend = backend(backend_name)
        self._feeding = Feeding(self.graph, seed, unneeded, self._backend.convert_input)
        self._lock = threading.Lock()
        self._executables: LeastRecentlyUsed[tuple[Shape, ...], Executable]
        self._executables = LeastRecentlyUsed(_PLANS)
        self._closed = False
        self._joint: GradientPrograms[Executable] | None = None
        with using(options.memory):
            budget().hold(parameter_bytes(graph), self)
        self.executable(input_shapes(self.graph))

    @property
    def name(self) -> str:
        """The net's name."""
        return self.graph.name

    @property
    def inputs(self) -> dict[str, Shape]:
        """Input blob -> the shape it was compiled for."""
        return {blob: self.graph.shape(name) for blob, name in self.graph.input_blobs.items()}

    @property
    def outputs(self) -> dict[str, Shape]:
        """Output blob -> its shape for the input shapes in ``inputs``."""
        return {name: self.graph.shape(name) for name in self.graph.outputs}

    @property
    def shapes(self) -> dict[str, Shape]:
        """Blob -> shape, for every blob of the net in its phase, by the names in the prototxt."""
        return blob_shapes(self.graph)

    @property
    def params(self) -> Mapping[str, tuple[Array, ...]]:
        """Layer -> its trained arrays (float32, in Caffe's order: weights, then bias).

        They are read-only unless the net was compiled with ``variables=True``. Layers without
        trained arrays are absent.
        """
        return LayerArrays(self.graph, self.variables)

    def __call__(
        self, feeds: Mapping[str, object] | None = None, /, **arrays: object
    ) -> dict[str, Array]:
        """Run the forward pass.

        Args:
            feeds: input blob -> array, for names that are no Python identifiers.
            **arrays: input blob -> array, of any numeric dtype; float64 is rounded to float32.

        Returns:
            Output blob -> float32 array.

        Raises:
            NetcError: missing-input, unknown-input, input-shape, input-dtype; bad-filler, where a
                DummyData layer's filler cannot fill its shape; closed-net; too-little-memory.
        """
        with using(self.options.memory), on_behalf(f"running `{self.name}`"):
            given = self._fed(feeds, arrays, self._feeding.needed)
            shapes = tuple(given[name].shape for name in self.graph.inputs)
            return self.executable(shapes).run(given)

    def gradients(
        self,
        feeds: Mapping[str, object] | None = None,
        seeds: Mapping[str, object] | None = None,
        wrt: Sequence[str] | None = None,
    ) -> Gradients:
        """Run forward and backward: the gradients of the weighted sum of the net's losses.

        Losses are the tops of loss layers and those with a ``loss_weight``; the sum is over all
        their elements, each times its weight. All parameters have a gradient, also those with
        ``lr_mult: 0``; no gradient flows through a bottom with ``propagate_down: false``.

        Args:
            feeds: input blob -> array.
            seeds: blob -> gradient of the same shape that is added there from outside; for a loss
                it replaces the ``loss_weight``.
            wrt: blobs whose gradients are wanted besides the parameters'; None for every input,
                ``()`` for none. A blob rewritten in place means its last version, an input's
                blob the input; ``BLOB@LAYER`` is the version that this layer wrote.

        Returns:
            ``outputs``, ``blobs`` and ``params``, all float32: see
            :class:`netc.train.gradients.Gradients`.

        Raises:
            NetcError: no-gradient, where a gradient would pass through a layer that has none;
                no-loss; unknown-blob; and as a call, for the feeds.
        """
        with using(self.options.memory), on_behalf(f"the gradients of `{self.name}`"):
            given = self._fed(
                feeds, {}, self._feeding.needed | self._feeding.read_for(self.graph.losses)
            )
            return self._gradients(given, seeds or {}, wrt)

    def _gradients(
        self, given: dict[str, AnyArray], seeds: Mapping[str, object], wrt: Sequence[str] | None
    ) -> Gradients:
        from netc.train import gradients

        graph = graph_for(self.graph, tuple(given[name].shape for name in self.graph.inputs))
        request = gradients.requested(graph, wrt, tuple(seeds))
        with self._lock:
            self._check_open()
            if self._joint is None:
                self._joint = gradients.GradientPrograms(self._planned)
            joint, program = self._joint.program(graph, request)
        arrived = gradients.seed_arrays(graph, seeds)
        fed = given | {joint.seeds[v]: a for v, a in arrived.items() if v in joint.seeds}
        return gradients.collected(graph, joint, request, program.run(fed), fed)

    def _fed(self, feeds: object, arrays: Mapping[str, object], needed: set[str]) -> dict[str, Any]:
        """Each input value's array; those ``needed`` must be given."""
        if feeds is not None and not isinstance(feeds, Mapping):
            raise self._no_mapping(feeds)
        given = {**(feeds or {}), **arrays}
        if self._reader is not None:
            known = self.graph.input_blobs
            read = self._reader.lacking({self._feeding.blob(name) for name in given}).items()
            given |= {name: array for name, array in read if name in known}
        return self._feeding.checked(given, needed)

    @property
    def needed(self) -> set[str]:
        """The inputs that must be given: those without a filler that an output depends on."""
        return self._feeding.needed

    def reset(self) -> None:
        """Set the recurrent layers' state to zero; without ``stateful`` each call starts there."""
        if self._state is not None:
            self._state.forget()

    @property
    def states(self) -> dict[str, Array]:
        """State name -> float32 array of a recurrent layer's state after the last call.

        Empty without ``stateful``.
        """
        return {} if self._state is None else dict(self._state.arrays)

    def go_on_from(self, states: Mapping[str, Array]) -> None:
        """Set the recurrent layers' state to what ``states`` returned earlier.

        A state of another shape than the net's, as after a change of the batch, is ignored.
        """
        if self._state is not None:
            self._state.arrays.update(states)

    def _variable(self, name: str) -> Array:
        return self.variables.variable(name).array

    def _write(self, name: str, array: Array) -> None:
        self.variables.variable(name).write(array)

    def close(self) -> None:
        """Free plans, arenas and threads; calling the net afterwards raises ``closed-net``.

        A call in progress in another thread completes. Closing twice does nothing.
        """
        with self._lock:
            self._closed, self._joint = True, None
            self._executables.clear()
            self._feeding.clear()

    def __enter__(self) -> CompiledNet:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __deepcopy__(self, memo: object) -> CompiledNet:
        """A net of its own plans, variables and state; constants are shared."""
        return remade(*self._made_of(self.options.memory))

    def __reduce__(self) -> tuple[object, ...]:
        """Graph, weights and options are kept; the net is compiled again where it is loaded."""
        return remade, self._made_of(None)

    def _made_of(self, memory: Budget | None) -> tuple[Any, ...]:
        self.variables.fetch()  # the graph's arrays are theirs
        parts = {
            "graph": self.graph,
            "backend_name": self.backend,
            "diagnostics": self.diagnostics,
            "seed": self.seed,
            "unneeded": self._feeding.unneeded,
            "stateful": self._state is not None,
        }
        options = replace(self.options, progress=None, variables=None, memory=memory)
        return parts, options, {} if self._state is None else dict(self._state.arrays)

    def __repr__(self) -> str:
        ins, outs = (
            ", ".join(f"{name} {show(shape)}" for name, shape in named.items())
            for named in (self.inputs, self.outputs)
        )
        return f"<CompiledNet `{self.name}` on {self.backend}: {ins} -> {outs}>"

    def _no_mapping(self, feeds: object) -> NetcError:
        message = f"arrays are given by the inputs' names, not as a `{type(feeds).__name__}`"
        help = tuple(f"write net({name}=array)" for name in list(self.inputs)[:1])
        return NetcError(Diagnostic("bad-argument", message, help=help))

    def executable(self, shapes: tuple[Shape, ...]) -> Executable:
        """The executable for these input shapes, in the order of ``inputs``; planned if need be.

        Raises:
            NetcError: closed-net; input-shape, where a layer does not fit them; too-little-memory.
        """
        with self._lock, using(self.options.memory):
            self._check_open()
            return self._executables.get(
                shapes, lambda: self._prepared(graph_for(self.graph, shapes))
            )

    def _check_open(self) -> None:
        if self._closed:
            raise NetcError(Diagnostic("closed-net", f"the net `{self.name}` has been closed"))

    def _prepared(self, graph: Graph) -> Executable:
        """An executable for the graph, which goes on from the last forward if that is wanted."""
        if self._state is None:
            return self._planned(graph)
        carried = carry_state(graph)
        return StatefulExecutable(self._planned(carried.graph), carried, self._state)

    def _planned(self, graph: Graph) -> Executable:
        if self._backend.on_host:
            ask_for_blobs(graph)
        return self._backend.prepare(graph, self.options)

    def report(self) -> ExecutableReport:
        """The backend's report as plain values: steps, and memory in bytes, for ``inputs``."""
        return {"net": self.name, **self.executable(input_shapes(self.graph)).report()}


def remade(parts: dict[str, Any], options: Options, states: Mapping[str, Array]) -> CompiledNet:
    """Unpickle: a net from what :meth:`CompiledNet.__reduce__` saved, constants read-only again."""
    for parameter in parts["graph"].parameters.values():
        if parameter.array is not None and not parameter.variable:
            parameter.array.flags.writeable = False
    net = CompiledNet(options=options, **parts)
    if net._state is not None:
        net._state.arrays.update(states)
    return net
