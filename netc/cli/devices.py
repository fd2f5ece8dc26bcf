"""``netc devices``: what netc can run on here."""

from __future__ import annotations

import argparse

from netc.backends.registry import DEVICES
from netc.cli.output import print_json, say

_NAMES = 8  # columns of a device's name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Tell what each backend runs on, or why it cannot."""
    found = {name: describe() for name, describe in DEVICES.items()}
    if args.json:
        print_json({name: description.facts for name, description in found.items()})
        return 0
    for description in found.values():
        for name, line in description.lines:
            say(f"{name:{_NAMES}} {line}")
    return 0
