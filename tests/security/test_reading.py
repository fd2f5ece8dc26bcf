"""What a text names is read from its own folder alone, unless a person allows more."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source
from tests.security.texts import outcome, refusal

NET = """
layer {{ name: "data" type: "Input" top: "data" {transform}
        input_param {{ shape {{ dim: 1 dim: 3 dim: 4 dim: 4 }} }} }}
layer {{ name: "p" type: "Pooling" bottom: "data" top: "p"
        pooling_param {{ pool: AVE global_pooling: true }} }}
"""
INFOGAIN = """
layer {{ name: "d" type: "Input" top: "d" input_param {{ shape {{ dim: 1 dim: 2 }} }} }}
layer {{ name: "l" type: "Input" top: "l" input_param {{ shape {{ dim: 1 }} }} }}
layer {{ name: "loss" type: "InfogainLoss" bottom: "d" bottom: "l" top: "loss"
        infogain_loss_param {{ source: "{path}" }} }}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net's folder, below one with a file that is none of its business."""
    from PIL import Image

    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret.npy", inside / "mean.npy", inside / "sub" / "mean.npy"):
        np.save(path, np.full(3, 42, np.float32))
    for path in (tmp_path / "H.npy", inside / "H.npy"):
        np.save(path, np.eye(2, dtype=np.float32))
    Image.new("RGB", (4, 4), (100, 100, 100)).save(inside / "a.png")
    monkeypatch.chdir(tmp_path)
    return inside


def run(folder: Path, name: str, *more: str) -> tuple[int, str, str]:
    transform = f'transform_param {{ mean_file: "{name}" }}'
    (folder / "n.prototxt").write_text(NET.format(transform=transform))
    return outcome("run", str(folder / "n.prototxt"), "-i", f"data={folder / 'a.png'}",
                   "--backend", "reference", *more)  # fmt: skip


@pytest.mark.parametrize("name", ["mean.npy", "./mean.npy", "sub/mean.npy", "sub/./mean.npy"])
def test_a_mean_beside_the_net(folder: Path, name: str) -> None:
    code, out, error = run(folder, name)
    assert code == 0, error
    assert "58" in out


def outside(folder: Path) -> list[str]:
    (folder / "link.npy").symlink_to("../secret.npy")
    (folder / "door").symlink_to("..")
    return ["../secret.npy", str(folder.parent / "secret.npy"), "sub/../../secret.npy", "link.npy",
            "door/secret.npy", "..", "/etc/passwd", "/dev/zero", "", "sub", "a\\\\b",
            "mean.npy\\000", "none.npy", "/proc/self/environ", "x" * 5000,
            str(folder / "mean.npy")]  # fmt: skip


def test_a_mean_elsewhere_is_refused(folder: Path) -> None:
    for name in outside(folder):
        code, out, error = run(folder, name)
        assert code == 1 and not out, name
        assert "n.prototxt:2:" in error, (name, error)
        if "error[missing-file]" in error:
            assert name in ("sub", "none.npy")
        else:
            assert "error[outside-file]" in error and "--allow-outside" in error


def test_it_can_be_allowed(folder: Path) -> None:
    for name in ("../secret.npy", str(folder.parent / "secret.npy"), "secret.npy", "mean.npy"):
        code, out, error = run(folder, name, "--allow-outside")
        assert code == 0 and "58" in out, error
    code, _, error = run(folder, "none.npy", "--allow-outside")
    assert code == 1 and "missing-file" in error and "n.prototxt:2:" in error


def test_what_the_command_names_is_a_persons_own(folder: Path) -> None:
    code, out, error = run(folder, "/etc/passwd", "--mean", str(folder.parent / "secret.npy"))
    assert code == 0 and "58" in out, error


def test_the_matrix_of_infogain_loss(folder: Path) -> None:
    path = folder / "i.prototxt"
    feeds = {"d": np.ones((1, 2), np.float32), "l": np.zeros(1, np.float32)}
    path.write_text(INFOGAIN.format(path="H.npy"))
    assert np.isfinite(netc.compile(path, backend="reference")(**feeds)["loss"])
    for name in ("../H.npy", str(folder.parent / "H.npy"), "/etc/passwd", "none.npy"):
        path.write_text(INFOGAIN.format(path=name))
        with pytest.raises(NetcError, match=r"(outside|missing)-file") as caught:
            netc.compile(path, backend="reference")
        assert "i.prototxt:4:" in str(caught.value)
    path.write_text(INFOGAIN.format(path="../H.npy"))
    net = netc.compile(path, backend="reference", allow_outside=True)
    assert np.isfinite(net(**feeds)["loss"])
    with pytest.raises(NetcError, match="from no file"):
        netc.compile(Source("n", INFOGAIN.format(path="H.npy")), backend="reference")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX's pipes")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    code, _, error = run(folder, "pipe")
    assert code == 1 and "missing-file" in error
    code, _, error = run(folder, "pipe", "--allow-outside")
    assert code == 1 and "not a regular file" in error


def test_includes(folder: Path) -> None:
    for name in ("../a.netc", "/etc/passwd", "link.netc"):
        if name == "link.netc":
            (folder / name).symlink_to("/etc/passwd")
        (folder / "n.netc").write_text(f'include "{name}"\n')
        assert "error[bad-include]" in refusal("check", str(folder / "n.netc"))
