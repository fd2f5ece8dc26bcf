"""Divides a cluster among the stages of a job: processes, CPUs, GPUs and threads."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError

WRITER = 0.05  # of a processor, that Ray counts for a task that writes a shard
_WRITTEN = 16  # processors whose answers one task can write


class Cluster(NamedTuple):
    """The cluster and the resources that the user asks for.

    Attributes:
        address: of a Ray cluster; None starts one on this machine for this run.
        workers: processes that hold the net; None for one per node, or per GPU.
        cpus: CPUs of a worker, also its threads; None divides three quarters of the cluster's.
        gpus: GPUs of a worker.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float | None = None
    gpus: float = 0.0


class StageResources(NamedTuple):
    """The resources of each stage: ``workers`` with ``cpus``, ``threads`` and ``gpus`` each.

    ``decoder`` is the CPUs of a decoding task, ``writers`` how many tasks write at a time.
    """

    workers: int
    cpus: float
    threads: int
    gpus: float
    decoder: float
    writers: int


def shared(cpus: float, gpus: float, nodes: int, cluster: Cluster) -> StageResources:
    """The resources of each stage on a cluster of this many CPUs, GPUs and nodes.

    Raises:
        NetcError: no-cluster, where the cluster has less than what is asked for.
    """
    workers = cluster.workers or (int(gpus // cluster.gpus) if cluster.gpus else max(1, nodes))
    own = cluster.cpus or 0.75 * cpus / max(1, workers)
    if not workers or workers * cluster.gpus > gpus or workers * own >= cpus:
        asked = f"{workers} workers of {own:g} processors and {cluster.gpus:g} GPUs"
        message = f"the cluster has {cpus:g} processors and {gpus:g} GPUs, too few for {asked}"
        help = ("decoding needs processors too: ask for fewer workers, or fewer processors",)
        raise NetcError(Diagnostic("no-cluster", message, help=help))
    threads = max(1, round(cluster.cpus or cpus / workers))
    left = (cpus - workers * own) / nodes
    writers = max(1, int(cpus // _WRITTEN))
    # Writers find a part that decoders cannot take, or answers would pile up until all is decoded.
    writing = min(WRITER * -(-writers // nodes), left / 2)
    return StageResources(workers, own, threads, cluster.gpus, min(1.0, left - writing), writers)
