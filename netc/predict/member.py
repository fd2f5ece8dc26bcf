"""One net of a predictor: compiling it for a batch, and running any number of rows through it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from netc.backends.base import Progress
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.driver import compile
from netc.ir.graph import Array
from netc.ir.types import Shape, show
from netc.lower import NetState
from netc.ops.array import AnyArray
from netc.predict.boxes import COLUMNS, detections
from netc.predict.declared import declared_inputs


class Member(NamedTuple):
    """The absolute paths of a net's text and weights."""

    net: str
    weights: str | None

    @classmethod
    def of(
        cls, net: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None
    ) -> Member:
        """A member from paths, relative ones from the current folder.

        Raises:
            NetcError: bad-argument, for anything but a path: only paths can be sent to a worker.
        """
        for name, given in (("net", net), ("weights", weights)):
            if not isinstance(given, (str, os.PathLike)) and (name == "net" or given is not None):
                message = f"`{name}` of a predictor is a path, not a `{type(given).__name__}`"
                raise NetcError(Diagnostic("bad-argument", message))
        return cls(os.path.abspath(net), None if weights is None else os.path.abspath(weights))


class PredictorOptions(NamedTuple):
    """The arguments of :class:`netc.Predictor` as hashable, picklable values."""

    members: tuple[Member, ...]
    batch: int
    outputs: tuple[str, ...]
    dense: bool
    threads: int | None
    backend: str
    precision: str
    inputs: tuple[tuple[str, Shape], ...]
    missing: str
    define: tuple[tuple[str, str], ...]
    schema: tuple[str, ...]
    phase: str
    level: int
    stages: tuple[str, ...]
    allow_outside: bool
    max_memory: int | str | None

    @property
    def files(self) -> list[str]:
        """The paths of all texts, weights and schemas."""
        listed = [path for member in self.members for path in member if path is not None]
        return [*listed, *self.schema]


def own_shapes(member: Member, options: PredictorOptions) -> dict[str, Shape]:
    """Input blob that must be fed -> its shape with the batch, from the text or the options.

    Raises:
        NetcError: unknown-input-shape; not-per-row, for an input without axes.
    """
    state = NetState(options.phase, options.level, options.stages)
    known = declared_inputs(
        member.net,
        state,
        options.outputs,
        dict(options.inputs),
        define=dict(options.define),
        schema=options.schema,
    )
    found = {}
    for blob, value in known.inputs.items():
        if value.filler is not None or blob in known.unneeded:
            continue
        if value.shape is None:
            message = f"the text does not say the shape of input `{blob}`"
            help = (f"give it with --input-shape {blob}=1,3,HEIGHT,WIDTH",)
            raise NetcError(Diagnostic("unknown-input-shape", message, value.span, help=help))
        if not value.shape:
            message = f"input `{blob}` is one number, and rows are put through a net in batches"
            raise NetcError(Diagnostic("not-per-row", message, value.span))
        found[blob] = value.shape
    return found


def compiled_for(
    member: Member,
    options: PredictorOptions,
    shapes: Mapping[str, Shape],
    progress: Progress | None,
) -> CompiledNet:
    """The net compiled for inputs of these shapes; each output must have one entry per row.

    Raises:
        NetcError: not-per-row, where an output has no batch axis; what compiling raises.
    """
    net = compile(
        member.net,
        member.weights,
        define=dict(options.define),
        schema=options.schema or None,
        **compile_options(options, progress),
        inputs=shapes,
    )
    _check_rows(net, next(iter(shapes.values()))[0] if shapes else 1)
    return net


def compile_options(options: PredictorOptions, progress: Progress | None) -> dict[str, Any]:
    """A predictor's options as keyword arguments of :func:`netc.compile`, but text and shapes."""
    return {
        "backend": options.backend,
        "phase": options.phase,
        "level": options.level,
        "stages": options.stages,
        "outputs": options.outputs,
        "missing": options.missing,
        "threads": options.threads,
        "progress": progress,
        "precision": options.precision,
        "max_memory": options.max_memory,
        "allow_outside": options.allow_outside,
    }


def _check_rows(net: CompiledNet, batch: int) -> None:
    """Complain of outputs that are not one for each row.

    Raises:
        NetcError: not-per-row.
    """
    boxes = detections(net.graph)
    for name, shape in net.outputs.items():
        if name not in boxes and (not shape or shape[0] != batch):
            message = (
                f"output `{name}` is {show(shape)} for {batch} rows, and a row's answer must stand "
                "in its own row"
            )
            help = ("name the blobs to give back, such as --blob prob",)
            raise NetcError(
                Diagnostic("not-per-row", message, net.graph.values[name].span, help=help)
            )


@dataclass(frozen=True, eq=False)
class Ready:
    """A compiled net and the number of rows it computes at a time."""

    net: CompiledNet
    batch: int
    dense: bool = False

    @cached_property
    def boxes(self) -> frozenset[str]:
        """The outputs that are rows of boxes (DetectionOutput)."""
        return detections(self.net.graph)

    @cached_property
    def inputs(self) -> dict[str, Shape]:
        """Input blob -> the shape of one row; DummyData's blobs are not among them."""
        needed = self.net.needed
        names = self.net.graph.input_blobs
        return {b: s[1:] for b, s in self.net.inputs.items() if names[b] in needed}

    @cached_property
    def outputs(self) -> dict[str, Shape]:
        """Output blob -> the shape of a row."""
        shapes = self.net.outputs.items()
        if self.dense:
            return {name: shape[1:2] for name, shape in shapes}
        return {n: (0, COLUMNS - 1) if n in self.boxes else shape[1:] for n, shape in shapes}

    def __call__(self, feeds: Mapping[str, AnyArray]) -> dict[str, Any]:
        """Run rows through the net: output blob -> float32 (rows, ...), crops averaged."""
        if any(_ragged(column) for column in feeds.values()):
            return self._of_any_size({b: list(column) for b, column in feeds.items()})
        arrays = {blob: np.asarray(column) for blob, column in feeds.items()}
        crops = self._crops(arrays)
        if crops is None:
            return self._run(arrays)
        flat = {b: a.reshape(-1, *a.shape[2:]) for b, a in arrays.items()}
        return {n: self._mean(n, answer, crops) for n, answer in self._run(flat).items()}

    def _crops(self, arrays: Mapping[str, Array]) -> int | None:
        """How many crops a row has, where all inputs have one axis more than a row."""
        if any(a.ndim != 2 + len(self.inputs[b]) for b, a in arrays.items()) or not arrays:
            return None
        return int(next(iter(arrays.values())).shape[1])

    def _mean(self, name: str, answer: AnyArray, crops: int) -> Any:
        if name in self.boxes and crops > 1:
            message = f"`{name}` is boxes, and boxes of several crops cannot be averaged"
            raise NetcError(Diagnostic("not-per-row", message))
        if crops == 1:
            return answer
        grouped = answer.reshape(-1, crops, *answer.shape[1:])
        return grouped.mean(1, dtype=np.float64).astype(np.float32)

    def _run(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        rows = len(next(iter(arrays.values()))) if arrays else 0
        parts = [self._part(part, n) for part, n in self._parts(arrays, rows)]
        return {
            name: _joined([p[name] for p in parts], self.outputs[name]) for name in self.outputs
        }

    def _parts(
        self, arrays: Mapping[str, Array], rows: int
    ) -> Iterator[tuple[dict[str, Array], int]]:
        """The rows in batches; the last is filled up with its last row, so that one plan does."""
        for start in range(0, rows, self.batch):
            part = {blob: a[start : start + self.batch] for blob, a in arrays.items()}
            count = min(self.batch, rows - start)
            if count < self.batch and not self.dense:
                part = {b: _filled_up(a, self.batch) for b, a in part.items()}
            yield part, count

    def _part(self, feeds: Mapping[str, Array], count: int) -> dict[str, Any]:
        """One batch: each output's first ``count`` rows."""
        answers = self.net(feeds)
        found: dict[str, Any] = {}
        for name, answer in answers.items():
            if name in self.boxes:
                found[name] = _boxes(answer, count)
            elif self.dense and answer.ndim > 2:
                places = answer.reshape(*answer.shape[:2], -1)
                found[name] = places.mean(2, dtype=np.float64).astype(np.float32)[:count]
            else:
                found[name] = np.asarray(answer)[:count]
        return found

    def _of_any_size(self, feeds: Mapping[str, list[AnyArray]]) -> dict[str, AnyArray]:
        """Rows of several shapes: those of one shape together, the answers in the rows' order."""
        rows = len(next(iter(feeds.values())))
        groups: dict[tuple[Shape, ...], list[int]] = {}
        for row in range(rows):
            groups.setdefault(tuple(np.shape(c[row]) for c in feeds.values()), []).append(row)
        places = [row for group in groups.values() for row in group]
        parts = [
            self({b: np.stack([c[row] for row in group]) for b, c in feeds.items()})
            for group in groups.values()
        ]
        order = np.argsort(places, kind="stable")
        joined = {n: _joined([p[n] for p in parts], self.outputs[n]) for n in self.outputs}
        return {name: answer[order] for name, answer in joined.items()}


def _ragged(column: object) -> bool:
    """Whether rows are of several shapes, or are separate arrays that may be."""
    if isinstance(column, np.ndarray):
        return bool(column.dtype == object)
    return isinstance(column, (list, tuple))


def _filled_up(array: Array, rows: int) -> Array:
    more = np.broadcast_to(array[-1:], (rows - len(array), *array.shape[1:]))
    return np.concatenate([array, more])


def _joined(parts: Sequence[AnyArray], shape: Shape) -> AnyArray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty((0, *shape), np.float32)


def _boxes(answer: Array, count: int) -> object:
    """DetectionOutput's rows, those of each item apart; the item's number is left out."""
    rows = answer.reshape(-1, COLUMNS)
    found = np.empty(count, object)
    for item in range(count):
        found[item] = np.ascontiguousarray(rows[rows[:, 0] == item, 1:])
    return found
