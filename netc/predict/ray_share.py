"""How a job is spread on a cluster: processes, processors and threads of each stage."""

from __future__ import annotations

from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError

WRITER = 0.05  # of a processor, that Ray counts for a task that writes a shard
_WRITTEN = 16  # processors whose answers one task can write


class Cluster(NamedTuple):
    """How a job is spread.

    Attributes:
        address: of a Ray cluster; None for one of this machine, for this run.
        workers: processes that hold the net; None for one a node, or one a GPU.
        cpus: of a worker, which are its threads; None for three quarters of the cluster's, shared.
        gpus: of a worker.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float | None = None
    gpus: float = 0.0


class Share(NamedTuple):
    """What each stage gets: workers, their processors, threads and GPUs, a decoder's part, and how
    many write at a time."""

    workers: int
    cpus: float
    threads: int
    gpus: float
    decoder: float
    writers: int


def shared(cpus: float, gpus: float, nodes: int, cluster: Cluster) -> Share:
    """The share of a cluster of so many processors, GPUs and nodes.

    Raises:
        NetcError: no-cluster.
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
    return Share(workers, own, threads, cluster.gpus, min(1.0, left - writing), writers)
