"""Kernels as text: a template of kernels/*.cuh, constants, and code generated for its epilogue.

Nothing here needs a GPU or CuPy: the text is compiled by NVRTC for a device, by the tests for
several devices, and by the emulator of the tests as C++.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netc.cache import content_key

_FOLDER = Path(__file__).resolve().parent / "kernels"

Constant = int | bool
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Generated pieces of a kernel that ends in an epilogue (see netc.backends.cuda.chains).

    Args:
        text: definitions of ``Outputs``, ``Operands`` and ``chain``.
        parameters: declarations of their fields, as a tail of a parameter list.
        outputs: the braces that make an ``Outputs`` of the parameters.
        operands: the braces that make an ``Operands`` of the parameters.
    """

    text: str
    parameters: str
    outputs: str
    operands: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: what its machine code follows from.

    Args:
        template: the file's name in kernels/, without suffix.
        constants: names and values that the template takes as given.
        types: names and C++ types that the template takes as given.
        code: its epilogue; None where the template has none.
        tables: names and values of matrices that the template takes as given.
        shared: bytes of shared memory that a launch must give it, where it needs more than a
            kernel may have by itself; else 0.
    """

    template: str
    constants: tuple[tuple[str, Constant], ...] = ()
    types: tuple[tuple[str, str], ...] = ()
    code: Code | None = None
    tables: tuple[tuple[str, Rows], ...] = ()
    shared: int = 0

    @property
    def name(self) -> str:
        """The name of the function, the same for the same text."""
        return _name(self)

    def constant(self, name: str) -> int:
        """One of its constants."""
        return int(dict(self.constants)[name])


@cache
def _template(name: str) -> str:
    """A file of kernels/ with those that it includes; NVRTC sees one text and looks for no file."""
    text = (_FOLDER / f"{name}.cuh").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: _template(found[1]), text)


_INCLUDE = re.compile(r'^#include "(\w+)\.cuh"\n', re.MULTILINE)


@cache
def _body(kernel: Kernel) -> str:
    lines = [f"using {name} = {target};\n" for name, target in kernel.types]
    for name, value in kernel.constants:
        kind = "bool" if isinstance(value, bool) else "int"
        lines.append(f"constexpr {kind} {name} = {str(value).lower()};\n")
    lines += [_table(name, rows) for name, rows in kernel.tables]
    code, text = kernel.code, _template(kernel.template)
    text = text.replace("TILES_SHARED", "LAUNCH_SHARED" if kernel.shared else "SHARED")
    if code is not None:
        lines.append(code.text)
        text = text.replace("OUTPUT_PARAMETERS", "").replace("OPERAND_PARAMETERS", code.parameters)
        text = text.replace("OUTPUT_VALUES", code.outputs)
        text = text.replace("OPERAND_VALUES", code.operands)
    return "".join(lines) + text


def _table(name: str, rows: Rows) -> str:
    lists = ", ".join(f"{{{', '.join(f'{float(v)!r}f' for v in row)}}}" for row in rows)
    return f"TABLE {name}[{len(rows)}][{len(rows[0])}] = {{{lists}}};\n"


@cache
def _name(kernel: Kernel) -> str:
    return f"netc_{kernel.template}_{content_key(_body(kernel).encode())[:16]}"


def kernel_text(kernel: Kernel) -> str:
    """A kernel's definition, in a namespace of its own."""
    body = _body(kernel).replace("KERNEL_NAME", kernel.name)
    return f"namespace scope_{kernel.name} {{\n{body}}}\n"


def module_text(kernels: Iterable[Kernel]) -> str:
    """A whole text to compile: what all kernels use, and some kernels."""
    return _template("prelude") + "".join(map(kernel_text, kernels))
