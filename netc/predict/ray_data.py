"""A run on Ray Data (extra `ray`): the same job on many processes and machines.

    ranges ──tasks: read, decode──▶ batches ──actors: Predictor──▶ answers ──tasks──▶ shards

A row of Ray's data set is a whole batch of records, pickled, with their numbers in it: batches
stay full whatever Ray does with blocks, and answers say which records they are of. Whoever writes a
shard writes its record too (see :mod:`netc.predict.store`), under a name that follows from the
records in it. So a task that is done again, since its process was killed, writes the same file
again; a run that was stopped knows what is done; and at the end each record has been answered once,
or it is an error.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import re
import socket
import sys
import tempfile
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from netc.boundary import reason
from netc.cache import cache_dir
from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.predict.answers import Keeper, answered
from netc.predict.arrow_rows import decoded_columns, decoded_row
from netc.predict.decode import Decoder
from netc.predict.job import Done, Job
from netc.predict.local import joined
from netc.predict.predictor import Predictor
from netc.predict.ray_share import WRITER, Cluster, StageResources, shared
from netc.predict.store import Store, iterate

_CHUNKS = 8  # parts of the work for each worker, at least, so that none waits long for another
_BLOCKS = 20_000  # of the list of parts, at most: Ray holds each apart
_BLOCK = 32 << 20  # bytes that go from stage to stage at a time, about
_ANSWERS = 10.0  # seconds that a cluster's head has to answer
_EVERY = 1.0  # seconds between looks at what is done
_PAYLOAD = "batch"


def ray_module() -> ModuleType:
    """The module ray, with Ray Data.

    Raises:
        NetcError: missing-package, where it is not installed.
    """
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    except ImportError:
        message = "running on Ray needs the package `ray` with Ray Data, which is not installed"
        help = ("pip install 'netc[ray]'",)
        raise NetcError(Diagnostic("missing-package", message, help=help)) from None
    return ray


def run_on_ray(job: Job, cluster: Cluster, done: Done) -> None:
    """Run the job's missing records on Ray's workers.

    Nets, weights, source and output must have the same paths on every machine.

    Args:
        job: the job.
        cluster: the cluster's address and the resources to use.
        done: called as shards are written.

    Raises:
        NetcError: no-cluster, where there is none or it lacks what is asked for; missing-package;
            what goes wrong in a worker.
    """
    ray = ray_module()
    aside = redirect_stdout(sys.stderr)  # what Ray prints of its processes is no result
    with aside, _connected(ray, cluster), _watching(job.store, done):
        share = _share(ray, cluster)
        try:
            _pipeline(ray, job, share).write_datasink(
                _sink(ray, job),
                ray_remote_args={"num_cpus": WRITER},
                concurrency=share.writers,
            )
        except Exception as error:
            raise _cause(error) from None


def _pipeline(ray: ModuleType, job: Job, share: StageResources) -> Any:
    """The data set of answers, nothing of which is computed yet."""
    chunk = _chunk(job, share)
    items = [
        {"first": first, "part": pickle.dumps(job.records.part(first, last))}
        for first, last in iterate(job.missing, chunk)
    ]
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = max(_BLOCK, 2 * job.batch * job.row_bytes)
    decoded = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS)).map_batches(
        _Decoding(job.decoder, job.batch), batch_size=1, num_cpus=share.decoder
    )
    return decoded.map_batches(
        _Answering,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_args=(dict(job.arguments), job.keeper, share.threads),
        compute=ray.data.ActorPoolStrategy(size=min(share.workers, max(1, len(items)))),
        num_cpus=share.cpus,
        **({"num_gpus": share.gpus} if share.gpus else {}),
    )


def _chunk(job: Job, share: StageResources) -> int:
    """Records that one task decodes: whole batches, at most a shard, so that all are at work."""
    total = sum(last - first for first, last in job.missing)
    least = -(-total // (share.workers * _CHUNKS))
    batches = max(1, min(job.rows, least) // job.batch)
    return batches * job.batch


# Stages


class _Decoding:
    """Reads and decodes parts, batch by batch: a stage of its own, of tasks."""

    def __init__(self, decoder: Decoder, batch: int) -> None:
        self.decoder, self.batch, self.__name__ = decoder, batch, "decode"

    def __call__(self, rows: Mapping[str, AnyArray]) -> Iterator[Any]:
        for first, content in zip(rows["first"], rows["part"], strict=True):
            part = pickle.loads(content)
            with _showing_progress():
                yield from map(decoded_row, self.decoder.batches(part, int(first), self.batch))


class _Answering:
    """Holds the net in an actor, with as many threads as it has processors."""

    def __init__(self, arguments: dict[str, Any], keeper: Keeper, threads: int) -> None:
        with once_a_node(), _showing_progress():
            self.predictor = Predictor(**arguments, threads=threads)
        self.keeper = keeper

    def __call__(self, rows: Any) -> dict[str, Any]:
        with _showing_progress():
            return _packed(answered(self.predictor, self.keeper, decoded_columns(rows)))


def _sink(ray: Any, job: Job) -> object:
    """What writes shards; a class of Ray's, which is made here since Ray is an extra."""
    store, keeper = job.store, job.keeper
    least = max(1, job.rows // job.batch)

    class Shards(ray.data.Datasink):  # type: ignore[misc]
        """Writes answers as shards."""

        def write(self, blocks: Iterable[object], ctx: object) -> None:
            """Write one shard of the batches of some blocks."""
            accessor = importlib.import_module("ray.data.block").BlockAccessor
            columns = (accessor.for_block(block).to_numpy(_PAYLOAD) for block in blocks)
            with _showing_progress():
                write_shard(store, keeper, [row for column in columns for row in column])

        @property
        def min_rows_per_write(self) -> int:
            """Batches of a shard."""
            return least

    return Shards()


def write_shard(store: Store, keeper: Keeper, batches: list[bytes]) -> None:
    """Write the pickled output columns of some batches as one shard, in record order."""
    if not batches:
        return
    parts = sorted(map(pickle.loads, batches), key=lambda columns: int(columns["index"][0]))
    store.write(keeper.labelled(joined(parts)))


def _packed(columns: Mapping[str, object]) -> dict[str, object]:
    """A batch as one row."""
    column = np.empty(1, object)
    column[0] = pickle.dumps(dict(columns), protocol=5)
    return {_PAYLOAD: column}


@contextmanager
def once_a_node() -> Iterator[None]:
    """A context that one process per machine enters at a time, so that kernels are compiled once.

    The others then find them in the cache. Without file locks each process compiles for itself.
    """
    folder = cache_dir()
    try:
        fcntl = importlib.import_module("fcntl")
        lock = None if folder is None else open(folder / "compiling.lock", "a")
    except (ImportError, OSError):
        lock = None
    if lock is None:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# The cluster


def _share(ray: ModuleType, cluster: Cluster) -> StageResources:
    """Spread a job on the cluster as it is.

    Processors are what Ray counts, so that decoding, which has tasks of its own, always gets some;
    a worker's threads are as many as its part of all of them.

    Raises:
        NetcError: no-cluster, where it lacks what is asked for.
    """
    has = ray.cluster_resources()
    nodes = sum(1 for node in ray.nodes() if node["Alive"])
    return shared(float(has.get("CPU", 0)), float(has.get("GPU", 0)), nodes, cluster)


@contextmanager
def _connected(ray: ModuleType, cluster: Cluster) -> Iterator[None]:
    """A connection for this run; one that is there already is used and left as it is."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what Ray would send elsewhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is told by errors
    check_address(cluster.address)
    options: dict[str, object] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address is None:
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        options.update(include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    with tempfile.TemporaryDirectory(prefix="netc-ray-") as folder:
        try:
            with _current(folder):
                ray.init(cluster.address or "local", **options)
        except Exception as error:
            message = f"no Ray cluster can be used: {reason(error)}"
            raise NetcError(Diagnostic("no-cluster", message)) from None
        try:
            yield
        finally:
            ray.shutdown()


def check_address(address: str | None) -> None:
    """Check that HOST:PORT accepts connections; Ray itself would wait for minutes.

    Raises:
        NetcError: no-cluster.
    """
    named = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:(\d{1,5})", address or "")
    if named is None:
        return
    try:
        socket.create_connection((named[1], int(named[2])), timeout=_ANSWERS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        message = f"no Ray cluster can be used: nobody answers at `{address}`: {reason(error)}"
        raise NetcError(Diagnostic("no-cluster", message)) from None


_ROOT = str(Path(__file__).resolve().parents[2])


@contextmanager
def _current(folder: str) -> Iterator[None]:
    """An empty folder as the current one, while Ray takes that over into its workers.

    They look for modules there, and a stranger's folder may have some (see docs/security.md).
    """
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _watching(store: Store, done: Done) -> Iterator[None]:
    """Tell of records as the shards that hold them appear."""
    seen = {shard.name for shard in store.done()}
    stop = threading.Event()

    def look() -> None:
        for shard in store.done(but=seen):
            seen.add(shard.name)
            done(sum(last - first for first, last in shard.ranges))

    def watch() -> None:
        while not stop.wait(_EVERY):
            with suppress(OSError):
                look()

    thread = threading.Thread(target=watch, name="netc progress", daemon=True)
    thread.start()
    try:
        yield
        look()
    finally:
        stop.set()
        thread.join()


class WorkerError(Exception):
    """Carries a NetcError out of a Ray worker.

    Ray wraps a worker's exception several times and keeps only its text, so that the diagnostics
    are encoded in the text.
    """


_MARK = "netc diagnostics: "


@contextmanager
def _showing_progress() -> Iterator[None]:
    """Let errors of netc's own reach who started the run; places in the net's text stay behind."""
    try:
        yield
    except NetcError as error:
        diagnostics = [replace(d, span=None, notes=()) for d in error.diagnostics]
        raise WorkerError(_MARK + b64encode(pickle.dumps(diagnostics)).decode()) from None


def _cause(error: Exception) -> Exception:
    """The error of netc's own that a worker told; else that the run ended, and how."""
    found = re.search(_MARK + "([A-Za-z0-9+/=]+)", str(error))
    if found:
        return NetcError(pickle.loads(b64decode(found[1])))
    if type(error).__module__.startswith("ray"):
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return NetcError(Diagnostic("no-cluster", f"the run on Ray ended: {lines[-1][:300]}"))
    return error
