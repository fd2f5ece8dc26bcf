"""Files that are nearly right: each is read, or refused with a located error.

In CI a few of each kind, the same in every run. To look for new ones, for a minute of each kind::

    pytest tests/fuzz -n 0 --fuzz-seconds 60

A find is made small and written to ``tests/fuzz/finds``, where it is a test from then on.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from netc.diagnostics import NetcError
from tests.fuzz.engine import FINDS, Target, change_bytes, explore, failure, keep, kind, smallest
from tests.fuzz.targets import TARGETS

KEPT = sorted(path for path in FINDS.rglob("*") if path.is_file() and path.parent != FINDS)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    target, seconds = TARGETS[name], request.config.getoption("--fuzz-seconds")
    if not target.seeds():
        pytest.skip(f"nothing here writes files for `{name}`: h5py, lmdb or onnx is not installed")
    seed = int(time.time()) if seconds else 0
    found = []
    for find in explore(target, seconds, seed, tmp_path / "current" if seconds else None):
        found.append(f"{keep(target, find.data)}: {kind(find.error)}: {str(find.error)[:300]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found(path: Path) -> None:
    TARGETS[path.parent.name].attempt(path.read_bytes())


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"difference"}))
def test_the_seeds_themselves(name: str) -> None:
    for data in TARGETS[name].seeds():
        TARGETS[name].attempt(data)


# The harness itself


def _no_word(data: bytes) -> None:
    if b"bad" in data:
        raise KeyError("bad")
    if b"refused" in data:
        raise NetcError(())


def test_a_find_is_made_small_and_told_once() -> None:
    def put_in(rng: random.Random, data: bytes) -> bytes:
        return change_bytes(rng, data) + b" a bad thing " + rng.randbytes(9)

    target = Target("none", lambda: [b"x" * 50], _no_word, put_in, 30)
    (found,) = explore(target, 0, 0)
    assert found.data == b"bad" and isinstance(found.error, KeyError)
    assert smallest(target, b"12345badbad6789", kind(found.error)) == b"bad"
    assert failure(target, b"good") is None


def test_files_are_the_same_in_every_run() -> None:
    seen: list[list[bytes]] = []
    for _ in range(2):
        seen.append([])
        for name in ("caffemodel", "prototxt"):
            target = TARGETS[name]
            recording = Target(name, target.seeds, seen[-1].append, target.mutate, 20)
            assert list(explore(recording, 0, 0)) == []
    assert seen[0] == seen[1] and len(seen[0]) == 40 and len(set(seen[0])) > 30
