"""A net, or an ensemble of nets, as one picklable object for batch inference.

A :class:`Predictor` pickles as paths and options: what is sent to a worker is small, and the worker
compiles the nets, once per process. It maps a dict of arrays whose first axis is the row to another
one, which is the interface that Ray Data, Spark's ``predict_batch_udf`` and Dask's
``map_partitions`` expect; it depends on none of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netc import arguments
from netc.backends.base import Progress
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape, show
from netc.ops.array import AnyArray
from netc.predict.awake import awake
from netc.predict.member import Member, PredictorOptions, Ready
from netc.recent import LeastRecentlyUsed

_MAX_PREDICTORS = 4  # predictors of a process whose nets stay compiled after they are gone
_AWAKE: LeastRecentlyUsed[object, tuple[Ready, ...]] = LeastRecentlyUsed(_MAX_PREDICTORS)
_WAKING = threading.Lock()

Columns = Mapping[str, Any]


class Predictor:
    """A compiled net that takes any number of rows, computed in batches of a fixed size.

    Args:
        net, weights: paths of a prototxt and its weights; None runs the layers' fillers.
        ensemble: further nets, as pairs of paths (net, weights); the outputs are the mean of all
            nets' outputs, summed in float64 in this order.
        batch: rows computed together; the last batch is padded, so that one memory plan suffices.
            A net that fixes its batch is run with that batch.
        outputs: the blobs to return; by default those that no layer reads.
        dense: run the net on images of any size as a fully convolutional net: inner products
            become convolutions, and outputs are averaged over height and width.
        threads: of the net; None for ``NETC_NUM_THREADS`` or the machine's cores.
        backend, precision, inputs, missing, define, schema, phase, level, stages, allow_outside,
            max_memory: as for :func:`netc.compile`; the first size in ``inputs`` is replaced by
            the batch.
        progress: called as (done, total, name) while kernels are compiled.

    Raises:
        NetcError: what :func:`netc.compile` raises; not-per-row, for a net with an output that
            has no entry for each row; bad-argument.
    """

    def __init__(
        self,
        net: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        *,
        ensemble: Sequence[tuple[str | os.PathLike[str], str | os.PathLike[str] | None]] = (),
        batch: int = 32,
        outputs: Sequence[str] = (),
        dense: bool = False,
        threads: int | None = None,
        backend: str = "cpu",
        precision: str = "float32",
        inputs: Mapping[str, Sequence[int]] | None = None,
        missing: str = "error",
        define: Mapping[str, str] | None = None,
        schema: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        phase: str = "TEST",
        level: int = 0,
        stages: Sequence[str] = (),
        allow_outside: bool = False,
        max_memory: int | str | None = None,
        progress: Progress | None = None,
    ) -> None:
        schemas = [schema] if isinstance(schema, (str, os.PathLike)) else schema
        self.options = PredictorOptions(
            members=tuple(Member.of(*pair) for pair in ((net, weights), *ensemble)),
            batch=_positive(batch),
            outputs=arguments.names(outputs, "outputs"),
            dense=bool(dense),
            threads=threads,
            backend=backend,
            precision=precision,
            inputs=tuple(sorted(arguments.shapes(inputs).items())),
            missing=missing,
            define=tuple(sorted(arguments.definitions(define).items())),
            schema=tuple(os.path.abspath(path) for path in schemas),
            phase=phase,
            level=level,
            stages=arguments.names(stages, "stages"),
            allow_outside=allow_outside,
            max_memory=max_memory,
        )
        self._ready: tuple[Ready, ...] | None = _woken(self.options, progress)

    def __getstate__(self) -> PredictorOptions:
        return self.options

    def __setstate__(self, state: PredictorOptions) -> None:
        self.options, self._ready = state, None

    @property
    def ready(self) -> tuple[Ready, ...]:
        """The compiled nets; after unpickling they are compiled on first use."""
        if self._ready is None:
            self._ready = _woken(self.options, None)
        return self._ready

    @property
    def inputs(self) -> dict[str, Shape]:
        """Input blob of the first net -> the shape of one row."""
        return dict(self.ready[0].inputs)

    @property
    def outputs(self) -> dict[str, Shape]:
        """Output blob -> the shape of one row; (0, 6) for boxes, whose number varies."""
        return dict(self.ready[0].outputs)

    @property
    def batch(self) -> int:
        """The number of rows that are computed together."""
        return self.ready[0].batch

    def __call__(self, columns: Columns, /) -> dict[str, Any]:
        """Run the forward pass on all rows.

        Args:
            columns: input blob -> array of (rows, *shape), or of (rows, crops, *shape), where the
                outputs are averaged over each row's crops. ``BLOB@1`` is the input of the second
                net of an ensemble, ``BLOB@2`` of the third, where it differs from the first
                net's. Columns that are no input are returned unchanged.

        Returns:
            Output blob -> float32 (rows, *shape), and the other columns. Boxes of DetectionOutput
            are an object array with a float32 (boxes, 6) for each row: class, score, left, top,
            right, bottom, the sides from 0 to 1 of the net's input.

        Raises:
            NetcError: missing-input; input-shape, also where an ensemble's outputs cannot be
                averaged; unknown-output, where another net of it lacks an output; input-dtype.
        """
        answers = [ready(_inputs(ready, columns, k)) for k, ready in enumerate(self.ready)]
        read = {
            name for k, r in enumerate(self.ready) for b in r.inputs for name in (b, f"{b}@{k}")
        }
        others = {name: column for name, column in columns.items() if name not in read}
        return {**others, **_mean(answers)}

    def __repr__(self) -> str:
        names = ", ".join(Path(member.net).name for member in self.options.members)
        return f"<Predictor of {names}, batches of {self.options.batch}>"


def _positive(batch: int) -> int:
    number = arguments.number(batch, "batch")
    if number < 1:
        raise NetcError(Diagnostic("bad-argument", f"`batch` is at least 1, not {number}"))
    return number


def _woken(options: PredictorOptions, progress: Progress | None) -> tuple[Ready, ...]:
    """The nets of these options, from this process's last ones if they are among them.

    An engine may send a predictor along with each task; a process compiles it once all the same.
    """
    key = (options, tuple(map(_identity, options.files)))
    with _WAKING:
        return _AWAKE.get(key, lambda: awake(options, progress))


def _identity(path: str) -> tuple[int, ...]:
    """What tells that a file has not changed."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _inputs(ready: Ready, columns: Columns, number: int) -> dict[str, AnyArray]:
    """The columns that a net of the ensemble reads, by its blobs."""
    found = {}
    for blob in ready.inputs:
        own = f"{blob}@{number}"
        name = own if number and own in columns else blob
        if name not in columns:
            message = f"input `{blob}` is not given; a row of it is {show(ready.inputs[blob])}"
            raise NetcError(Diagnostic("missing-input", message))
        found[blob] = columns[name]
    return found


def _mean(answers: Sequence[Mapping[str, AnyArray]]) -> dict[str, Any]:
    first, *others = answers
    if not others:
        return dict(first)
    return {name: _mean_of([first[name], *(_same(o, name) for o in others)]) for name in first}


def _same(answers: Mapping[str, object], name: str) -> Any:
    """The answer of a further net that is averaged with the first one's: of its name, or the only.

    Raises:
        NetcError: unknown-output.
    """
    if name not in answers and len(answers) != 1:
        listed = ", ".join(f"`{n}`" for n in answers)
        message = f"the first net gives `{name}`, and another of the ensemble gives {listed}"
        raise NetcError(Diagnostic("unknown-output", message))
    return answers.get(name, next(iter(answers.values())))


def _mean_of(arrays: Sequence[Array]) -> Array:
    """The mean, summed in float64 in the order of the nets.

    Raises:
        NetcError: input-shape, where nets give other shapes; boxes cannot be averaged.
    """
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or any(array.dtype == object for array in arrays):
        listed = " and ".join(sorted(map(str, shapes)))
        message = f"answers of an ensemble cannot be averaged: a row of them is {listed}"
        raise NetcError(Diagnostic("input-shape", message))
    total = np.zeros(arrays[0].shape, np.float64)
    for array in arrays:
        total += array
    return (total / len(arrays)).astype(np.float32)
