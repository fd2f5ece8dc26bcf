"""Options that several commands have."""

from __future__ import annotations

import argparse

from netc.cli.items import feed
from netc.cli.numbers import above_zero


def add_until_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """``--until``: the blobs that are wanted, without the layers after them."""
    parser.add_argument("--until", metavar="BLOB", action="append", default=[], help=help)


def add_tolerance_argument(parser: argparse.ArgumentParser, default: float) -> None:
    """``--tolerance``: how far apart the numbers of two nets may be."""
    parser.add_argument(
        "--tolerance",
        metavar="X",
        type=above_zero,
        default=default,
        help=f"of a blob's largest number (default: {default:g})",
    )


def add_feed_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """``-i``: files that inputs are fed with."""
    parser.add_argument(
        "-i",
        "--input",
        metavar="[BLOB=]FILE",
        type=feed,
        action="append",
        default=[],
        help=help,
    )


def add_backend_argument(parser: argparse._ActionsContainer) -> None:
    """``--backend``: where a net runs."""
    parser.add_argument("--backend", default="cpu", help="cpu, cuda or reference (default: cpu)")
