"""C toolchains: finding a compiler and archiver for a target, and running them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import NamedTuple

from netc.aot.targets import Target, host_target
from netc.diagnostics import Diagnostic, NetcError
from netc.paths import installed_program

_LIMIT = 600  # seconds
_ZIG = {
    "x86_64-linux-gnu": "x86_64-linux-gnu.2.17",
    "aarch64-linux-gnu": "aarch64-linux-gnu.2.17",
    "wasm32": "wasm32-wasi",
}
_PREFIXES = {"x86_64-linux-gnu": "x86_64-linux-gnu-", "aarch64-linux-gnu": "aarch64-linux-gnu-"}


class Toolchain(NamedTuple):
    """The commands, without arguments, that compile and link C, and archive objects, for a target.

    ``name`` is how messages call the toolchain.
    """

    name: str
    compiler: tuple[str, ...]
    archiver: tuple[str, ...]


def toolchain_for(target: Target) -> Toolchain:
    """The toolchain for a target: ``CC`` and ``AR``, else the system's, else ziglang's clang.

    The package ziglang comes with the extra ``build``.

    Raises:
        NetcError: no-compiler.
    """
    found = _own(target) or _system(target) or _zig(target)
    if found is None:
        message = f"there is no C compiler for `{target.name}` here"
        help = ("pip install 'netc[build]' brings one for every target, or set CC and AR",)
        raise NetcError(Diagnostic("no-compiler", message, help=help))
    return found


def _own(target: Target) -> Toolchain | None:
    """What the environment names; it is up to the user that it is one for the target."""
    named = os.environ.get("CC")
    if not named:
        return None
    return Toolchain(named, tuple(named.split()), tuple(os.environ.get("AR", "ar").split()))


def _system(target: Target) -> Toolchain | None:
    prefix = "" if target.name == host_target() else _PREFIXES.get(target.name)
    if prefix is None:
        return None
    archiver = installed_program(f"{prefix}ar")
    names = ("cc", "gcc", "clang") if not prefix else (f"{prefix}gcc",)
    compiler = next((path for name in names if (path := installed_program(name))), None)
    if compiler is None or archiver is None:
        return None
    return Toolchain(Path(compiler).name, (compiler,), (archiver,))


def _zig(target: Target) -> Toolchain | None:
    """Clang and LLVM's linker for all targets, as the package ziglang has them."""
    if util.find_spec("ziglang") is None:
        return None
    zig = (sys.executable, "-I", "-m", "ziglang")
    return Toolchain("zig cc", (*zig, "cc", "-target", _ZIG[target.name]), (*zig, "ar"))


def run(command: Sequence[str], folder: Path, what: str) -> None:
    """Run a command of a toolchain in a folder; ``what`` is the subject of the error message.

    Raises:
        NetcError: compiler-failed, with the first lines of its stderr; also after a timeout.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetcError(Diagnostic("compiler-failed", f"{what}: {error}")) from None
    if done.returncode:
        said = tuple(done.stderr.strip().splitlines()[:8])
        raise NetcError(
            Diagnostic("compiler-failed", f"{what} failed: {' '.join(command[:3])} ...", help=said)
        )
