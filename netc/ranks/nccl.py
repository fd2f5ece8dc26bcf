"""Ranks with a GPU each: gradients are summed by NCCL, everything else goes by MPI.

NCCL's sums run on a stream of their own, behind an event that says that the gradients are there;
the stream of the net waits for an event that says that the means are. NCCL's unique id is carried
to all ranks by MPI, as NVIDIA's documentation has it ("Using NCCL with MPI"); CuPy wraps both.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType
from typing import Protocol, cast

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray
from netc.ops.ranks import Ranks, Slot


class _DeviceBucket:
    """Gradients of one message, on the device.

    ``flat`` is the only gradient itself, or all of them one after the other.
    """

    def __init__(self, count: int) -> None:
        self.gradients: dict[int, AnyArray] = {}
        self.count = count
        self.flat: AnyArray = np.empty(0, np.float32)
        self.summed: object = None

    def part(self, index: int) -> AnyArray:
        """A gradient's elements in ``flat``."""
        begin = sum(self.gradients[i].size for i in range(index))
        return self.flat[begin : begin + self.gradients[index].size]


class _Communicator(Protocol):
    """cupy.cuda.nccl.NcclCommunicator: addresses, counts, and NCCL's numbers of kinds."""

    def allReduce(  # noqa: N802
        self, send: int, receive: int, count: int, kind: int, operation: int, stream: int
    ) -> None: ...

    def allGather(  # noqa: N802
        self, send: int, receive: int, count: int, kind: int, stream: int
    ) -> None: ...


class Host(Ranks, Protocol):
    """Ranks that can also communicate in host memory, such as those of MPI."""

    def neighbours(self) -> int:
        """The number of ranks on this machine."""

    def local_rank(self) -> int:
        """This rank's number among those of its machine, from 0."""

    def abort(self) -> None:
        """End all ranks."""


class NcclRanks:
    """Ranks with a GPU each: gradients are averaged by NCCL.

    Args:
        host: carries NCCL's unique id and everything but gradients.
        in_order: sum in the order of the ranks, so that results do not depend on how the GPUs are
            connected as NCCL's own order does; every rank then receives all gradients.
        arrays: the module cupy, or a substitute.
        nccl: the module cupy.cuda.nccl, or a substitute.

    Raises:
        NetcError: missing-package, where CuPy was built without NCCL.
    """

    def __init__(
        self,
        host: Host,
        *,
        in_order: bool = False,
        arrays: ModuleType | None = None,
        nccl: ModuleType | None = None,
    ) -> None:
        self.rank, self.size, self._host = host.rank, host.size, host
        self.gather, self.broadcast, self.meet = host.gather, host.broadcast, host.meet
        self.neighbours, self.abort = host.neighbours, host.abort
        self._arrays, self._nccl = arrays or _cupy(), nccl or _nccl()
        self._in_order = in_order
        cuda = self._arrays.cuda
        cuda.Device(host.local_rank() % max(1, cuda.runtime.getDeviceCount())).use()
        self._communicator = self._connected()
        self._stream = cuda.Stream(non_blocking=True)
        self._buckets: dict[int, _DeviceBucket] = {}

    def shared_memory(self, elements: int, reserved: bool = False) -> None:
        """None: gradients and parameters are on the devices."""

    def _connected(self) -> _Communicator:
        """NCCL's communicator, by the id that rank 0 makes."""
        made = self._nccl.get_unique_id() if self.rank == 0 else (0,) * 128
        unique = np.array(made, np.int8)
        self.broadcast(unique)
        number = tuple(map(int, unique))
        communicator: _Communicator = self._nccl.NcclCommunicator(self.size, number, self.rank)
        return communicator

    def start(self, at: Slot, gradient: AnyArray) -> None:
        """Hand over a gradient on the device; the last one of a bucket starts its sum."""
        bucket = self._buckets.get(at.bucket)
        if bucket is None or len(bucket.gradients) == bucket.count:
            bucket = self._buckets[at.bucket] = _DeviceBucket(at.members)
        bucket.gradients[at.place] = gradient
        if len(bucket.gradients) == at.members:
            self._sum(bucket)

    def _sum(self, bucket: _DeviceBucket) -> None:
        parts = [bucket.gradients[i].reshape(-1) for i in range(bucket.count)]
        bucket.flat = parts[0] if bucket.count == 1 else self._arrays.concatenate(parts)
        self._stream.wait_event(self._arrays.cuda.get_current_stream().record())
        with self._stream:
            if self._in_order:
                self._sum_in_order(bucket.flat)
            else:
                self._all_reduce(bucket.flat)
            bucket.flat *= np.float32(1 / self.size)
            bucket.summed = self._stream.record()

    def _all_reduce(self, flat: AnyArray) -> None:
        kind, total = self._nccl.NCCL_FLOAT32, self._nccl.NCCL_SUM
        at, stream = _address(flat), self._stream.ptr
        self._communicator.allReduce(at, at, flat.size, kind, total, stream)

    def _sum_in_order(self, flat: AnyArray) -> None:
        """Every rank takes all gradients, and adds them up in the order of the ranks."""
        rows = self._arrays.empty((self.size, flat.size), np.float32)
        kind, stream = self._nccl.NCCL_FLOAT32, self._stream.ptr
        self._communicator.allGather(_address(flat), rows.data.ptr, flat.size, kind, stream)
        flat[...] = rows[0]
        for row in rows[1:]:
            flat += row

    def finish(self, at: Slot) -> AnyArray:
        """A gradient's mean; the current stream waits for it, the host does not."""
        bucket = self._buckets[at.bucket]
        self._arrays.cuda.get_current_stream().wait_event(bucket.summed)
        gradient = bucket.gradients[at.place]
        if at.members > 1:
            gradient[...] = bucket.part(at.place).reshape(gradient.shape)
        return gradient


class _Lent(Protocol):
    """Of a CuPy array's memory."""

    ptr: int


def _address(array: AnyArray) -> int:
    return cast(_Lent, array.data).ptr


def _cupy() -> ModuleType:
    return import_module("cupy")


def _nccl() -> ModuleType:
    with warnings.catch_warnings():  # CuPy warns at some length where the library is missing
        warnings.simplefilter("ignore")
        nccl = import_module("cupy.cuda.nccl")
    if not getattr(nccl, "available", False):
        message = "this CuPy has no NCCL, which sums gradients over GPUs"
        help = ("pip install nvidia-nccl-cu12 (or -cu13, as CuPy's own version)",)
        raise NetcError(Diagnostic("missing-package", message, help=help))
    return nccl
