"""Plans a job from the arguments of `netc predict`: source, preprocessing, outputs and shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.images import Preprocessing
from netc.ir.types import Shape, count, show
from netc.lower import NetState
from netc.predict.answers import Keeper, Wanted
from netc.predict.declared import DeclaredInputs, declared_inputs
from netc.predict.decode import Decoder, ImageInput
from netc.predict.job import Job
from netc.predict.member import Member
from netc.predict.prepare import ImageOptions, preprocessing, transform_of
from netc.predict.records.base import Records
from netc.predict.records.open import open_records
from netc.predict.store import Run, Store

SHARD_ROWS = 4096  # records of a shard, at most, where it is not said
_SHARD_BYTES = 64 << 20  # of a shard's answers, about, where its rows are not said
_CROPS = {"center": 1, "flip": 2, "ten": 10}


@dataclass(frozen=True)
class PredictRequest:
    """The arguments of ``netc predict``; see its ``--help``.

    ``predictor`` has keyword arguments of :class:`netc.Predictor`, except nets and outputs.
    """

    net: str
    weights: str | None
    source: str
    target: Path
    format: str
    one_file: bool
    ensemble: Sequence[tuple[str, str | None]] = ()
    blobs: Sequence[str] = ()
    top: int | None = None
    labels: Sequence[str] = ()
    least: float = 0.0
    images: ImageOptions = field(default_factory=ImageOptions)
    dense: bool = False
    column: str | None = None
    shard_rows: int | None = None
    strict: bool = False
    memory: int | None = None
    predictor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def members(self) -> list[tuple[str, str | None]]:
        """The paths of all nets, each with its weights."""
        return [(self.net, self.weights), *self.ensemble]

    @property
    def state(self) -> NetState:
        """The NetState of all nets."""
        given = self.predictor
        stages = tuple(given.get("stages", ()))
        return NetState(given.get("phase", "TEST"), given.get("level", 0), stages)

    def declared(self, net: str, outputs: Sequence[str]) -> DeclaredInputs:
        """The declared inputs of a net, for some outputs."""
        given = self.predictor
        return declared_inputs(
            net,
            self.state,
            outputs,
            given.get("inputs"),
            define=given.get("define"),
            schema=given.get("schema"),
        )

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :class:`netc.Predictor` except threads and progress; full paths."""
        outputs = tuple(self.blobs)
        if self.blobs and self.top is not None:
            outputs = tuple(dict.fromkeys((*self.declared(self.net, ()).outputs, *self.blobs)))
        (net, weights), *ensemble = (Member.of(*pair) for pair in self.members)
        return {
            "net": net,
            "weights": weights,
            "ensemble": tuple(map(tuple, ensemble)),
            "outputs": outputs,
            "dense": self.dense,
            **self.predictor,
        }


def planned(
    request: PredictRequest, shapes: Mapping[str, Shape], boxes: frozenset[str], batch: int
) -> tuple[Job, Run]:
    """The job with all records missing, and the run's description for the manifest.

    Args:
        request: the arguments.
        shapes: output blob -> the shape of one row.
        boxes: the outputs that are rows of boxes.
        batch: records per batch.

    Raises:
        NetcError: input-format, where the source is empty or does not fit; what reading it raises.
    """
    arguments = request.arguments()
    known = [request.declared(net, arguments["outputs"]) for net, _ in request.members]
    fed = _fed(known[0])
    records = open_records(request.source, tuple(fed), request.column)
    if not len(records):
        raise NetcError(Diagnostic("input-format", f"`{request.source}` has no records"))
    images = _images(request, known, records)
    decoder = Decoder(
        images,
        {blob: shape[1:] for blob, shape in fed.items()},
        known[0].said,
        request.strict,
        request.memory,
    )
    wanted = Wanted(
        5 if request.top is None else request.top,
        tuple(request.blobs),
        tuple(request.labels),
        request.least,
    )
    keeper = Keeper(dict(shapes), boxes, wanted)
    store = Store(request.target, request.one_file, request.format, keeper.fields())
    rows = _rows(request, shapes, batch)
    size = _row_bytes(images, fed)
    job = Job(records, decoder, keeper, store, rows, batch, size, [], arguments)
    return job, _run(request, job)


def _fed(known: DeclaredInputs) -> dict[str, Shape]:
    """Each input that must be fed -> its shape."""
    return {
        blob: value.shape
        for blob, value in known.inputs.items()
        if value.filler is None and blob not in known.unneeded and value.shape is not None
    }


def _images(
    request: PredictRequest, known: Sequence[DeclaredInputs], records: Records
) -> tuple[ImageInput, ...]:
    """How images become the input of each net; empty where records are arrays.

    Raises:
        NetcError: ambiguous-input, input-shape; bad-argument, for options of images with arrays.
    """
    if records.images is False:
        _fed_as_they_are(request)
        return ()
    found: list[ImageInput] = []
    for number, declared in enumerate(known):
        blob, how = _image_input(request, declared, records)
        if how is not None:
            column = f"{blob}@{number}" if number else blob
            found.append(ImageInput(column, how, request.dense))
    return tuple(found) if len(found) == len(known) else ()


def _fed_as_they_are(request: PredictRequest) -> None:
    given = {
        entry.name: getattr(request.images, entry.name)
        for entry in fields(ImageOptions)
        if entry.name != "allow_outside"
    }
    given["dense"] = request.dense or None
    if given["crops"] == "center":  # what `--augment none` says
        given["crops"] = None
    said = [_OPTIONS.get(name, f"`{name}`") for name, value in given.items() if value is not None]
    if said:
        message = f"`{request.source}` has arrays, which are fed as they are"
        help = (f"leave out what is said of images: {', '.join(said)}",)
        raise NetcError(Diagnostic("bad-argument", message, help=help))


_OPTIONS = {
    "mean": "--mean",
    "scale": "--scale",
    "raw_scale": "--raw-scale",
    "channel_order": "--channel-order",
    "resize": "--resize",
    "crops": "--augment or --crops",
    "dense": "--dense",
}


def _image_input(
    request: PredictRequest, known: DeclaredInputs, records: Records
) -> tuple[str, Preprocessing | None]:
    fed = _fed(known)
    if len(fed) != 1:
        if records.images is None:
            return "", None
        listed = ", ".join(f"`{n}` {show(s)}" for n, s in fed.items()) or "none"
        message = f"`{request.source}` has images, and the net's inputs are: {listed}"
        help = ("give all inputs as arrays of an .npz, HDF5 or Parquet file",)
        raise NetcError(Diagnostic("ambiguous-input", message, help=help))
    blob, shape = next(iter(fed.items()))
    if records.images is None and (len(shape) != 4 or shape[1] not in (1, 3)):
        return blob, None
    if request.dense and request.images.resize is None:
        message = "a dense evaluation needs the size of images: --resize SHORT or HEIGHT,WIDTH"
        raise NetcError(Diagnostic("bad-argument", message))
    return blob, preprocessing(shape, request.images, transform_of(blob, known.said))


def _rows(request: PredictRequest, shapes: Mapping[str, Shape], batch: int) -> int:
    """Records of a shard: as asked, else as many as keep its answers small; whole batches."""
    row = 4 * sum(map(count, shapes.values())) or 1
    rows = request.shard_rows or max(1, min(SHARD_ROWS, _SHARD_BYTES // row))
    return -(-rows // batch) * batch


def _row_bytes(images: Sequence[ImageInput], fed: Mapping[str, Shape]) -> int:
    if not images:
        return 4 * sum(count(shape[1:]) for shape in fed.values())
    sizes = []
    for image in images:
        how = image.how
        height, width = how.size
        if image.any_size:
            resize = how.resize if isinstance(how.resize, tuple) else (int(how.resize or 1),) * 2
            height, width = int(resize[0]), int(resize[1]) * 2
        sizes.append(4 * _CROPS[how.crops] * how.channels * height * width)
    return sum(sizes)


# What a run is: output of another one is not gone on with


def _run(request: PredictRequest, job: Job) -> Run:
    """What an output depends on, as plain values; not how fast or where it is made."""
    given = {k: v for k, v in request.predictor.items() if k not in _FAST and v not in _UNSAID}
    return {
        "net": [_file(net) for net, _ in request.members],
        "weights": [_file(weights) for _, weights in request.members],
        "source": {"records": len(job.records), "identity": job.records.identity()},
        "inputs": [_described(image) for image in job.decoder.images],
        "answers": {
            "outputs": {name: list(shape) for name, shape in job.keeper.shapes.items()},
            "top": job.keeper.wanted.top,
            "blobs": list(request.blobs),
            "labels": _hash("\n".join(request.labels).encode("utf-8", "surrogateescape")),
            "threshold": request.least,
        },
        "options": json.loads(json.dumps({**given, "dense": request.dense}, default=str)),
        "format": {"format": request.format, "shard_rows": job.rows},
    }


_FAST = frozenset({"batch", "max_memory", "threads", "allow_outside"})
_UNSAID: tuple[object, ...] = (None, (), [], {}, 0, False)


def _file(path: str | None) -> Any:
    """A file's name and what it holds; NetcError is left to whoever reads it."""
    if path is None:
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"file": Path(path).name, "sha256": digest.hexdigest()}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _described(image: ImageInput) -> dict[str, object]:
    told: dict[str, Any] = {"column": image.column, "any_size": image.any_size}
    for entry in fields(image.how):
        value = getattr(image.how, entry.name)
        if isinstance(value, np.ndarray):
            value = _hash(str(value.shape).encode() + np.ascontiguousarray(value).tobytes())
        told[entry.name] = list(value) if isinstance(value, tuple) else value
    return told
