"""The code blocks of documents, and what runs them.

A fenced block is tried by its language: ```` ```console ```` holds commands behind ``$ `` with what
they print, where a line ``...`` stands for any lines and ``...`` within a line for any text;
```` ```python ```` runs, with names kept from block to block; a block whose first line is
``# file: NAME`` is written to that file.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from netc.cli.main import main

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


class Block(NamedTuple):
    """A block of code with its language, empty where none is named, and its line."""

    language: str
    text: str
    line: int


def fenced(path: Path) -> list[Block]:
    """The fenced blocks of a document."""
    text = path.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _FENCED.finditer(text)]


def indented(path: Path) -> list[Block]:
    """The indented blocks of a document."""
    text = _FENCED.sub(lambda m: "\n" * m[0].count("\n"), path.read_text(encoding="utf-8"))
    return [
        Block("", re.sub(r"^    ", "", m[0], flags=re.M), text.count("\n", 0, m.start()) + 1)
        for m in _INDENTED.finditer(text)
    ]


def commands(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The command lines of netc in a document's blocks, with their lines, as words."""
    for block in (*fenced(path), *indented(path)):
        text = block.text.replace("\\\n", "  ")
        for line in text.splitlines():
            found = re.match(r"(?:\$ )?(?:pip install \S+ && )?(netc .*)", line)
            if found and block.language != "python":
                command = re.split(r"\s(?:\||>|&&|2>)\s", found[1])[0]
                yield block.line, shlex.split(command, comments=True)


def try_document(path: Path) -> None:
    """Run a document's blocks in the current folder, and compare what they print."""
    names: dict[str, object] = {"__name__": "document"}
    for block in fenced(path):
        file = re.match(r"# file: (\S+)\n", block.text)
        if file:
            Path(file[1]).write_text(block.text[file.end() :], encoding="utf-8")
        elif block.language == "python":
            code = compile("\n" * block.line + block.text, path.name, "exec")
            exec(code, names)  # what the project's own documents say
        elif block.language == "console":
            _try_console(block, path.name)


def _try_console(block: Block, name: str) -> None:
    parts = re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE)[1:]
    for part in parts:
        command, _, expected = part.partition("\n")
        printed = _printed(command)
        assert _fits(expected, printed), (
            f"{name}:{block.line}: `{command}` printed\n{printed}\nand not\n{expected}"
        )


def _printed(command: str) -> str:
    """What a command prints on both streams."""
    words = shlex.split(command, comments=True)
    if words[0] == "netc" and not set(words) & {"|", ">", "&&"}:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main(words[1:])
        assert isinstance(out.buffer, io.BytesIO)
        return out.buffer.getvalue().decode("utf-8")
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, text=True, env=environment, check=False, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def _fits(expected: str, printed: str) -> bool:
    lines = [line.rstrip() for line in expected.strip("\n").splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"[ ]*\n"
        for line in lines
    )
    text = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None
