"""How commands print: diagnostics to standard error, results to standard output, JSON for both."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import IO, Any

from netc.diagnostics import Diagnostic, first_of, render

_COLOURS = {"error": "31", "warning": "33", "note": "36"}


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, as_json: bool = False) -> None:
    """The diagnostics, to standard error; as one JSON object on standard output if asked."""
    if as_json:
        print_json({"diagnostics": [d.to_json() for d in diagnostics]})
        return
    for diagnostic in first_of(diagnostics):
        print(coloured(diagnostic, sys.stderr), file=sys.stderr)


def coloured(diagnostic: Diagnostic, stream: IO[str]) -> str:
    """The rendered diagnostic, its head in colour on a terminal that wants it."""
    text = render(diagnostic)
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    head = f"{diagnostic.severity}[{diagnostic.code}]"
    colour = _COLOURS[diagnostic.severity]
    return text.replace(head, f"\x1b[1;{colour}m{head}\x1b[0m", 1)


def print_json(value: Any) -> None:
    """A value as JSON on standard output, escaped where its encoding lacks a character.

    Numbers that JSON lacks (infinities, not-a-number) become null.
    """
    value = _finite(value)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def tolerate_any_text() -> None:
    """Let standard output escape what its encoding lacks, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
