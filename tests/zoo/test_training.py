"""The training set-ups in prototxt/digits train, each from databases as its README makes them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.data import prototxt_dir
from netc.ir.graph import Array
from netc.solver.solver import Solver

# Set-up -> iterations, the most that the loss may then be of what it was, and the least accuracy.
SETUPS = {
    "solver": (200, 0.1, 0.9),
    "quick_solver": (200, 0.6, 0.5),
    "resnet_solver": (40, 0.6, None),
    "depth_solver": (30, 0.9, None),
    "siamese_solver": (100, 0.5, 0.8),
    "autoencoder_solver": (60, 0.7, None),
    "finetune_solver": (60, 0.35, 0.95),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lmdb")
    folder = tmp_path_factory.mktemp("setups") / "digits"
    shutil.copytree(prototxt_dir() / "digits", folder, ignore=shutil.ignore_patterns("*_lmdb"))
    subprocess.run([sys.executable, "pairs.py"], cwd=folder, check=True)
    for name in ("train_digits", "test_digits", "train_pairs", "test_pairs"):
        database = folder / f"{name.removesuffix('_digits')}_lmdb"
        assert main(["data", "make", str(folder / f"{name}.npz"), "-o", str(database)]) == 0
    return folder


def test_every_set_up_is_tried_and_told() -> None:
    here = prototxt_dir() / "digits"
    assert {path.stem for path in here.glob("*solver.prototxt")} == set(SETUPS)
    told = (here / "README.md").read_text(encoding="utf-8")
    assert [name for name in SETUPS if f"({name}.prototxt)" not in told] == []


@pytest.mark.parametrize("name", SETUPS)
def test_set_ups_learn(name: str, folder: Path) -> None:
    iterations, most, least = SETUPS[name]
    fields = {"test_initialization": "false", "test_interval": "1000"}
    solver = Solver(folder / f"{name}.prototxt", fields=fields)
    losses = solver.step(iterations)
    assert np.isfinite(losses).all()
    assert losses[-10:].mean() < most * losses[:10].mean()
    if least is not None:
        assert solver.test()["accuracy"] >= least


def trained(path: Path, threads: int) -> list[Array]:
    """Losses of a few iterations, all that they have changed, and a test's scores."""
    solver = Solver(path, fields={"test_initialization": "false"}, threads=threads)
    losses = solver.step(4)
    arrays = [array.copy() for arrays in solver.params.values() for array in arrays]
    return [losses, *arrays, *(a.copy() for a in solver.history), *solver.test().values()]


@pytest.mark.parametrize("name", SETUPS)
def test_set_ups_are_the_same_at_any_number_of_threads(name: str, folder: Path) -> None:
    want = trained(folder / f"{name}.prototxt", 1)
    for threads in (2, 4):
        got = trained(folder / f"{name}.prototxt", threads)
        for mine, theirs in zip(got, want, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"{threads} threads")


def test_fine_tuning_leaves_what_is_frozen(folder: Path) -> None:
    solver = Solver(folder / "finetune_solver.prototxt", fields={"test_initialization": "false"})
    frozen, learned = solver.params["conv1"][0].copy(), solver.params["conv2"][0].copy()
    solver.step(2)
    assert (solver.params["conv1"][0] == frozen).all()
    assert (solver.params["conv2"][0] != learned).any()


def test_half_of_the_pairs_are_alike(folder: Path) -> None:
    with np.load(folder / "train_pairs.npz") as file:
        assert file["data"].shape == (4000, 2, 8, 8)
        assert 0.5 <= file["label"].mean() < 0.6
