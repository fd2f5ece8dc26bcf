"""How commands print: diagnostics to standard error, results to standard output, JSON for both."""

from __future__ import annotations

import json
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
    """A value as JSON on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
