"""netc train, on the bundled images: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from netc.cli.main import main
from netc.data import prototxt_dir
from netc.solver.solver import Solver
from netc.weights.load import load_weights
from tests.cli.terminal import on_terminal

NET = """
name: "ten"
layer { name: "data" type: "ImageData" top: "data" top: "label"
        transform_param { scale: 0.00390625 }
        image_data_param { source: "list.txt" batch_size: 5 is_color: false } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 40 display: 10
test_iter: 2 test_interval: 20 snapshot: 20 snapshot_prefix: "{folder}/run" random_seed: 3
"""


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    images = sorted((prototxt_dir() / "digits" / "images").glob("*.png"))
    lines = (f"{path} {i}" for i, path in enumerate(images))
    (tmp_path / "list.txt").write_text("\n".join(lines))
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    path.write_text(SOLVER.format(folder=tmp_path))
    return path


def test_a_run_prints_what_is_displayed_and_writes_what_is_asked_for(
    solver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = solver.parent
    files = [f"--csv={folder}/run.csv", f"--json={folder}/run.json", f"--log={folder}/run.log"]
    assert main(["train", str(solver), "--keep-best", "accuracy", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("best accuracy 1 after 20 iterations")
    assert "done after 40 iterations" in lines
    assert [line for line in lines if "test 0: accuracy 1 " in line]
    assert (folder / "run_iter_40.solverstate").exists()
    assert set(load_weights(folder / "run_best.caffemodel")) == {"ip"}
    assert (folder / "run.csv").read_text().startswith("net,iteration,seconds,accuracy,loss")
    rows = json.loads((folder / "run.json").read_text())
    assert [r["iteration"] for r in rows if r["net"] == "test 0"] == [0, 20, 40]
    assert all("rate" in r for r in rows if r["net"] == "train")
    log = (folder / "run.log").read_text()
    stamp = r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "
    line = stamp + r"solver\.cpp:239\] Iteration 10 \(.*iter/s, .*s/10 iters"
    assert re.search(line, log)
    assert "] Optimization Done.\n" in log


def test_a_run_goes_on_from_a_snapshot(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = f"{solver.parent}/run_iter_20.solverstate"
    assert main(["train", str(solver)]) == 0
    whole = load_weights(solver.parent / "run_iter_40.caffemodel")["ip"]
    assert main(["train", str(solver), "--snapshot", state]) == 0
    again = load_weights(solver.parent / "run_iter_40.caffemodel")["ip"]
    assert all((a == b).all() for a, b in zip(whole, again, strict=True))


def test_fields_are_set_from_outside_and_layers_frozen(
    solver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--set", "max_iter=1", "--set", "type=Adam", "--freeze", "i*", "--snapshot-at", "1"]
    assert main(["train", str(solver), *more, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["iteration"] for row in rows] == [0, 0]
    assert (solver.parent / "run_iter_1.solverstate").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "base_lrr=1"], "did you mean `base_lr`"),
        (["--set", "base_lr=fast"], "`base_lr` takes a number"),
        (["--freeze", "ipp"], "no layer with parameters is called `ipp`"),
        (["--keep-best", "acc"], "test net 0 has no output `acc`"),
        (["--weights", "nowhere.caffemodel"], "nowhere.caffemodel"),
    ],
)
def test_mistakes_are_told(
    solver: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(solver), *more]) == 1
    assert message in capsys.readouterr().err


def test_a_run_is_drawn(solver: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = solver.parent / "run.svg"
    assert main(["train", str(solver), "--plot", str(picture)]) == 0
    assert "test 0 accuracy" in picture.read_text()


def test_a_run_for_tensorboard(solver: Path) -> None:
    pytest.importorskip("tensorboardX")
    folder = solver.parent / "board"
    assert main(["train", str(solver), "--tensorboard", str(folder)]) == 0
    (file,) = folder.glob("events.*")
    assert b"test_0/accuracy" in file.read_bytes()


def test_what_a_picture_needs_is_told_before_training(
    solver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(solver), "--plot", str(solver.parent / "run.bmp")]) == 1
    assert "error[image-format]" in capsys.readouterr().err
    assert not list(solver.parent.glob("run_iter_*"))


def test_broken_records_are_left_out_and_told(
    solver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (solver.parent / "list.txt").open("a") as file:
        file.write("\nabsent.png 3\n")
    assert main(["train", str(solver)]) == 1
    assert "line 11 of" in capsys.readouterr().err
    assert main(["train", str(solver), "--skip-broken"]) == 0
    assert "records left out: 1" in capsys.readouterr().err
    weights = ["--weights", str(solver.parent / "run_iter_40.caffemodel"), "--iterations=3"]
    command = ["test", str(solver.parent / "net.prototxt"), *weights]
    assert main(command) == 1
    assert main([*command, "--skip-broken"]) == 0
    assert "records left out: 1" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--csv", "--json", "--log"])
@pytest.mark.parametrize("place", ["none/run.txt", "."])
def test_tables_that_cannot_be_written_are_told_before_training(
    solver: Path, option: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(solver), option, str(solver.parent / place)]) == 1
    told = capsys.readouterr()
    assert "cannot-write" in told.err + told.out
    assert "iteration" not in told.out
    assert not list(solver.parent.glob("run*"))


def test_tables_are_written_where_a_run_diverges(
    solver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = solver.parent
    files = [f"--csv={folder}/run.csv", f"--json={folder}/run.json"]
    more = ["--set", "base_lr=1e38", "--set", "display=1", "--set", "test_initialization=false"]
    assert main(["train", str(solver), *more, *files]) == 1
    assert "error[not-finite]" in capsys.readouterr().err
    rows = json.loads((folder / "run.json").read_text())
    assert next(row["iteration"] for row in rows) == 0
    assert (folder / "run.csv").read_text().startswith("net,iteration,seconds,")


def test_tables_are_written_where_a_run_is_interrupted(
    solver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Solver) -> None:
        self.step(11)
        raise KeyboardInterrupt

    monkeypatch.setattr(Solver, "solve", interrupted)
    with suppress(KeyboardInterrupt):
        main(["train", str(solver), f"--json={solver.parent}/run.json"])
    rows = json.loads((solver.parent / "run.json").read_text())
    assert [row["iteration"] for row in rows if row["net"] == "train"] == [0, 10]


def test_the_live_line_has_rate_and_speed(solver: Path) -> None:
    code, lines = on_terminal(["train", str(solver), "--set", "momentum=0.9"])
    assert code == 0
    live = [part for line in lines for part in line.split("\r") if part.startswith("training ")]
    assert any(" rate 0.1 " in part and " images/s" in part for part in live)
    assert all(len(part) <= 80 for part in live)


def test_the_log_says_where_each_file_was_found(
    solver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = solver.parent
    log = folder / "run.log"
    below = folder / "below"
    below.mkdir()
    (below / "net.prototxt").write_text(NET)
    (below / "list.txt").write_text((folder / "list.txt").read_text())
    monkeypatch.chdir(below)
    assert main(["train", str(solver), "--set", "max_iter=1", f"--log={log}"]) == 0
    told = [line.partition("] ")[2] for line in log.read_text().splitlines() if "io.cpp:1]" in line]
    assert told == [
        f"the train net `net.prototxt` is `{below / 'net.prototxt'}`",
        f"the list of images `list.txt` is `{below / 'list.txt'}`",
        f"test net 0 `net.prototxt` is `{below / 'net.prototxt'}`",
    ]
    net, weights = str(folder / "net.prototxt"), str(folder / "run_iter_1.caffemodel")
    monkeypatch.chdir(folder.parent)
    assert main(["test", net, "-w", weights, "--iterations=1", f"--log={log}"]) == 0
    last = [line for line in log.read_text().splitlines() if "io.cpp:1]" in line][-1]
    assert last.endswith(f"the list of images `list.txt` is `{folder / 'list.txt'}`")
