"""A stand-in for nvidia-cudnn-frontend's module, that computes on the processor.

It has what netc uses, with the parameters' names and the order of calls of the real one, and minds
both. Of its engines the first needs matrix units, the second cannot be built, the third takes more
memory than is wanted, the fourth and fifth are sound. Without matrix units it knows a convolution
alone, as cuDNN's engines for float32 do.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

__version__ = "1.0"


class data_type(Enum):  # noqa: N801
    FLOAT = np.float32
    HALF = np.float16


class heur_mode(Enum):  # noqa: N801
    A = 0
    FALLBACK = 1


class numerical_note(Enum):  # noqa: N801
    TENSOR_CORE = 0
    DOWN_CONVERT_INPUTS = 1
    REDUCED_PRECISION_REDUCTION = 2
    FFT = 3
    NONDETERMINISTIC = 4


class Handle:
    stream = -1


calls: list[tuple[str, tuple[str, ...]]] = []  # each function's name and its arguments' names
enqueue: Callable[[int, Callable[[], None]], None] = lambda stream, work: work()  # noqa: E731
wrong = 0.0  # by how much all results are
_NEEDS = (0, 0, 64 << 20, 0, 1024)  # bytes of workspace, by engine
_UNSOUND = 1


def create_handle() -> Handle:
    return Handle()


def backend_version() -> int:
    return 90800


def set_stream(handle: Handle, stream: int) -> None:
    handle.stream = stream


@dataclass
class Tensor:
    dim: Sequence[int] = ()
    stride: Sequence[int] = ()
    data_type: Any = None
    uid: int = 0
    output: bool = False

    def set_output(self, value: bool) -> Tensor:
        self.output = value
        return self

    def set_data_type(self, value: Any) -> Tensor:
        self.data_type = value
        return self

    def set_dim(self, value: Sequence[int]) -> Tensor:
        self.dim = value
        return self

    def set_stride(self, value: Sequence[int]) -> Tensor:
        self.stride = value
        return self

    def set_uid(self, value: int) -> Tensor:
        self.uid = value
        return self


@dataclass
class _Step:
    name: str
    inputs: Mapping[str, Tensor]
    result: Tensor
    sizes: Mapping[str, list[int]] = field(default_factory=dict)


class pygraph:  # noqa: N801
    def __init__(
        self, *, io_data_type: Any, intermediate_data_type: Any, compute_data_type: Any, handle: Any
    ) -> None:
        assert intermediate_data_type is compute_data_type is data_type.FLOAT
        assert isinstance(handle, Handle)
        self.kind = io_data_type
        self.steps: list[_Step] = []
        self.state: list[str] = []
        self.barred: set[numerical_note] = set()
        self.built: set[int] = set()
        self.limit = 1 << 62
        _note("pygraph", locals())

    def tensor(
        self, *, name: str, dim: list[int], stride: list[int], data_type: Any, uid: int
    ) -> Tensor:
        _note("tensor", locals())
        assert len(dim) == len(stride) == 4 and all(n > 0 for n in (*dim, *stride))
        return Tensor(dim, stride, data_type, uid)

    def _add(self, name: str, inputs: Mapping[str, Tensor], **sizes: list[int]) -> Tensor:
        self.steps.append(_Step(name, inputs, Tensor(), sizes))
        return self.steps[-1].result

    def conv_fprop(
        self,
        *,
        image: Tensor,
        weight: Tensor,
        pre_padding: list[int],
        post_padding: list[int],
        stride: list[int],
        dilation: list[int],
    ) -> Tensor:
        _note("conv_fprop", locals())
        given = {"pad": pre_padding, "stride": stride, "dilation": dilation}
        assert pre_padding == post_padding
        return self._add("conv", {"x": image, "w": weight}, **given)

    def conv_wgrad(
        self,
        *,
        image: Tensor,
        loss: Tensor,
        pre_padding: list[int],
        post_padding: list[int],
        stride: list[int],
        dilation: list[int],
    ) -> Tensor:
        _note("conv_wgrad", locals())
        given = {"pad": pre_padding, "stride": stride, "dilation": dilation}
        assert pre_padding == post_padding
        return self._add("conv back", {"x": image, "y": loss}, **given)

    def bias(self, *, input: Tensor, bias: Tensor) -> Tensor:
        _note("bias", locals())
        return self._add("bias", {"x": input, "b": bias})

    def add(self, *, a: Tensor, b: Tensor) -> Tensor:
        _note("add", locals())
        return self._add("add", {"x": a, "b": b})

    def relu(self, *, input: Tensor) -> Tensor:
        _note("relu", locals())
        return self._add("relu", {"x": input})

    def _next(self, name: str, before: str) -> None:
        assert self.state[-1:] == ([before] if before else []), f"{name} after {self.state}"
        self.state.append(name)

    def validate(self) -> None:
        self._next("validate", "")
        assert self.steps[-1].result.output and not any(s.result.output for s in self.steps[:-1])

    def build_operation_graph(self) -> None:
        self._next("build_operation_graph", "validate")

    def create_execution_plans(self, heuristics: list[heur_mode]) -> None:
        _note("create_execution_plans", locals())
        self._next("create_execution_plans", "build_operation_graph")

    def deselect_numeric_notes(self, notes: list[numerical_note]) -> None:
        _note("deselect_numeric_notes", locals())
        assert self.state[-1] == "create_execution_plans"
        self.barred |= set(notes)

    def deselect_workspace_greater_than(self, workspace: int) -> None:
        assert self.state[-1] == "create_execution_plans"
        self.limit = workspace

    def check_support(self) -> None:
        self._next("check_support", "create_execution_plans")
        plain = numerical_note.TENSOR_CORE in self.barred
        if plain and len(self.steps) > 1:
            raise RuntimeError("no engine for this graph")

    def get_execution_plan_count(self) -> int:
        return len(_NEEDS)

    def build_plan_at_index(self, index: int) -> None:
        assert self.state[-1] == "check_support"
        matrix = index == 0 and numerical_note.TENSOR_CORE in self.barred
        if matrix or index == _UNSOUND or _NEEDS[index] > self.limit:
            raise RuntimeError("this engine does not run")
        self.built.add(index)

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        assert index in self.built
        return _NEEDS[index]

    def execute_plan_at_index(
        self, tensor_dict: dict[int, int], workspace: int, *, index: int, handle: Handle
    ) -> None:
        _note("execute_plan_at_index", locals())
        assert index in self.built and handle.stream >= 0
        enqueue(handle.stream, lambda: self._run(dict(tensor_dict), workspace, index))

    def _run(self, tensor_dict: dict[int, int], workspace: int, index: int) -> None:
        if _NEEDS[index]:
            ctypes.memset(workspace, 0xFF, _NEEDS[index])
        values: dict[int, Any] = {}
        for step in self.steps:
            read = {
                n: values.get(id(t), None) if t.uid == 0 else _memory(t, tensor_dict[t.uid])
                for n, t in step.inputs.items()
            }
            sizes = {**step.sizes, "dim": list(step.result.dim)}
            values[id(step.result)] = _RULES[step.name](read, sizes)
        last = self.steps[-1].result
        y = _memory(last, tensor_dict[last.uid])
        assert y.shape == values[id(last)].shape
        y[...] = values[id(last)] * (1 + wrong)


def _note(name: str, given: Mapping[str, Any]) -> None:
    calls.append((name, tuple(n for n in given if n != "self")))


def _memory(tensor: Tensor, address: int) -> Any:
    kind = np.dtype(tensor.data_type.value)
    assert address % kind.itemsize == 0
    last = sum((n - 1) * s for n, s in zip(tensor.dim, tensor.stride, strict=True))
    raw = (ctypes.c_char * ((last + 1) * kind.itemsize)).from_address(address)
    flat = np.frombuffer(raw, kind)
    strides = [s * kind.itemsize for s in tensor.stride]
    return np.lib.stride_tricks.as_strided(flat, tuple(tensor.dim), strides)


def _conv(read: Mapping[str, Any], sizes: Mapping[str, list[int]]) -> Any:
    x, w = (read[n].astype(np.float64) for n in "xw")
    (pad_y, pad_x), (step_y, step_x), (far_y, far_x) = (
        sizes[n] for n in ("pad", "stride", "dilation")
    )
    wide = np.pad(x, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    groups, (outputs, channels, down, across) = x.shape[1] // w.shape[1], w.shape
    high = (wide.shape[2] - far_y * (down - 1) - 1) // step_y + 1
    broad = (wide.shape[3] - far_x * (across - 1) - 1) // step_x + 1
    y = np.zeros((len(x), groups, outputs // groups, high, broad))
    split = w.reshape(groups, outputs // groups, channels, down, across)
    for i in range(down):
        for j in range(across):
            top, left = i * far_y, j * far_x
            seen = wide[
                ..., top : top + step_y * high : step_y, left : left + step_x * broad : step_x
            ]
            parts = seen.reshape(len(x), groups, channels, high, broad)
            y += np.einsum("ngchw,gkc->ngkhw", parts, split[..., i, j])
    return y.reshape(len(x), outputs, high, broad)


def _conv_back(read: Mapping[str, Any], sizes: Mapping[str, list[int]]) -> Any:
    x, y = (read[n].astype(np.float64) for n in "xy")
    (pad_y, pad_x), (step_y, step_x), (far_y, far_x) = (
        sizes[n] for n in ("pad", "stride", "dilation")
    )
    outputs, channels, down, across = sizes["dim"]
    wide = np.pad(x, ((0, 0), (0, 0), (pad_y, pad_y), (pad_x, pad_x)))
    high, broad = y.shape[2:]
    assert high == (wide.shape[2] - far_y * (down - 1) - 1) // step_y + 1
    assert broad == (wide.shape[3] - far_x * (across - 1) - 1) // step_x + 1
    groups = x.shape[1] // channels
    split = y.reshape(len(y), groups, outputs // groups, high, broad)
    w = np.zeros((groups, outputs // groups, channels, down, across))
    for i in range(down):
        for j in range(across):
            top, left = i * far_y, j * far_x
            seen = wide[
                ..., top : top + step_y * high : step_y, left : left + step_x * broad : step_x
            ]
            parts = seen.reshape(len(x), groups, channels, high, broad)
            w[..., i, j] = np.einsum("ngchw,ngkhw->gkc", parts, split)
    return w.reshape(outputs, channels, down, across)


_RULES = {
    "conv back": _conv_back,
    "conv": _conv,
    "bias": lambda read, sizes: read["x"] + read["b"],
    "add": lambda read, sizes: read["x"] + read["b"],
    "relu": lambda read, sizes: np.maximum(read["x"], 0),
}
