"""Tables: for a terminal, for 80 columns of plain text, for Markdown and for spreadsheets."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand to the right."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, one for each column; ``style`` is "", "module", "total" or "note".

    A note's first cell stands across all columns.
    """

    cells: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def clean(text: str) -> str:
    """The text without characters that would steer a terminal or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def width_of(text: str) -> int:
    """Columns of a terminal that a text takes; East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _cleaned(table: Table) -> Table:
    rows = (Row(tuple(map(clean, row.cells)), row.style) for row in table.rows)
    return Table(table.columns, tuple(rows))


def print_table(table: Table, stream: TextIO, width: int = 80) -> None:
    """The table in colour on a terminal, in plain text elsewhere."""
    if stream.isatty():
        _print_rich(table, stream)
    else:
        stream.write(plain(table, width))


def plain(table: Table, width: int = 80) -> str:
    """The table in columns.

    Where the rows would be wider than ``width`` the first column is made narrower, and a first
    cell that does not fit stands on a line of its own: nothing is cut off.
    """
    table = _cleaned(table)
    titles = Row(tuple(column.title for column in table.columns))
    widths, gap = _widths(table, width)
    rule = gap.join("-" * w for w in widths)
    lines = [*_lines(titles, table.columns, widths, gap), rule]
    for row in table.rows:
        if row.style == "total":
            lines.append(rule)
        lines += _lines(row, table.columns, widths, gap)
    return "".join(line.rstrip() + "\n" for line in lines)


def _widths(table: Table, width: int) -> tuple[list[int], str]:
    """The columns' widths, and the blanks between them: one where that saves width."""
    told = (row.cells for row in table.rows if row.style != "note")
    cells = [[column.title for column in table.columns], *told]
    first, *others = (max(width_of(row[at]) for row in cells) for at in range(len(table.columns)))
    gap = "  " if first + sum(others) + 2 * len(others) <= width else " "
    room = width - sum(others) - len(gap) * len(others)
    return [max(len(table.columns[0].title), min(first, room)), *others], gap


def _lines(row: Row, columns: Sequence[Column], widths: Sequence[int], gap: str) -> list[str]:
    first, *rest = row.cells
    if row.style == "note":
        return [first]
    before = [first] if width_of(first) > widths[0] else []
    cells = ["" if before else first, *rest]
    fitted = (
        _padded(cell, w, column.right)
        for cell, column, w in zip(cells, columns, widths, strict=True)
    )
    return [*before, gap.join(fitted)] if any(rest) or not before else before


def _padded(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - width_of(cell))
    return blanks + cell if right else cell + blanks


def _print_rich(table: Table, stream: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in table.columns:
        justify = "right" if column.right else "left"
        shown.add_column(column.title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    styles = {"module": "bold cyan", "total": "bold", "note": "dim"}
    for row in _cleaned(table).rows:
        if row.style == "total":
            shown.add_section()
        shown.add_row(*map(Text, row.cells), style=styles.get(row.style))
    Console(file=stream).print(shown)


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = ("---:" if column.right else "---" for column in table.columns)
    lines = [_bar(column.title for column in table.columns), _bar(rule)]
    for row in _cleaned(table).rows:
        strong = row.style in ("module", "total")
        lines.append(_bar(_markdown_cell(cell, strong) for cell in row.cells))
    return "\n".join(lines) + "\n"


def _bar(cells: object) -> str:
    return f"| {' | '.join(cells)} |"  # type: ignore[arg-type]


def _markdown_cell(cell: str, strong: bool) -> str:
    """Escaped; leading blanks, which show depth, kept."""
    text = cell.lstrip(" ")
    for mark in ("\\", "|", "`", "*", "_", "<", "[", "#", "~"):
        text = text.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    indent = "&nbsp;" * (len(cell) - len(cell.lstrip(" ")))
    return indent + (f"**{text}**" if strong and text else text)


def as_csv(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Values as comma-separated lines under their names.

    A text that a spreadsheet would take for a formula is given a leading apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _csv_cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
