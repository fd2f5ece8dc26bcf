"""The names under which kernels' machine code is kept: hashes of all that it follows from.

That is the kernel and its options; the machine; the versions of Numba and llvmlite; and the sources
that write it: the kernel's module and that of the compiler, with every module of netc that they
import, directly or not. So a change of one kernel recompiles that kernel, and one of a module that
many share recompiles these.

The sources are read, not imported, since that would import Numba. Imports count wherever they
stand, in functions too, and so does a module's name in quotes; only what type checkers alone see
does not. Lines that are comments do not count: a better explanation recompiles nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from netc.backends.cpu.machine import Machine
from netc.cache import content_key

_PACKAGE = Path(__file__).resolve().parents[2]
_KERNELS = "netc.backends.cpu.kernels"
_COMPILER = f"{_KERNELS}.build"
_SELF = "netc.backends.cpu.keys"

# Imported by what writes machine code, and nothing in it follows from them: how errors are told.
WITHOUT_EFFECT = frozenset({"netc.diagnostics"})

_UNSEEN = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)
_FROM = re.compile(
    r"^[ \t]*from[ \t]+(netc(?:\.\w+)*)[ \t]+import[ \t]+(\([^)]*\)|.*)", re.MULTILINE
)
_IMPORT = re.compile(r"^[ \t]*import[ \t]+(netc\b.*)", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*#.*\n", re.MULTILINE)
_QUOTED = re.compile(r"[\"'](netc(?:\.\w+)+)")


@cache
def kernel_key(what: str, module: str, target: Machine, package: Path = _PACKAGE) -> str:
    """The key of a kernel's machine code.

    Args:
        what: the kernel with its options, as text.
        module: the kernel's, below ``netc.backends.cpu.kernels``.
        target: the machine it is compiled for.
        package: netc's folder.
    """
    machine = f"{what}|{target.isa}|{target.cpu}|{target.features}"
    return content_key(_sources(f"{_KERNELS}.{module}", package), machine.encode())


def symbol(key: str) -> str:
    """The name of a kernel's function in its object file."""
    return f"netc_{key}"


@cache
def _sources(module: str, package: Path) -> bytes:
    """A hash of the compilers' versions and of all texts that a kernel's code follows from."""
    versions = f"{metadata.version('numba')} {metadata.version('llvmlite')}"
    texts = sources_of(module, package)
    named = (f"{name}\0{_COMMENTS.sub('', texts[name])}".encode() for name in sorted(texts))
    return content_key(versions.encode(), *named).encode()


def sources_of(module: str, package: Path = _PACKAGE) -> Mapping[str, str]:
    """Module -> text, of a kernel's module, the compiler, and all of netc that they import.

    Args:
        module: the full name of the kernel's module.
        package: netc's folder.
    """
    found: dict[str, str] = {}
    waiting = [module, _COMPILER, _SELF]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in WITHOUT_EFFECT:
            found[name] = _text(package, name)
            if name != _SELF:  # it computes nothing that a kernel contains
                waiting.extend(_imports(package, name))
    return found


@cache
def _imports(package: Path, name: str) -> tuple[str, ...]:
    return tuple(imported(_text(package, name), package))


@cache
def _text(package: Path, name: str) -> str:
    return _path(package, name).read_text(encoding="utf-8")


def imported(text: str, package: Path = _PACKAGE) -> Iterator[str]:
    """The modules of netc that a module's text names, packages themselves left out."""
    seen = _UNSEEN.sub("", text)
    names = {*_QUOTED.findall(seen)}
    for line in _IMPORT.findall(seen):
        names.update(re.findall(r"\bnetc\b[.\w]*", line))
    for home, listed in _FROM.findall(seen):
        names.update(f"{home}.{word}" for word in re.findall(r"\w+", listed))
    for name in sorted(names):
        while name.count("."):
            if _path(package, name).is_file():
                yield name
                break
            name = name.rpartition(".")[0]


def _path(package: Path, name: str) -> Path:
    return package.joinpath(*name.split(".")[1:]).with_suffix(".py")
