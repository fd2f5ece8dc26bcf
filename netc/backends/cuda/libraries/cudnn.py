"""Convolutions by cuDNN, through NVIDIA's own Python interface (nvidia-cudnn-frontend).

A graph of the convolution, and of the bias, sum and ReLU after it, is handed to cuDNN, whose
heuristics name the engines that can run it. Those that would compute less exactly than asked, or
not the same from run to run, are left out.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

from netc.backends.cuda.libraries.operation import (
    MAX_ALGORITHMS,
    WORKSPACE,
    LibraryAlgorithm,
    LibraryError,
    LibraryKernel,
    LibraryProduct,
    Start,
)

NAME = "cudnn"

_X, _W, _Y, _BIAS, _OTHER = 1, 2, 3, 4, 5  # what tensors are known by
_NEVER = ("NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION")
_NOT_EXACT = ("TENSOR_CORE", "FFT")  # of numerical notes, where float32 is asked for


class _Proposed(NamedTuple):
    """A graph with cuDNN's engines for it."""

    graph: Any
    engines: int


class Cudnn:
    """cuDNN on the current device.

    Args:
        module: ``cudnn``.

    Raises:
        LibraryError: it does not start.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._known: dict[LibraryProduct, _Proposed] = {}
        try:
            self._handle = module.create_handle()
            self._version = f"{module.__version__}-{module.backend_version()}"
        except Exception as error:  # whatever its loader raises
            raise LibraryError(str(error)) from error

    @property
    def version(self) -> str:
        """The interface's and the library's."""
        return self._version

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        """The engines that the heuristics put first, as far as they can be built."""
        if operation.shared or (operation.parts > 1 and operation.pointwise):
            return ()
        with self._lock:
            try:
                proposed = self._proposed(operation)
            except LibraryError:
                return ()
            found: list[LibraryAlgorithm] = []
            for index in range(proposed.engines):
                algorithm = _built(proposed.graph, index)
                found += [algorithm] if algorithm else []
                if len(found) == MAX_ALGORITHMS:
                    break
            return found

    def _proposed(self, operation: LibraryProduct) -> _Proposed:
        if operation not in self._known:
            try:
                self._known[operation] = self._planned(operation)
            except Exception as error:  # the interface has no class of its own for all of them
                raise LibraryError(str(error)) from error
        return self._known[operation]

    def _planned(self, operation: LibraryProduct) -> _Proposed:
        module = self._module
        graph = self._graph(operation)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([module.heur_mode.A, module.heur_mode.FALLBACK])
        unwanted = _NEVER + (_NOT_EXACT if operation.precision == "float32" else ())
        notes = [getattr(module.numerical_note, name) for name in unwanted]
        graph.deselect_numeric_notes(notes)
        graph.deselect_workspace_greater_than(WORKSPACE)
        graph.check_support()
        return _Proposed(graph, graph.get_execution_plan_count())

    def _graph(self, operation: LibraryProduct) -> Any:
        """y = relu(convolution(x, w) + bias + other), or w of x and y, as a graph of cuDNN's."""
        module, kinds = self._module, self._module.data_type
        stored = kinds.HALF if operation.precision == "fp16" else kinds.FLOAT
        graph = module.pygraph(
            io_data_type=stored,
            intermediate_data_type=kinds.FLOAT,
            compute_data_type=kinds.FLOAT,
            handle=self._handle,
        )

        def tensor(name: str, uid: int, layout: tuple[list[int], list[int]]) -> object:
            dim, stride = layout
            return graph.tensor(name=name, dim=dim, stride=stride, data_type=stored, uid=uid)

        window = {
            "pre_padding": list(operation.pad),
            "post_padding": list(operation.pad),
            "stride": list(operation.stride),
            "dilation": list(operation.dilation),
        }
        x = tensor("x", _X, _x(operation))
        if operation.gradient:
            loss = tensor("y", _Y, _y(operation, operation.ldy))
            w = graph.conv_wgrad(image=x, loss=loss, **window)
            return _given(graph, w, stored, _w(operation), _W)
        y = graph.conv_fprop(image=x, weight=tensor("w", _W, _w(operation)), **window)
        if operation.bias:
            y = graph.bias(input=y, bias=tensor("bias", _BIAS, _bias(operation)))
        if operation.other:
            y = graph.add(a=y, b=tensor("other", _OTHER, _y(operation, operation.other)))
        if operation.relu:
            y = graph.relu(input=y)
        return _given(graph, y, stored, _y(operation, operation.ldy), _Y)

    def start(self, kernel: LibraryKernel) -> Start:
        """A function that starts a product with the algorithm's engine."""
        operation, algorithm, index = kernel.operation, kernel.algorithm, int(kernel.algorithm.text)
        with self._lock:
            graph, engines = self._proposed(operation)
            built = _built(graph, index) if index < engines else None
        if built is None or built.workspace > algorithm.workspace:
            raise LibraryError(f"cuDNN has no engine {index} for {operation.name} any more")

        def run(addresses: Sequence[int], stream: int) -> None:
            x, w, y, bias, other, workspace = addresses
            given = {_X: x, _W: w, _Y: y}
            given |= {_BIAS: bias} if operation.bias else {}
            given |= {_OTHER: other} if operation.other else {}
            with self._lock:  # a handle has one stream
                self._execute(graph, given, workspace, index, stream)

        return run

    def _execute(
        self, graph: Any, given: dict[int, int], workspace: int, index: int, stream: int
    ) -> None:
        try:
            self._module.set_stream(handle=self._handle, stream=stream)
            graph.execute_plan_at_index(given, workspace, index=index, handle=self._handle)
        except Exception as error:  # the interface has no class of its own for all of them
            raise LibraryError(str(error)) from error


def _given(
    graph: Any, result: Any, stored: Any, layout: tuple[list[int], list[int]], uid: int
) -> Any:
    """The graph, whose result lies so."""
    dim, stride = layout
    result.set_output(True).set_data_type(stored).set_dim(dim).set_stride(stride).set_uid(uid)
    return graph


def _built(graph: Any, index: int) -> LibraryAlgorithm | None:
    """One engine, made ready; None if that fails or it takes too much memory."""
    try:
        graph.build_plan_at_index(index)
        workspace = int(graph.get_workspace_size_plan_at_index(index))
    except Exception:  # an engine may be named, and be unfit for the device all the same
        return None
    return LibraryAlgorithm(NAME, str(index), workspace) if workspace <= WORKSPACE else None


def _pixels(n: int, h: int, w: int, c: int, ld: int) -> tuple[list[int], list[int]]:
    """Sizes and strides of pixels with channels innermost, in cuDNN's order n, c, h, w."""
    return [n, c, h, w], [h * w * ld, 1, w * ld, ld]


def _x(operation: LibraryProduct) -> tuple[list[int], list[int]]:
    n, h, w, c = operation.x
    return _pixels(n, h, w, c * operation.parts, operation.ldx)


def _y(operation: LibraryProduct, ld: int) -> tuple[list[int], list[int]]:
    h, w, c = operation.y
    return _pixels(operation.x[0], h, w, c * operation.parts, ld)


def _w(operation: LibraryProduct) -> tuple[list[int], list[int]]:
    (down, across), c = operation.kernel, operation.x[3]
    outputs = operation.y[2] * operation.parts
    return [outputs, c, down, across], [operation.ldw, 1, across * c, c]


def _bias(operation: LibraryProduct) -> tuple[list[int], list[int]]:
    outputs = operation.y[2] * operation.parts
    return [1, outputs, 1, 1], [outputs, 1, outputs, outputs]
