"""A terminal of a given width that a command prints to."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence
from unittest.mock import patch

from netc.cli.main import main

_STEERING = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        """It is."""
        return True

    def lines(self) -> list[str]:
        """What was printed, without colours."""
        bytes = self.buffer
        assert isinstance(bytes, io.BytesIO)
        return _STEERING.sub("", bytes.getvalue().decode("utf-8")).splitlines()


def on_terminal(argv: Sequence[str], width: int = 80) -> tuple[int, list[str]]:
    """The exit code and the lines, errors among them, of a command run on a terminal."""
    terminal = Terminal()
    with (
        patch.dict(os.environ, {"COLUMNS": str(width), "TERM": "xterm"}),
        contextlib.redirect_stdout(terminal),
        contextlib.redirect_stderr(terminal),
    ):
        code = main(argv)
    return code, terminal.lines()
