"""How commands print: diagnostics to standard error, results to standard output, JSON for both."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any

from netc.diagnostics import Diagnostic, first_of, render
from netc.report.table import width_of

_COLOURS = {"error": "31", "warning": "33", "note": "36"}


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, as_json: bool = False) -> None:
    """The diagnostics, to standard error; as one JSON object on standard output if asked."""
    if as_json:
        print_json({"diagnostics": [d.to_json() for d in diagnostics]})
        return
    for diagnostic in first_of(diagnostics):
        say(coloured(diagnostic, sys.stderr), stream=sys.stderr)


def say(text: str = "", *, stream: IO[str] | None = None) -> None:
    """Print lines; on a terminal those too long for it go on in the next one, at a blank.

    What goes on is indented as its line is and two more. Elsewhere a line stays one line, for
    programs that read lines. The source lines of diagnostics fit 80 columns as they are.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(part for line in text.split("\n") for part in _fitted(line, width))
    print(text, file=stream)


_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_EXCERPT = re.compile(r" *\d* \| ")
_INDENT = re.compile(r" *(= (note|help): |\S+  +)?")  # also behind the term of a list of terms


def _fitted(line: str, width: int) -> list[str]:
    if width_of(_COLOUR.sub("", line)) <= width or _EXCERPT.match(line):
        return [line]
    indent = _INDENT.match(line)
    rest = " " * ((indent.end() if indent else 0) or 2)
    lines, room = [""], width
    for word in re.findall(r" *[^ ]+", line):
        taken = width_of(_COLOUR.sub("", word))
        if lines[-1].strip() and taken > room:
            word = rest + word.lstrip()
            lines.append("")
            room, taken = width, width_of(_COLOUR.sub("", word))
        lines[-1] += word
        room -= taken
    return lines


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
