"""Training on several processes: as threads do it, and what happens when one of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from netc.cli.ranks import failing_together
from netc.diagnostics import NetcError
from netc.ranks.alive import first_ended, identity
from netc.ranks.mpi import MpiRanks, mpi
from netc.solver.snapshots import last_state
from tests.optional import installed
from tests.solver.test_ranks import assert_same, on_ranks, train

ROOT = Path(__file__).resolve().parent.parent.parent
MPIEXEC = shutil.which("mpiexec") or str(Path(sys.executable).with_name("mpiexec"))

pytestmark = pytest.mark.skipif(
    not installed("mpi4py") or not Path(MPIEXEC).exists(), reason="mpi4py is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """mpi4py can be installed without an MPI library, which it looks for when it is imported."""
    tried = [sys.executable, "-c", "from mpi4py import MPI"]
    if subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("mpi4py finds no MPI library: netc[mpi] brings MPICH")


SCRIPT = """
import numpy as np, sys
from netc.ranks.mpi import MpiRanks
from tests.solver.test_ranks import train
from netc.ranks.segment import Segment
ranks = MpiRanks()
if sys.argv[2] == "one cannot share" and ranks.rank == 1:
    Segment.found = lambda place, size: None
memory = ranks.shared_memory(100)
assert (memory is None) == (sys.argv[2] == "one cannot share")
losses, arrays = train(ranks)
ranks.meet()  # parameters are one array for all: nobody is to go before all have copied them
np.savez(f"{sys.argv[1]}/{ranks.rank}.npz", losses, *arrays)
ranks.close()
"""


def mpiexec(count: int, *command: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NETC_NUM_THREADS": "1"}
    return subprocess.Popen(
        [MPIEXEC, "-n", str(count), sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    return output


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    pytest.importorskip("lmdb", exc_type=ImportError)
    folder = tmp_path / "digits"
    shutil.copytree(ROOT / "prototxt" / "digits", folder)
    for name in ("train", "test"):
        made = [sys.executable, "-m", "netc", "data", "make"]
        made += [f"{name}_digits.npz", "-o", f"{name}_lmdb"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(made, cwd=folder, check=True, capture_output=True, env=environment)
    return folder


TRAIN = ("-m", "netc", "train", "solver.prototxt", "--distributed", "mpi")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create (Linux)")
@pytest.mark.parametrize("memory", ("all share", "one cannot share"))
def test_processes_are_threads_bit_for_bit(memory: str, tmp_path: Path) -> None:
    process = mpiexec(3, "-c", SCRIPT, str(tmp_path), memory, folder=tmp_path)
    output = ended(process)
    assert process.returncode == 0, output
    want = on_ranks(3, train)[0]
    for rank in range(3):
        with np.load(tmp_path / f"{rank}.npz") as file:
            losses, *arrays = (file[name] for name in file.files)
        assert_same((losses, arrays), want)


def test_the_command_divides_a_batch_and_says_so(digits: Path) -> None:
    more = ("--batch", "total", "--set", "max_iter=60", "--set", "display=20", "--log", "run.log")
    process = mpiexec(2, *TRAIN, *more, folder=digits)
    output = ended(process)
    assert process.returncode == 0, output
    told = "2 ranks, 32 images each (a part of what is written), 64 an iteration"
    assert output.count("done after 60 iterations") == 1
    assert told in output
    assert (digits / "run.log").read_text().count(told) == 1
    assert [path.name for path in digits.glob("*.caffemodel") if "iter" in path.name] == [
        "solver_iter_60.caffemodel"
    ]


def test_an_error_of_all_ranks_is_told_once(digits: Path) -> None:
    process = mpiexec(3, *TRAIN, "--batch", "total", folder=digits)
    output = ended(process)
    assert process.returncode != 0
    assert output.count("train.prototxt:9:63: error[uneven-batch]") == 1
    assert "a batch of 64 cannot be divided among 3 ranks" in output


def test_processes_that_would_train_alone_are_refused(digits: Path) -> None:
    process = mpiexec(2, *TRAIN[:4], folder=digits)
    output = ended(process)
    assert process.returncode != 0
    assert "error[lonely-ranks]" in output
    assert "--distributed mpi" in output


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc")
def test_a_rank_that_dies_ends_all_and_the_last_snapshot_goes_on(digits: Path) -> None:
    more = ("--set", "max_iter=100000", "--set", "snapshot=50", "--set", "test_interval=100000")
    process = mpiexec(2, *TRAIN, *more, folder=digits)
    deadline = time.monotonic() + 100
    while not list(digits.glob("*_100.solverstate")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(_ranks_of(process.pid)[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    # mpiexec tells of it, or the other rank does, where it met the loss first.
    assert "KILLED" in output.upper() or "error[rank-lost]" in output, output
    states = sorted(digits.glob("*.solverstate"), key=lambda p: int(p.stem.rpartition("_")[2]))
    last = int(states[-1].stem.rpartition("_")[2])
    again = mpiexec(
        2,
        *TRAIN,
        *more[2:],
        "--set",
        f"max_iter={last + 10}",
        "--snapshot",
        states[-1].name,
        folder=digits,
    )
    output = ended(again)
    assert f"done after {last + 10} iterations" in output, output


class Never:
    """A message that does not come."""

    def Test(self) -> bool:  # noqa: N802
        return False


class Broken:
    """A message of which MPI says that it cannot come."""

    def Test(self) -> bool:  # noqa: N802
        raise mpi().Exception(15)


def alone(processes: list[tuple[int, int]]) -> MpiRanks:
    """Rank 0 of two, before any message: MPI itself is not started twice in a process."""
    ranks = object.__new__(MpiRanks)
    ranks.rank, ranks.size, ranks._processes = 0, 2, processes
    return ranks


def test_a_rank_that_waits_for_a_lost_one_tells_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = identity()
    if not here[1]:
        pytest.skip("needs /proc")
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    child.wait()
    ranks = alone([here, (child.pid, here[1])])
    ended: list[bool] = []
    monkeypatch.setattr(MpiRanks, "abort", lambda self: ended.append(True))
    for last in (None, tmp_path / "run_iter_10.solverstate"):
        with failing_together(ranks, partial(lambda state: state, last)):
            ranks._wait(lambda: [Never()])
    told = capsys.readouterr().err
    assert "error[rank-lost]: rank 1 of 2 is lost, and rank 0 cannot go on without it" in told
    assert "there is no snapshot yet" in told
    assert "run_iter_10.solverstate`" in told
    assert ended == [True, True]


def test_what_mpi_says_of_a_lost_rank_is_told() -> None:
    with pytest.raises(NetcError, match="another rank of 2 is lost") as told:
        alone([identity(), identity()])._wait(lambda: [Broken()])
    assert told.value.diagnostics[0].notes[0].message.startswith("MPI says: ")


def test_a_process_that_has_ended_is_seen_before_its_parent_asks() -> None:
    here = identity()
    if not here[1]:
        pytest.skip("needs /proc")
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert first_ended([here, (child.pid, here[1])]) == 1
    assert first_ended([here, (child.pid, here[1] + 1)]) is None  # counted elsewhere
    child.wait()
    assert first_ended([(child.pid, here[1])]) == 0
    assert first_ended([here]) is None


def test_the_last_state_is_that_of_the_most_iterations(tmp_path: Path) -> None:
    names = ("run_iter_9.solverstate", "run_iter_10.solverstate.h5", "other_iter_99.solverstate")
    assert last_state(str(tmp_path / "run")) is None
    for name in (*names, "run_iter_11.solverstate.tmp", "run_iter_12.caffemodel"):
        (tmp_path / name).touch()
    assert last_state(str(tmp_path / "run")) == tmp_path / names[1]
    assert last_state(str(tmp_path / "nowhere" / "run")) is None


def _ranks_of(mpiexec_pid: int) -> list[int]:
    """The processes that mpiexec's own helpers have started."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, reached = [], [mpiexec_pid]
    while reached:
        pid = reached.pop()
        own = children.get(pid, [])
        reached += own
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"--distributed" in command and b"mpiexec" not in command and b"proxy" not in command:
            found.append(pid)
    return sorted(found)
