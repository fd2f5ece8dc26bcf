"""Gradients summed by NCCL, with arrays and a library that stand for CuPy's."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from netc.ops.ranks import Slot
from netc.ranks.local import LocalRanks
from netc.ranks.nccl import NcclRanks
from tests.solver.test_ranks import on_ranks


class Pointed(np.ndarray[Any, Any]):
    """An array that can be found again by its address, as a device's memory can."""

    known: ClassVar[dict[int, np.ndarray[Any, Any]]] = {}

    @property
    def data(self) -> Any:  # type: ignore[override]
        address = self.ctypes.data
        Pointed.known[address] = self
        return SimpleNamespace(ptr=address)


class FakeLibrary:
    """Of one run: NCCL's calls as NCCL documents them, on arrays found by address."""

    NCCL_FLOAT32, NCCL_SUM, available = 7, 0, True

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.entries: list[Any] = [None] * size
        self.ids: list[Any] = []

    def get_unique_id(self) -> tuple[int, ...]:
        return tuple(range(-64, 64))

    def NcclCommunicator(self, size: int, unique: Any, rank: int) -> Any:  # noqa: N802
        self.ids.append(unique)
        return FakeCommunicator(self, rank)


class FakeCommunicator:
    def __init__(self, library: FakeLibrary, rank: int) -> None:
        self.library, self.rank = library, rank

    def _all(self, array: Any) -> list[Any]:
        self.library.entries[self.rank] = array.copy()
        self.library.barrier.wait()
        found = list(self.library.entries)
        self.library.barrier.wait()
        return found

    def allReduce(  # noqa: N802
        self, send: int, receive: int, count: int, kind: int, operation: int, stream: int
    ) -> None:
        assert (kind, operation, stream) == (7, 0, 99)
        found = self._all(Pointed.known[send][:count])
        Pointed.known[receive][:count] = sum(reversed(found))  # an order of its own

    def allGather(  # noqa: N802
        self, send: int, receive: int, count: int, kind: int, stream: int
    ) -> None:
        assert (kind, stream) == (7, 99)
        found = self._all(Pointed.known[send].reshape(-1)[:count])
        Pointed.known[receive].reshape(-1)[: count * len(found)] = np.concatenate(found)


class FakeStream:
    ptr = 99

    def __init__(self, order: list[str], name: str) -> None:
        self.order, self.name = order, name

    def record(self) -> str:
        self.order.append(f"{self.name} records")
        return f"event of {self.name}"

    def wait_event(self, event: str) -> None:
        self.order.append(f"{self.name} waits for {event}")

    def __enter__(self) -> None:
        self.order.append("sum")

    def __exit__(self, *_: Any) -> None:
        pass


def fake_arrays(order: list[str], used: list[int]) -> Any:
    own = FakeStream(order, "net")
    device = lambda number: SimpleNamespace(use=lambda: used.append(number))  # noqa: E731
    cuda = SimpleNamespace(
        Device=device,
        runtime=SimpleNamespace(getDeviceCount=lambda: 2),
        Stream=lambda non_blocking: FakeStream(order, "sums"),
        get_current_stream=lambda: own,
    )
    return SimpleNamespace(
        cuda=cuda,
        empty=lambda shape, kind: np.empty(shape, kind).view(Pointed),
        concatenate=lambda parts: np.concatenate(parts).view(Pointed),
    )


GRADIENTS = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)


@pytest.mark.parametrize("in_order", (False, True))
def test_means_of_gradients_alone_and_packed(in_order: bool) -> None:
    library, used, orders = FakeLibrary(3), [], [[], [], []]  # type: ignore[var-annotated]

    def run(host: LocalRanks) -> list[Any]:
        arrays = fake_arrays(orders[host.rank], used)
        ranks = NcclRanks(host, in_order=in_order, arrays=arrays, nccl=library)
        mine = GRADIENTS[host.rank]
        alone = mine[:5].copy().view(Pointed)
        first, second = (mine[a:b].copy().view(Pointed) for a, b in ((5, 6), (6, 8)))
        for _ in range(2):  # a bucket is used again in each iteration
            alone[...], first[...], second[...] = mine[:5], mine[5:6], mine[6:]
            ranks.start(Slot(0), alone)
            ranks.start(Slot(1, 0, 2), first)
            ranks.start(Slot(1, 1, 2), second.reshape(2, 1))
            found = [ranks.finish(s) for s in (Slot(0), Slot(1, 0, 2), Slot(1, 1, 2))]
        assert found[0] is alone and found[2].shape == (2, 1)
        return [np.asarray(array).reshape(-1) for array in found]

    want = (GRADIENTS[0] + GRADIENTS[1] + GRADIENTS[2]) * np.float32(1 / 3)
    for got in on_ranks(3, run):
        np.testing.assert_allclose(np.concatenate(got), want, rtol=1e-6)
        if in_order:
            np.testing.assert_array_equal(np.concatenate(got), want)
    assert sorted(used) == [0, 0, 1]  # ranks of one machine share its devices
    assert set(library.ids) == {tuple(range(-64, 64))}
    assert orders[0][:5] == [
        "net records",
        "sums waits for event of net",
        "sum",
        "sums records",
        "net records",
    ]
    assert "net waits for event of sums" in orders[0]


def test_a_cupy_without_nccl_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy", exc_type=ImportError)
    from netc.diagnostics import NetcError
    from netc.ranks import nccl

    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    monkeypatch.setattr("cupy.cuda.nccl", SimpleNamespace(available=False), raising=False)
    with pytest.raises(NetcError, match="this CuPy has no NCCL"):
        nccl._nccl()
