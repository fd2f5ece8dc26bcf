"""What a format is, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from netc.predict.answers import OutputColumn

Columns = Mapping[str, Any]  # by the fields' names, the first axis the row


class Format(Protocol):
    """How rows become a file. Files of formats are written in full; the caller renames them."""

    suffix: str

    def check(self, fields: Sequence[OutputColumn]) -> None:
        """Complain before any work of what the format cannot hold, or a package that is absent.

        Raises:
            NetcError: missing-package.
        """

    def write(self, path: Path, fields: Sequence[OutputColumn], columns: Columns) -> None:
        """Write one shard."""

    def join(self, parts: Sequence[Path], path: Path, fields: Sequence[OutputColumn]) -> None:
        """Write one file of the rows of several, in their order, without holding them all."""


def rows_of(columns: Columns) -> int:
    """How many rows there are."""
    return len(next(iter(columns.values())))
