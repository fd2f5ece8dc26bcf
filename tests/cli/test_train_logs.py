"""`netc train --log` beside the log of `caffe train`: the same lines, words and digits."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from netc.cli.main import main

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"
CASES = (
    "log_average",
    "log_basic",
    "log_debug_info",
    "log_iter_size",
    "log_per_class",
    "log_prefix_absent",
    "log_prefix_folder",
    "log_resume",
    "log_stages",
)
NUMBER = re.compile(r"(-?\d+\.?\d*(?:e[-+]\d+)?)")
Line = tuple[str, str]


def lines(text: str) -> list[Line]:
    """Source file and words of each line from `Solving` on; times and speeds left out."""
    found = []
    for line in text.splitlines():
        match = re.match(r"[IE]\d{4} [\d:.]+ +\d+ (\S+?):\d+\] (.*)", line)
        if match and match[1] != "caffe.cpp":
            found.append((match[1], re.sub(r"\(\S+ iter/s, \S+s/", "(", match[2])))
    start = next(i for i, (_, words) in enumerate(found) if words.startswith("Solving "))
    return found[start:]


def same(got: Line, want: Line) -> bool:
    ours, theirs = NUMBER.split(got[1]), NUMBER.split(want[1])
    if got[0] != want[0] or ours[::2] != theirs[::2] or len(ours) != len(theirs):
        return False
    pairs = zip(map(float, ours[1::2]), map(float, theirs[1::2]), strict=True)
    return all(abs(a - b) <= 1e-4 * (abs(b) + 0.1) for a, b in pairs)


def check(got: str, want: str) -> None:
    ours, theirs = lines(got), lines(want)
    assert len(ours) == len(theirs)
    assert [pair for pair in zip(ours, theirs, strict=True) if not same(*pair)] == []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to copy a case to, and to run in as Caffe was run."""
    pytest.importorskip("h5py", exc_type=ImportError)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copy(case: str, folder: Path) -> None:
    (folder / "snaps").mkdir()
    for path in GOLDEN.glob(f"{case}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)


def arguments(command: str) -> list[str]:
    """Those of `netc train` for a line of `caffe train`."""
    given = dict(part.removeprefix("--").split("=") for part in command.split()[2:])
    options = [f"--{name}={value}" for name, value in given.items() if name != "solver"]
    return ["train", given["solver"], *options]


@pytest.mark.parametrize("case", CASES)
def test_the_log_is_caffes(case: str, folder: Path) -> None:
    copy(case, folder)
    first = (folder / f"{case}.cmd").read_text().splitlines()[0]
    assert main([*arguments(first), "--log", "mine.log"]) == 0
    check((folder / "mine.log").read_text(), (folder / f"{case}.log").read_text())


def test_the_log_of_a_resumed_run_is_caffes(folder: Path) -> None:
    """From the state that Caffe wrote, whose data layers begin anew."""
    copy("log_resume", folder)
    second = (folder / "log_resume.cmd").read_text().splitlines()[1]
    assert main([*arguments(second), "--log", "mine.log"]) == 0
    check((folder / "mine.log").read_text(), (folder / "log_resume_resumed.log").read_text())


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("log_prefix_absent", [f"log_prefix_absent_solver_iter_{i}" for i in (3, 6, 7)]),
        ("log_prefix_folder", [f"snaps/log_prefix_folder_solver_iter_{i}" for i in (4, 6)]),
    ],
)
def test_snapshots_have_caffes_names(case: str, names: list[str], folder: Path) -> None:
    copy(case, folder)
    first = (folder / f"{case}.cmd").read_text().splitlines()[0]
    assert main(arguments(first)) == 0
    suffix = ".h5" if case.endswith("folder") else ""
    written = {str(p.relative_to(folder)) for p in folder.rglob(f"*_iter_*state{suffix}")}
    assert {f"{name}.solverstate{suffix}" for name in names} <= written
    assert all((folder / f"{name}.caffemodel{suffix}").exists() for name in names)


@pytest.mark.parametrize(("value", "starts"), [("rows.json", ""), ("-", "{")])
def test_what_goes_wrong_is_json_where_standard_output_is(
    value: str, starts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text('net: "nowhere.prototxt" base_lr: 1 lr_policy: "fixed"')
    assert main(["train", str(path), "--json", value]) == 1
    out, err = capsys.readouterr()
    assert out[:1] == starts
    assert ("error[file-not-found]" in err) == (value != "-")
