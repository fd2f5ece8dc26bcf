"""Ray Data: the same answers as one process gives, none lost and none double, whatever dies."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import Diagnostic, NetcError
from netc.predict import ray_data
from netc.predict.arrow_rows import decoded_columns, decoded_row
from netc.predict.plan import PredictRequest, planned
from netc.predict.predictor import Predictor
from netc.predict.ray_share import Cluster, shared
from netc.predict.store import iterate
from tests.predict.nets import pictures, write_net
from tests.predict.on_ray import TRAPS

ROOT = Path(__file__).resolve().parents[2]
ROWS, FEW = 4_000, 640

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="workers are found in Linux's /proc"
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder, and what came of each scenario of on_ray.py, run once."""
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'netc[ray]'")
    folder = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare()
    (folder / "trap.txt").unlink(missing_ok=True)
    script = ROOT / "tests" / "predict" / "on_ray.py"
    done = subprocess.run(
        [sys.executable, "-P", script] if sys.version_info >= (3, 11) else [sys.executable, script],
        cwd=folder, env=environment(), text=True, capture_output=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    yield folder, json.loads(done.stdout.splitlines()[-1])


def prepare() -> None:
    write_net(Path("."))
    pictures(Path("imgs"), 21)
    Path("imgs/004.png").write_bytes(b"no image")
    rows = np.random.default_rng(3).normal(0, 50, (ROWS, 3, 6, 6)).astype(np.float32)
    np.savez("rows.npz", data=rows)
    np.savez("few.npz", data=rows[:FEW])
    more = ["--batch", "4", "--shard-rows", "64"]
    given = ["predict", "net.prototxt", "-w", "net.npz"]
    assert main([*given, "few.npz", "-o", "half/", *more]) == 0
    assert main([*given, "imgs", "-o", "local.jsonl", "--batch", "4"]) == 0
    trap = "import pathlib; pathlib.Path(__file__).with_name('trap.txt').write_text('sprung')\n"
    for name in TRAPS:
        Path(name).write_text(trap)


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}


def rows_in(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*")) if folder.is_dir() else [folder]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_images_give_what_one_process_gives(ran: Any) -> None:
    folder, found = ran
    assert found["images"]["code"] == 0, found["images"]
    told = found["images"]["told"]
    assert told["answers"] == 20 and [entry["number"] for entry in told["broken"]] == [4]
    here, there = rows_in(folder / "local.jsonl"), rows_in(folder / "images.jsonl")
    assert [row["name"] for row in there] == [row["name"] for row in here]
    for one, other in zip(here, there, strict=True):
        assert one["prob_class"] == other["prob_class"]
        np.testing.assert_allclose(one["prob_score"], other["prob_score"], rtol=1e-5)


@linux
def test_a_worker_that_is_killed_loses_no_rows_and_doubles_none(ran: Any) -> None:
    folder, found = ran
    assert found["killed"]["workers"] == 1 and found["killed"]["code"] == 0, found["killed"]
    numbers = sorted(row["index"] for row in rows_in(folder / "killed"))
    assert numbers == list(range(ROWS))


def test_what_is_done_is_not_done_again(ran: Any) -> None:
    folder, found = ran
    told = found["half"]["told"]
    assert found["half"]["code"] == 0 and 0 < told["done_before"] < FEW
    numbers = sorted(row["index"] for row in rows_in(folder / "half"))
    assert numbers == list(range(FEW))


def test_errors_of_workers_are_told_as_ones_own(ran: Any) -> None:
    _, found = ran
    assert found["strict"]["code"] == 1
    fault = found["strict"]["told"]["diagnostics"][0]
    assert fault["code"] == "bad-image" and "004.png" in fault["message"]
    assert found["too many"]["told"]["diagnostics"][0]["code"] == "no-cluster"


def test_nothing_in_the_current_folder_is_imported(ran: Any) -> None:
    folder, _ = ran
    assert not (folder / "trap.txt").exists()


# Without Ray


def test_the_stages_are_the_whole_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order and cut in any way, each of them pickled on its way, some shards twice."""
    pytest.importorskip("pyarrow", reason="PyArrow is not installed: pip install 'netc[parquet]'")
    monkeypatch.chdir(tmp_path)
    net = write_net(tmp_path)
    pictures(Path("imgs"), 23)
    Path("imgs/011.png").write_bytes(b"no image")
    request = PredictRequest(*net, "imgs", Path("out.jsonl"), "jsonl", True, predictor={"batch": 2})
    predictor = Predictor(**request.arguments())
    job, run = planned(request, predictor.outputs, frozenset(), 2)
    job.store.begin(run)
    answering = ray_data._Answering(dict(job.arguments), job.keeper, 1)
    decoding = pickle.loads(pickle.dumps(ray_data._Decoding(job.decoder, job.batch)))
    made = []
    for first, last in iterate(job.store.missing(23, job.rows), 6):
        rows = {"first": [first], "part": [pickle.dumps(job.records.part(first, last))]}
        made += [answering(batch)["batch"][0] for batch in decoding(rows)]
    order = np.random.default_rng(0).permutation(len(made))
    shards = [[made[place] for place in order[start : start + 5]] for start in range(0, 12, 5)]
    store = pickle.loads(pickle.dumps(job.store))
    for shard in [*shards, shards[0]]:
        ray_data.write_shard(store, job.keeper, shard)
    summary = job.store.finish(run, 23)
    assert summary.rows == 22 and [entry.number for entry in summary.broken] == [11]
    assert sorted(row["index"] for row in rows_in(Path("out.jsonl"))) == sorted({*range(23)} - {11})


def test_a_decoded_batch_is_not_copied_on_its_way() -> None:
    pytest.importorskip("pyarrow", reason="PyArrow is not installed: pip install 'netc[parquet]'")
    for shape in ((8, 3, 50, 50), (0, 3), (1,)):
        data = np.random.default_rng(0).random(shape).astype(np.float32)
        columns = {"name": np.array(["a", "b"], object), "index": np.arange(2), "data": data}
        row = decoded_row(columns)
        found = decoded_columns(row)
        assert list(found) == list(columns) and list(found["name"]) == ["a", "b"]
        np.testing.assert_array_equal(found["data"], data)
        assert found["data"].dtype == np.float32
        assert data.size < 100 or np.shares_memory(found["data"], data)
    both = decoded_row({"data": data, "more": data})  # of two that are as large, one is pickled
    np.testing.assert_array_equal(decoded_columns(both)["more"], data)


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
            with pytest.raises(NetcError, match="nobody answers") as caught:
                ray_data.check_address(address)
            assert caught.value.diagnostics[0].code == "no-cluster"
        listening.listen()
        ray_data.check_address(f"127.0.0.1:{port}")
    for address in (None, "auto", "local"):
        ray_data.check_address(address)


def test_errors_come_through_whatever_wraps_them() -> None:
    with pytest.raises(ray_data.WorkerError) as raised, ray_data._showing_progress():
        raise NetcError(Diagnostic("bad-image", "`a` is none", help=("look at it",)))
    wrapped = RuntimeError(f"Task failed:\n  trace\n  WorkerError: {raised.value}\n\n more")
    found = ray_data._cause(wrapped)
    assert isinstance(found, NetcError)
    assert found.diagnostics[0] == Diagnostic("bad-image", "`a` is none", help=("look at it",))
    assert ray_data._cause(wrapped.__class__("else")).args == ("else",)


def test_records_that_are_missing_or_double_are_an_error(tmp_path: Path) -> None:
    from netc.predict.store import _check_whole

    for ranges in ([(0, 4), (5, 9)], [(0, 5), (4, 9)], [(0, 8)], [(1, 9)]):
        with pytest.raises(NetcError) as caught:
            _check_whole(tmp_path, ranges, 9)
        assert caught.value.diagnostics[0].code == "incomplete-output"
    _check_whole(tmp_path, [(5, 9), (0, 5)], 9)


@pytest.mark.parametrize(
    ("cpus", "gpus", "nodes", "cluster", "workers", "own", "threads"),
    [
        (2, 0, 1, Cluster(), 1, 1.5, 2),
        (2, 0, 1, Cluster(workers=2), 2, 0.75, 1),
        (64, 0, 1, Cluster(workers=8), 8, 6.0, 8),
        (512, 0, 8, Cluster(), 8, 48.0, 64),
        (64, 0, 1, Cluster(workers=4, cpus=12), 4, 12, 12),
        (64, 8, 1, Cluster(gpus=1), 8, 6.0, 8),
        (64, 8, 1, Cluster(gpus=0.5), 16, 3.0, 4),
    ],
)
def test_threads_follow_from_processors_and_decoding_gets_some(
    cpus: float, gpus: float, nodes: int, cluster: Cluster, workers: int, own: float, threads: int
) -> None:
    share = shared(cpus, gpus, nodes, cluster)
    assert (share.workers, share.cpus, share.threads) == (workers, own, threads)
    assert workers * own + share.decoder * nodes <= cpus and share.decoder > 0


@pytest.mark.parametrize(
    ("cpus", "gpus", "cluster"),
    [
        (2, 0, Cluster(gpus=1)),
        (2, 1, Cluster(workers=2, gpus=1)),
        (4, 0, Cluster(workers=2, cpus=2)),
    ],
)
def test_too_small_a_cluster_is_told(cpus: float, gpus: float, cluster: Cluster) -> None:
    with pytest.raises(NetcError) as caught:
        shared(cpus, gpus, 1, cluster)
    assert caught.value.diagnostics[0].code == "no-cluster"


def test_one_process_of_a_machine_compiles_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl", reason="files are not locked here")
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path))
    script = (
        "from netc.predict.ray_data import once_a_node\n"
        "print('asks', flush=True)\n"
        "with once_a_node():\n    print('compiles', flush=True)\n"
    )
    with ray_data.once_a_node():
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None and other.stdout.readline() == "asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
    assert other.stdout.read() == "compiles\n" and other.wait() == 0
    other.stdout.close()


def test_without_ray_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.chdir(tmp_path)
    write_net(tmp_path)
    pictures(Path("imgs"), 1)
    given = ["predict", "net.prototxt", "-w", "net.npz", "imgs", "-o", "out.csv"]
    assert main([*given, "--on", "ray"]) == 1
    told = capsys.readouterr().err
    assert "error[missing-package]" in told and "pip install 'netc[ray]'" in told
    assert main([*given, "--workers", "2"]) == 1
    assert "--on ray" in capsys.readouterr().err
