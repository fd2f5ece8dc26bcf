"""Finds Graphviz's ``dot`` and runs it."""

from __future__ import annotations

import subprocess
import tempfile

from netc.diagnostics import Diagnostic, NetcError
from netc.paths import installed_program

_SECONDS = 300  # for Graphviz to lay out a net


def program() -> str:
    """The path of Graphviz's ``dot``.

    Raises:
        NetcError: missing-program.
    """
    found = installed_program("dot")
    if found is None:
        raise NetcError(
            Diagnostic(
                "missing-program",
                "pictures are drawn by the program `dot` of Graphviz, which is not installed",
                help=(
                    "install it: apt install graphviz, brew install graphviz, or "
                    "conda install graphviz",
                    "-o net.dot writes its input, which needs no program",
                    "`netc view` shows a net in a browser without it",
                ),
            )
        )
    return found


def drawn(program: str, kind: str, text: str) -> bytes:
    """The bytes of the picture that ``dot`` draws of a text; ``kind`` is a format such as png.

    Raises:
        NetcError: failed-program.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [program, f"-T{kind}"],
                input=text.encode("utf-8"),
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                cwd=folder,
            )
    except subprocess.TimeoutExpired:
        raise NetcError(_failed(f"it took longer than {_SECONDS} s")) from None
    if done.returncode or not done.stdout:
        printed = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NetcError(_failed(printed[0] if printed else f"exit code {done.returncode}"))
    return done.stdout


def _failed(reason: str) -> Diagnostic:
    return Diagnostic(
        "failed-program",
        f"`dot` did not draw the net: {reason}",
        help=("-o net.dot writes its input", "`netc view` shows a net without it"),
    )
