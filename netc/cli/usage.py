"""Error messages for command lines that cannot be parsed."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from netc.cli.output import say
from netc.diagnostics import did_you_mean


def unknown_command(name: str, commands: Iterable[str]) -> list[str]:
    """The complaint about a command that there is not."""
    lines = [f"netc: error: there is no command `{name}`"]
    if name.endswith((".prototxt", ".pbtxt", ".netc")):
        hints: tuple[str, ...] = (f"`netc check {name}` checks it, `netc run {name} ...` runs it",)
    elif name.lower() in _ELSEWHERE:
        hints = (_ELSEWHERE[name.lower()],)
    else:
        hints = did_you_mean(name, commands) or ("the commands are " + ", ".join(commands),)
    return [*lines, *(f"   = help: {hint}" for hint in hints)]


# What other programs call it.
_ELSEWHERE = {
    "version": "`netc --version` tells the version",
    "convert": "`netc export NET` writes an ONNX model, `netc upgrade OLD` the current format",
    "onnx": "`netc export NET` writes an ONNX model",
    "test": "`netc run NET` runs a net",
    "classify": "`netc run NET --labels FILE` classifies images",
    "info": "`netc summary NET` shows layers, shapes and costs",
    "show": "`netc view NET` makes a page of a net, `netc summary NET` a table",
    "format": "`netc fmt FILE` prints a text in canonical form",
    "diff": "`netc compare A B` shows what differs between two nets",
    "validate": "`netc check FILE` checks a text",
    "memory": "`netc summary NET --memory` tells what a net takes",
    "device_query": "`netc devices` lists what nets can run on",
}


class Formatter(argparse.HelpFormatter):
    """Help texts whose lines end at blanks alone, never within a word such as `--input-shape`."""

    def __init__(self, prog: str, indent_increment: int = 2, max_help_position: int = 24) -> None:
        super().__init__(prog, indent_increment, max_help_position)

    def add_argument(self, action: argparse.Action) -> None:
        """Make room for an action; for the names of commands also for their indent."""
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            " ".join(text.split()), width, break_on_hyphens=False, break_long_words=False
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


class UsageParser(argparse.ArgumentParser):
    """A parser whose complaints fit the terminal."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is; ends with exit code 2."""
        help = f"   = help: `{self.prog} --help` tells the arguments"
        say(f"{self.prog}: error: {message}", help, stream=sys.stderr)
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help as everything is printed; argparse would pass over a full disk."""
        if message:
            say(*message.removesuffix("\n").split("\n"), stream=file)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """All options of a command, those of its actions among them."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _options(inner)


def no_option(arguments: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """The first argument that looks like an option and is none; empty where all are.

    It is told before what is missing: `--hlp` alone is a misspelt option, not a missing file.
    """
    known = list(_options(parser))
    for argument in arguments[: arguments.index("--") if "--" in arguments else None]:
        name = argument.partition("=")[0]
        if len(name) > 2 and name.startswith("--") and not any(o.startswith(name) for o in known):
            return name
    return ""


def unknown_option(name: str, parser: argparse.ArgumentParser) -> list[str]:
    """The complaint about an option that stands where a command should."""
    unknown = unknown_arguments([name], parser)
    return [f"netc: error: {unknown}", "   = help: `netc --help` lists the commands"]


def unknown_arguments(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """The complaint about arguments that a command does not have."""
    name = unknown[0].partition("=")[0]
    if not name.startswith("-"):
        return f"`{name}` is one argument too many"
    near = "; ".join(_near_options(name, parser))
    return f"there is no option `{name}`" + (f"; {near}" if near else "")


def _near_options(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The hint at options that may be meant: their dashes, which all have, make none of them near.

    `--version` is of `netc` itself, and meant behind a command too.
    """
    options = {"version": "netc --version"}
    options |= {option.lstrip("-"): option for option in _options(parser)}
    for hint in did_you_mean(name.lstrip("-"), options):
        yield re.sub(r"`([^`]+)`", lambda match: f"`{options[match[1]]}`", hint)
