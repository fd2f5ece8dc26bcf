"""What the README says of `netc train prototxt/digits/solver.prototxt`: an accuracy of 0.98."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.cli.main import main
from netc.data import prototxt_dir
from netc.solver.read_log import read_rows

DIGITS = prototxt_dir() / "digits"


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_readmes_net_reaches_what_it_says(threads: str, tmp_path: Path) -> None:
    pytest.importorskip("lmdb", exc_type=ImportError)
    for name in ("train", "test"):
        source, target = DIGITS / f"{name}_digits.npz", tmp_path / f"{name}_lmdb"
        assert main(["data", "make", str(source), "-o", str(target)]) == 0
    for name in ("solver.prototxt", "train.prototxt"):
        (tmp_path / name).write_text((DIGITS / name).read_text())
    rows = tmp_path / "run.csv"
    solver = str(tmp_path / "solver.prototxt")
    assert main(["train", solver, "--threads", threads, "--csv", str(rows)]) == 0
    (last,) = (r for r in read_rows(rows) if r["net"] == "test 0" and r["iteration"] == 1000)
    assert float(last["accuracy"]) >= 0.98
    assert (tmp_path / "solver_iter_1000.caffemodel").exists()
