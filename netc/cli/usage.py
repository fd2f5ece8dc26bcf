"""What to say of a command line that cannot be understood."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from netc.diagnostics import did_you_mean


def unknown_command(name: str, commands: Iterable[str]) -> str:
    """The complaint about a command that there is not."""
    lines = [f"netc: error: there is no command `{name}`"]
    if name.endswith((".prototxt", ".pbtxt")):
        hints: tuple[str, ...] = (f"`netc check {name}` checks it, `netc run {name} ...` runs it",)
    else:
        hints = did_you_mean(name, commands) or ("the commands are " + ", ".join(commands),)
    return "\n".join([*lines, *(f"   = help: {hint}" for hint in hints)])


def unknown_arguments(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """The complaint about arguments that a command does not have."""
    options = [o for action in parser._actions for o in action.option_strings]
    name = unknown[0].partition("=")[0]
    if not name.startswith("-"):
        return f"`{name}` is one argument too many"
    near = "; ".join(did_you_mean(name, options))
    return f"there is no option `{name}`" + (f"; {near}" if near else "")
