"""CUDA's libraries from pip's packages, for a CuPy that asks the loader for them by name."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from netc.backends.cuda import wheels


class RuntimeFault(Exception):  # noqa: N818
    """Stands for CuPy's CUDARuntimeError."""


def cupy_for(version: Any) -> Any:
    """A CuPy that was built for a version of CUDA."""

    def get() -> int:
        if isinstance(version, Exception):
            raise version
        return int(version)

    runtime = SimpleNamespace(CUDARuntimeError=RuntimeFault, runtimeGetVersion=get)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is loaded of packages for CUDA 12 and CUDA 13 beside each other."""
    for file in (
        "cuda_nvrtc/lib/libnvrtc.so.12",
        "cuda_nvrtc/lib/libnvrtc-builtins.so.12.9",
        "cublas/lib/libcublas.so.12",
        "cu13/lib/libnvrtc.so.13",
        "cu13/lib/libnvrtc.alt.so.13",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    names: list[str] = []

    def load(name: str) -> None:
        names.append(str(Path(name).relative_to(tmp_path).as_posix()))

    monkeypatch.setattr(wheels, "folders", lambda: (tmp_path,))
    monkeypatch.setattr(ctypes, "CDLL", load)
    return names


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (12090, ["cuda_nvrtc/lib/libnvrtc.so.12", "cublas/lib/libcublas.so.12"]),
        (13020, ["cu13/lib/libnvrtc.so.13"]),
        (14000, []),
        (RuntimeFault("cudaErrorInsufficientDriver"), []),
    ],
)
def test_libraries_of_the_version_of_cupy(
    version: Any, files: list[str], loaded: list[str]
) -> None:
    wheels.preload(cupy_for(version))
    assert loaded == files


def test_a_library_that_cannot_be_loaded_is_left_to_cupy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cu12" / "lib").mkdir(parents=True)
    (tmp_path / "cu12" / "lib" / "libnvrtc.so.12").write_text("no library")
    monkeypatch.setattr(wheels, "folders", lambda: (tmp_path,))
    wheels.preload(cupy_for(12000))


def test_where_there_are_no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels.util, "find_spec", lambda name: None)
    assert wheels.folders() == ()


CODE = """
import ctypes
from netc.backends.cuda import wheels
for major in (12, 13):
    for file in wheels.files("nvrtc", major):
        ctypes.CDLL(str(file))
        found = ctypes.CDLL(f"libnvrtc.so.{major}")
        version = ctypes.c_int(), ctypes.c_int()
        assert found.nvrtcVersion(*map(ctypes.byref, version)) == 0
        assert version[0].value == major
        print(major)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for Linux's libraries")
def test_a_loaded_library_is_found_by_its_name() -> None:
    if not any(True for major in (12, 13) for _ in wheels.files("nvrtc", major)):
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout, result.stderr
