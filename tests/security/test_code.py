"""Code that lies beside a net is never run: only what the user installed and registered is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from netc.aot import toolchain
from netc.aot.targets import target_of
from netc.backends.cpu import jit, processes
from netc.diagnostics import NetcError
from netc.paths import installed_program
from tests.conftest import ROOT
from tests.machines import runnable

PLAIN = runnable("plain 1M")  # instructions that every processor has

NAMES = ("netc", "numba", "numpy", "llvmlite", "lark", "PIL", "rich", "yaml", "h5py", "argparse",
         "typing", "subprocess", "importlib", "google", "sitecustomize", "usercustomize",
         "ast", "dataclasses", "rpn")  # fmt: skip

# Many kernels, so that helping processes are started on any machine of two processors or more.
NET = (ROOT / "tests" / "security" / "many.prototxt").read_text()


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of a net in which every module's name has a file that leaves a trace."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    for name in NAMES:
        text = f"open({str(folder / 'RAN')!r}, 'a').write({name!r} + chr(10))\n"
        (folder / f"{name}.py").write_text(text)
    (folder / "dot").write_text(f"#!/bin/sh\necho dot >> {folder / 'RAN'}\n")
    (folder / "dot").chmod(0o755)
    (folder / "net.prototxt").write_text(NET)
    return folder


def run_netc(folder: Path, cache: Path, *arguments: str, **environment: str) -> str:
    """``netc`` as its script starts it, in a stranger's folder."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from netc.__main__ import main; main()"
    script = cache.parent / "netc-script.py"
    script.write_text(start)
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env={**os.environ, "NETC_CACHE_DIR": str(cache), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def ran(folder: Path) -> str:
    trace = folder / "RAN"
    return trace.read_text() if trace.exists() else ""


def test_nothing_in_the_current_folder_is_imported(trap: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run_netc(trap, cache, "run", "net.prototxt")
    assert ran(trap) == ""
    assert len(list(cache.glob("*.o"))) > 8, "kernels were compiled"


def test_helping_processes_import_nothing_there(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine's processors, and with the empty part that people's PYTHONPATH has."""
    monkeypatch.chdir(trap)
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    kernels = [jit.spec("moving", "image_to_pixels", channels=c) for c in (141, 142)]
    with processes.others(1, PLAIN) as (process,):
        process.feed(deque(kernels))
        process.wait()
    assert len(list((tmp_path / "cache").glob("*.o"))) == 2
    assert ran(trap) == ""


def test_graphviz_is_not_taken_from_the_current_folder(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netc.cli.main import main

    monkeypatch.chdir(trap)
    for path in ("", ".", f".{os.pathsep}", os.pathsep):
        monkeypatch.setenv("PATH", path)
        assert main(["draw", "net.prototxt", "-o", "net.svg"]) == 1
    assert ran(trap) == ""


def test_a_c_compiler_is_not_taken_from_the_current_folder(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trap)
    monkeypatch.delenv("CC", raising=False)
    for name in ("cc", "gcc", "clang", "ar", "x86_64-linux-gnu-gcc", "x86_64-linux-gnu-ar"):
        shutil.copy(trap / "dot", trap / name)
    for path in ("", ".", f".{os.pathsep}", os.pathsep):
        monkeypatch.setenv("PATH", path)
        for name in ("cc", "gcc", "clang", "ar"):
            assert installed_program(name) is None
        assert toolchain._system(target_of("x86_64-linux-gnu", None)) is None
    assert ran(trap) == ""


def test_the_current_folder_leaves_the_module_path(trap: Path, tmp_path: Path) -> None:
    text = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import netc;"
    text += "sys.path[:0] = ['', '.', sys.argv[1]]; import netc.__main__ as m;"
    text += "m._leave_out_current_folder(); print(sys.path)"
    told = subprocess.run(
        [sys.executable, "-c", text,
         str(trap)],
        cwd=trap,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(ROOT) in told and str(trap) not in told and "''" not in told and "'.'" not in told


def test_a_compiler_is_not_steered_by_the_current_folder(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba obeys a `.numba_config.yaml` of the current folder; code made so would be kept."""
    (trap / ".numba_config.yaml").write_text("disable_jit: 1\nopt: 0\n")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "cache"))
    kernel = jit.spec("moving", "image_to_pixels", channels=143)
    assert all(jit.load([kernel], PLAIN).values())
    assert len(list((tmp_path / "cache").glob("*.o"))) == 1
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NetcError, match="steered-compiler"):
        jit.load([jit.spec("moving", "image_to_pixels", channels=144)], PLAIN)


def test_a_layer_names_a_module_and_it_is_not_imported(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netc.cli.main import main

    monkeypatch.chdir(trap)
    (trap / "p.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 1 } } }\n'
        'layer { name: "p" type: "Python" bottom: "d" top: "p" '
        'python_param { module: "rpn" layer: "Layer" } }'
    )
    assert main(["run", "p.prototxt"]) == 1
    assert main(["check", "p.prototxt"]) in (0, 1)
    assert ran(trap) == ""
