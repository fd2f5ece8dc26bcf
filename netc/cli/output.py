"""How commands print: diagnostics to standard error, results to standard output, JSON for both.

All output of commands goes through this module (a test checks it), and is made safe for a terminal
here, since names of layers, labels and files are untrusted.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from netc.diagnostics import Diagnostic, first_of, render
from netc.printable import printable, width_of

_COLOURS = {"error": "31", "warning": "33", "note": "36"}


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, as_json: bool = False) -> None:
    """The diagnostics, to standard error; as one JSON object on standard output if asked."""
    if as_json:
        print_json({"diagnostics": [d.to_json() for d in diagnostics]})
        return
    for diagnostic in first_of(diagnostics):
        head = f"{diagnostic.severity}[{diagnostic.code}]"
        lines = render(diagnostic).split("\n")
        say(*lines, stream=sys.stderr, bold=(head, _COLOURS[diagnostic.severity]))


def say(*lines: str, stream: IO[str] | None = None, bold: tuple[str, str] | None = None) -> None:
    """Print lines; on a terminal those too long for it go on in the next one, at a blank.

    What goes on is indented as its line is and two more. Elsewhere a line stays one line, for
    programs that read lines. The source lines of diagnostics fit 80 columns as they are.

    Args:
        lines: each is one line, whatever is in it: a newline in a name is printed as ``\\n``.
        stream: standard output if it is not said.
        bold: a text whose first place is in colour on a terminal that wants it, and the colour.
    """
    stream = stream or sys.stdout
    shown = [printable(line) for line in lines or ("",)]
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        shown = [part for line in shown for part in _fitted(line, width)]
    text = "\n".join(shown)
    if bold and stream.isatty() and not os.environ.get("NO_COLOR"):
        text = text.replace(bold[0], f"\x1b[1;{bold[1]}m{bold[0]}\x1b[0m", 1)
    print(text, file=stream)


def report_broken(broken: Sequence[str]) -> None:
    """The records that were left out, to standard error: the first ten, and how many there are."""
    for message in broken[:10]:
        say(f"left out: {message}", stream=sys.stderr)
    if broken:
        say(f"records left out: {len(broken)}", stream=sys.stderr)


def print_text(text: str) -> None:
    """A text on standard output: byte by byte as it was read, but for a terminal to show."""
    if sys.stdout.isatty() or not hasattr(sys.stdout, "buffer"):  # in a notebook, say
        say(*text.removesuffix("\n").split("\n"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


_EXCERPT = re.compile(r" *\d* \| ")
_INDENT = re.compile(r" *(= (note|help): |\S+  +)?")  # also behind the term of a list of terms


def _fitted(line: str, width: int) -> list[str]:
    if width_of(line) <= width or _EXCERPT.match(line):
        return [line]
    indent = _INDENT.match(line)
    rest = " " * ((indent.end() if indent else 0) or 2)
    lines, room = [""], width
    for word in re.findall(r" *[^ ]+", line):
        taken = width_of(word)
        if lines[-1].strip() and taken > room:
            word = rest + word.lstrip()
            lines.append("")
            room, taken = width, width_of(word)
        lines[-1] += word
        room -= taken
    return lines


def print_json(value: object) -> None:
    """A value as JSON on standard output, escaped where its encoding lacks a character.

    Numbers that JSON lacks (infinities, not-a-number) become null.
    """
    value = _finite(value)
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(_UNUSUAL.sub(_escaped, text))


_UNUSUAL = re.compile(r"[^\x20-\x7e\n]")


def _escaped(found: re.Match[str]) -> str:
    """A character that does not print as JSON escapes it; what it stands for stays exact."""
    char = found[0]
    if char.isprintable():
        return char
    return json.dumps(char)[1:-1] if ord(char) > 0x7F else f"\\u{ord(char):04x}"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def drop_output() -> None:
    """Discard all further output, since its reader has closed the pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):  # a stream of the caller's own has no number
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def tolerate_any_text() -> None:
    """Let standard output escape what its encoding lacks, as standard error does.

    A stream that was closed (``>&-``) becomes one that nobody reads.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
