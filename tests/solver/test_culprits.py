"""Records named by the errors that come of them: their keys, lines and rows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.ir.graph import Array
from netc.solver.solver import Solver

NET = """
layer {{ name: "data" {data} top: "data" top: "label" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
LMDB = 'type: "Data" data_param { source: "%s" backend: LMDB batch_size: 4 }'
HDF5 = 'type: "HDF5Data" hdf5_data_param { source: "%s" batch_size: 4 }'


def fault(data: str, text: str = "") -> Diagnostic:
    net = NET.format(data=data)
    solver = f'net_param {{ {net} }} base_lr: 0.001 lr_policy: "fixed" max_iter: 9 {text}'
    with pytest.raises(NetcError) as caught:
        Solver(Source("solver.prototxt", solver)).step(9)
    (found,) = caught.value.diagnostics
    return found


def archive(folder: Path, labels: list[int], data: Array | None = None) -> Path:
    path = folder / "a.npz"
    pictures = np.arange(len(labels) * 4, dtype=np.uint8).reshape(-1, 1, 2, 2)
    np.savez(path, data=pictures if data is None else data, label=np.array(labels))
    return path


LABELS = [0, 1, 2, 0, 1, 7, 1, 0, 7, 2, 1, 0]


@pytest.mark.parametrize("text", ["", "iter_size: 3", "random_seed: 4"])
def test_a_label_by_its_key(tmp_path: Path, text: str) -> None:
    pytest.importorskip("lmdb")
    database = tmp_path / "db"
    assert main(["data", "make", str(archive(tmp_path, LABELS)), "-o", str(database)]) == 0
    found = fault(LMDB % database, text)
    assert found.code == "label-out-of-range"
    assert "label 7 is no class, the 3 classes are 0 to 2" in found.message
    assert [note.message for note in found.notes] == [
        f"label 7 is in record `00000005_a_5` of `{database}`"
    ]


def test_labels_of_a_test_net(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    database = tmp_path / "db"
    assert main(["data", "make", str(archive(tmp_path, LABELS)), "-o", str(database)]) == 0
    found = fault(LMDB % database, "test_iter: 3 test_interval: 5")
    assert "`00000005_a_5`" in found.notes[0].message


def test_a_label_by_its_row(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    file = tmp_path / "a.h5"
    assert main(["data", "make", str(archive(tmp_path, LABELS)), "-o", str(file)]) == 0
    found = fault(HDF5 % file.with_suffix(".txt"))
    assert [note.message for note in found.notes] == [f"label 7 is in row 5 of `{file}`"]


def test_a_label_by_its_line(tmp_path: Path) -> None:
    images = Path(__file__).parents[2] / "prototxt" / "digits" / "images"
    paths = [path for path in sorted(images.iterdir()) if path.suffix == ".png"][:4]
    lines = [
        f"{os.path.abspath(path)} {label}" for path, label in zip(paths, (0, 1, -1, 2), strict=True)
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("\n\n" + "\n".join(lines))
    found = fault(f'type: "ImageData" image_data_param {{ source: "{listed}" batch_size: 4 }}')
    assert [note.message for note in found.notes] == [f"label -1 is in line 5 of `{listed}`"]


def test_a_number_that_is_not_finite(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    data = np.ones((12, 1, 2, 2), np.float32)
    data[6, 0, 1, 1], data[7, 0, 0, 0] = np.nan, np.inf
    database, labels = tmp_path / "db", [0, 1, 2] * 4
    assert main(["data", "make", str(archive(tmp_path, labels, data)), "-o", str(database)]) == 0
    found = fault(LMDB % database)
    assert found.code == "not-finite"
    assert [note.message for note in found.notes] == [
        "first in blob `ip` of layer `ip`: 6 of 12 numbers",
        f"a number that is not finite is in record `00000006_a_6` of `{database}`, "
        f"record `00000007_a_7` of `{database}`",
    ]


def test_a_run_that_diverges_names_no_record(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    database = tmp_path / "db"
    assert main(["data", "make", str(archive(tmp_path, [0, 1, 2])), "-o", str(database)]) == 0
    found = fault(LMDB % database, "weight_decay: 1e38 momentum: 0.9")
    assert found.code == "not-finite"
    (note,) = found.notes
    assert note.message == "first in parameter 0 of layer `ip`: 12 of 12 numbers"
