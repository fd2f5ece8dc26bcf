"""The public files: each is read, or refused with a place, as a plain reader does."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from netc.diagnostics import NetcError
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source


def entries(corpus: Path) -> list[dict[str, Any]]:
    """The rows of the index, with the path of each file."""
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [{**row, "path": corpus / "files" / row["file"]} for row in rows]


def codes(path: Path) -> list[str]:
    """The codes of a file's faults, each of which has a place."""
    try:
        parse_document(read_source(path))
    except NetcError as error:
        assert all(d.span is not None for d in error.diagnostics), path
        return [d.code for d in error.diagnostics]
    return []


def test_each_file_is_read_or_refused_as_the_index_says(corpus: Path) -> None:
    told = {}
    for entry in entries(corpus):
        found = codes(entry["path"])
        assert bool(found) == bool(entry["parse_error"]), (entry["file"], found)
        if found:
            told[entry["file"]] = found
    assert all(len(found) == 1 for found in told.values()), told
    assert {code for found in told.values() for code in found} == {
        "merge-conflict",
        "missing-comma",
        "template",
        "unresolved-placeholder",
        "unterminated-string",
    }
