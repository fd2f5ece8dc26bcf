"""The table of the nets in ``prototxt/``, and the public figures it cites."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from netc.data import prototxt_dir


class Net(NamedTuple):
    """A line of ``zoo.tsv``; a figure that nobody published is empty.

    Args:
        net: its name.
        file: without the ``.netc``.
        define: its parameters, as in ``-D``, with spaces between them.
        paper: where it comes from.
        parameters: trained ones.
        parameters_from: "model | variant" of the public figures, or in words.
        macs: of an image.
        macs_from: "model | variant" of the public figures.
        macs_about: in millions, counted with normalisation and the like.
        about_from: "model | variant" of the public figures.
    """

    net: str
    file: str
    define: str
    paper: str
    parameters: str
    parameters_from: str
    macs: str
    macs_from: str
    macs_about: str
    about_from: str

    @property
    def path(self) -> Path:
        """Of its source."""
        return prototxt_dir() / f"{self.file}.netc"

    @property
    def defined(self) -> dict[str, str]:
        """Its parameters by name."""
        return dict(item.split("=") for item in self.define.split())


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


NETS = [Net(**row) for row in _rows(prototxt_dir() / "zoo.tsv")]


def public_figures(path: Path) -> set[tuple[str, str, str]]:
    """("model | variant", "params" or "macs", value) of each public figure."""
    return {
        (f"{row['model']} | {row['variant']}", row["metric"].split("_")[0], row["value"])
        for row in _rows(path)
    }
