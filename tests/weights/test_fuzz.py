"""Damaged files: an answer or a NetcError, never a crash, never memory beyond the file's size."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.weights import Weights, load_mean, load_weights, save_weights
from tests.weights.oracle import LooseBlobProto, Net

ROOT = Path(__file__).resolve().parent.parent.parent


def seeds() -> dict[str, bytes]:
    """A small file of each kind."""
    new, old, oldest = Net(name="new"), Net(name="old"), Net()
    layer = new.layer.add(name="ip", type="InnerProduct")
    layer.blobs.add(data=[1, 2, 3, 4], shape={"dim": [2, 2]})
    layer.blobs.add(double_data=[1, 2], shape={"dim": [2]})
    layer.blobs.add(raw_data=b"12345678", raw_data_type=2, shape={"dim": [4]})
    layer = old.layers.add(name="conv", type=4)
    layer.blobs.add(num=2, channels=1, height=1, width=1, data=[1, 2])
    oldest.layers.add().layer.name = "fc"
    oldest.layers[0].layer.blobs.add(num=1, channels=1, height=1, width=1, data=[1])
    loose = LooseBlobProto(data=range(40), shape={"dim": [40]}).SerializeToString()
    run = b"\xa2\x06" + bytes([len(loose) + 3, 1]) + b"\x3a" + bytes([len(loose), 1]) + loose
    return {
        "V2": new.SerializeToString(),
        "V1": old.SerializeToString(),
        "V0": oldest.SerializeToString(),
        "loose": run,
    }


SEEDS = seeds()


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The data with a few bytes changed, taken out, doubled or put in."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(out) - 1)))
        end = min(len(out), at + draw(st.integers(0, 8)))
        kind = draw(st.sampled_from(("set", "cut", "insert", "double", "end")))
        if kind == "set" and out:
            out[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del out[at:end]
        elif kind == "insert":
            out[at:at] = draw(st.binary(max_size=8))
        elif kind == "double":
            out[at:at] = out[at:end]
        else:
            del out[at:]
    return bytes(out)


def attempt(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for load in (load_weights, load_mean):
        try:
            found = load(path)
        except NetcError as error:
            assert str(error) and error.diagnostics[0].code
        else:
            size = found.nbytes
            assert size <= 16 * len(data) + (2**28 if data[:2] == b"PK" else 0)


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_caffemodels(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "net.caffemodel"

    @given(data=damaged(SEEDS[kind]))
    @settings(max_examples=400, deadline=None)
    def check(data: bytes) -> None:
        attempt(path, data)

    check()


def test_damaged_npz(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "net.npz"
    save_weights(path, {"a/b": [[1, 2]], "c": [[[1], [2]], 3]})

    @given(data=damaged(path.read_bytes()))
    @settings(max_examples=300, deadline=None)
    def check(data: bytes) -> None:
        attempt(path, data)

    check()


@given(data=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    attempt(tmp_path_factory.mktemp("any") / "net", data)


# The HDF5 library is not ours: it is tried in a process of its own, many files in one.
HDF5 = """
import random, sys
from netc.diagnostics import NetcError
from netc.weights import load_weights
data = open(sys.argv[1], "rb").read()
rng = random.Random(5)
for _ in range(300):
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    if rng.random() < 0.2:
        del out[rng.randrange(len(out)):]
    with open(sys.argv[2], "wb") as file:
        file.write(out)
    try:
        load_weights(sys.argv[2])
    except NetcError:
        pass
print("done")
"""


def test_damaged_hdf5(tmp_path: Path) -> None:
    save_weights(tmp_path / "net.h5", {"a/b": [[1, 2]], "c": [[[1], [2]], 3]})
    done = subprocess.run(
        [sys.executable, "-c", HDF5, str(tmp_path / "net.h5"), str(tmp_path / "bad.h5")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "done\n", done.stderr[-2000:]


LYING = """
import sys
from netc.diagnostics import NetcError
from netc.weights import load_weights

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

before = peak()
try:
    load_weights(sys.argv[1])
except NetcError as error:
    print(error.diagnostics[0].code)
print(peak() - before)
"""


def grown(path: Path) -> tuple[list[str], int]:
    """What loading says in a fresh process, and by how many bytes its peak memory grew.

    Not by getrusage, whose peak a child takes over from its parent.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    done = subprocess.run(
        [sys.executable, "-c", LYING, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )
    *said, peak = done.stdout.split()
    return said, int(peak) * 1024


def test_a_lying_shape_takes_no_memory(tmp_path: Path) -> None:
    net = Net()
    net.layer.add(name="a").blobs.add(data=[1], shape={"dim": [2**31 - 1]})
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    said, peak = grown(path)
    assert said == ["bad-blob"] and peak < 2**26


def test_many_tiny_records_take_bounded_memory_and_time(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    blob = b"\x3a\x02\x08\x00"
    body = blob * 300_000
    size = len(body)
    head = bytes([0xA2, 0x06, size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    path.write_bytes(head + body)
    said, peak = grown(path)
    assert said == ["too-many-fields"] and peak < 2**29


def test_a_whole_file_takes_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    save_weights(path, {f"l{i}": [[[float(i)] * 1024] * 1024] for i in range(16)})
    assert isinstance(load_weights(path), Weights)
    said, peak = grown(path)
    size = path.stat().st_size
    assert not said and 0.9 * size <= peak <= 1.2 * size
