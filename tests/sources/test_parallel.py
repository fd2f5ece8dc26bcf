"""Records that several threads read: the same batches, whatever their number."""

from __future__ import annotations

import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError, Source
from netc.driver import read_net
from netc.image_files import PILLOW_QUIET
from netc.lower.rules import NetState
from netc.memory import Budget, using
from netc.sources import parallel
from netc.sources.base import draws
from netc.sources.catalog import NetSources, open_sources
from netc.sources.parallel import Readers

TEXT = """layer {{ name: "d" type: "ImageData" top: "d" top: "l"
    transform_param {{ mirror: true crop_size: 20 scale: 0.5 {more} }}
    image_data_param {{ source: "list.txt" batch_size: 6 shuffle: true }} }}"""


@pytest.fixture(autouse=True)
def small_records_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_WORTH", 1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for number in range(10):
        pixels = random.integers(0, 256, (24, 28, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    lines = [f"{number}.png {number % 3}\n" for number in range(10)]
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


def opened(folder: Path, threads: int, monkeypatch: pytest.MonkeyPatch, **more: bool) -> NetSources:
    monkeypatch.setenv("NETC_NUM_THREADS", str(threads))
    message = read_net(Source("n", TEXT.format(more=""))).message
    found = open_sources(message, NetState("TRAIN"), folder, seed=5, **more)
    assert found is not None
    return found


@pytest.mark.parametrize("threads", [2, 5])
def test_batches_do_not_depend_on_the_number_of_threads(
    pictures: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = (opened(pictures, n, monkeypatch) for n in (1, threads))
    for position in (0, 1, 2, 3, 7, 0):
        mine, theirs = one(position), many(position)
        for top in ("d", "l"):
            np.testing.assert_array_equal(mine[top], theirs[top])


@pytest.mark.parametrize("threads", [1, 4])
def test_broken_records_are_replaced_alike(
    pictures: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (2, 3, 8):
        (pictures / f"{number}.png").write_bytes(b"no picture")
    one, many = (opened(pictures, n, monkeypatch, skip_broken=True) for n in (1, threads))
    for position in range(3):
        np.testing.assert_array_equal(one(position)["d"], many(position)["d"])
    assert one.broken is not None and many.broken is not None
    assert set(one.broken) == set(many.broken)
    assert len(many.broken) == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_broken_record_of_a_batch_is_told(
    pictures: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.format(more="").replace("shuffle: true", "")
    for number in (3, 4, 5):
        (pictures / f"{number}.png").write_bytes(b"no picture")
    monkeypatch.setenv("NETC_NUM_THREADS", str(threads))
    found = open_sources(read_net(Source("n", text)).message, NetState("TRAIN"), pictures)
    assert found is not None
    with pytest.raises(NetcError, match="line 4 of"):
        found(0)


def test_several_work_at_once_and_results_are_in_order() -> None:
    seen: set[int] = set()
    barrier = threading.Barrier(3, timeout=20)

    def read(place: int) -> np.ndarray:
        if place:
            barrier.wait()
        seen.add(threading.get_ident())
        return np.full(100, place)

    found = Readers(3).read(7, read)
    assert [array[0] for array in found] == list(range(7))
    assert len(seen) == 4


def test_small_records_are_read_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_WORTH", 1 << 16)
    own = threading.get_ident()
    found = Readers(3).read(5, lambda place: (np.zeros(10), threading.get_ident() == own))
    assert all(mine for _, mine in found)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_records(count: int) -> None:
    assert Readers(3).read(count, lambda place: place) == list(range(count))


def test_what_a_record_raises_is_raised_and_nothing_more_is_begun() -> None:
    begun = []

    def read(place: int) -> np.ndarray:
        begun.append(place)
        if place == 2:
            raise ValueError("the second")
        if place > 2:
            time.sleep(0.01)
        return np.zeros(100)

    with pytest.raises(ValueError, match="the second"):
        Readers(2).read(500, read)
    time.sleep(0.05)
    assert len(begun) < 100


def test_limits_of_memory_hold_in_every_thread() -> None:
    from netc.memory import check_memory

    def read(place: int) -> np.ndarray:
        if place > 1:
            check_memory(1 << 30, "a record")
        return np.zeros(100)

    with using(Budget(1 << 28)), pytest.raises(NetcError, match="a record"):
        Readers(2).read(4, read)


def test_filters_of_warnings_are_as_before_when_all_have_decoded() -> None:
    before = list(warnings.filters)
    barrier = threading.Barrier(2, timeout=20)

    def decode() -> None:
        barrier.wait()
        for _ in range(200):
            with PILLOW_QUIET:
                pass

    threads = [threading.Thread(target=decode) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.parametrize("counters", [(0,), (3, 4), (1 << 32, 5), ((1 << 40) + 3, 0)])
def test_what_is_drawn_follows_from_the_words_alone(counters: tuple[int, ...]) -> None:
    words = [3, 1, *b"data", *counters]
    want = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
    got = draws((1 << 32) + 3, "data", *counters)
    np.testing.assert_array_equal(got.integers(1 << 60, size=9), want.integers(1 << 60, size=9))
