"""Tables: laid out for a terminal's width, plain for pipes, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from netc.printable import csv_cell, width_of


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading; ``right`` aligns its cells to the right, as for numbers."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, one for each column; ``style`` is "", "module", "total" or "note".

    A note's first cell spans all columns.
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


def _cleaned(table: Table) -> Table:
    rows = (Row(tuple(map(clean, row.cells)), row.style) for row in table.rows)
    return Table(table.columns, tuple(rows))


def print_table(table: Table, stream: TextIO, width: int | None = None) -> None:
    """The table in colour and within ``width`` columns on a terminal, a row a line elsewhere."""
    if not stream.isatty():
        stream.write(plain(table))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream)
    for line in laid_out(table, width or console.width):
        console.print(Text(line.text, _STYLES.get(line.style, "")), soft_wrap=True)


_STYLES = {"title": "bold", "rule": "dim", "module": "bold cyan", "total": "bold", "note": "dim"}


def plain(table: Table) -> str:
    """The table in columns, each row in one line however long it is."""
    return "".join(f"{line.text}\n" for line in laid_out(table, None))


class TableLine(NamedTuple):
    """A line of a table; ``style`` is its row's, or "title" or "rule"."""

    text: str
    style: str


def laid_out(table: Table, width: int | None) -> list[TableLine]:
    """The table's lines, none of them wider than ``width`` where there is one.

    If the table is too wide these measures are taken in this order, and no word or number is ever
    broken: one blank between columns instead of two; a first cell without room gets its own line;
    lists are wrapped after a comma; columns are dropped from the right, which the last line says.
    """
    table = _cleaned(table)
    shown = table
    while width is not None and len(shown.columns) > 1 and _min_width(shown) > width:
        rows = (Row(row.cells[:-1], row.style) for row in shown.rows)
        shown = Table(shown.columns[:-1], tuple(rows))
    lines = _all_lines(shown, width)
    left_out = [column.title for column in table.columns[len(shown.columns) :]]
    if left_out:
        lines.append(
            TableLine(f"(no room for {', '.join(left_out)}; a pipe or file has all)", "note")
        )
    return lines


def _min_width(table: Table) -> int:
    """The columns that a table takes whose first cells stand on lines of their own."""
    return len(table.columns[0].title) + sum(
        1 + max(map(_min_cell_width, column)) for column in _columns_of(table)[1:]
    )


def _columns_of(table: Table) -> list[list[str]]:
    """The cells of each column, its title first; notes are in none."""
    shown = [row.cells for row in table.rows if row.style != "note"]
    return [[column.title, *(row[i] for row in shown)] for i, column in enumerate(table.columns)]


def _min_cell_width(cell: str) -> int:
    return max(map(width_of, _items(cell)))


def _items(cell: str) -> list[str]:
    """A list's items, each but the last with its comma."""
    first, *others = cell.split(", ")
    items = [first]
    for other in others:
        items[-1] += ","
        items.append(other)
    return items


def _all_lines(table: Table, width: int | None) -> list[TableLine]:
    widths, gap = _widths(table, width)
    rule = TableLine(gap.join("-" * w for w in widths), "rule")
    titles = Row(tuple(column.title for column in table.columns), "title")
    lines = [*_row_lines(titles, table.columns, widths, gap), rule]
    for row in table.rows:
        if row.style == "total":
            lines.append(rule)
        lines += _row_lines(row, table.columns, widths, gap)
    return [TableLine(line.text.rstrip(), line.style) for line in lines]


def _widths(table: Table, width: int | None) -> tuple[list[int], str]:
    """The columns' widths, and the blanks between them: one where that saves width."""
    columns = _columns_of(table)
    first, *others = (max(map(width_of, column)) for column in columns)
    gap = _gap(first + sum(others), len(others), width)
    if width is None:
        return [first, *others], gap
    title = len(table.columns[0].title)
    room = width - len(gap) * len(others)
    minimum = [max(map(_min_cell_width, column)) for column in columns[1:]]
    others = _shrunk(others, minimum, sum(others) + title - room)
    return [max(title, min(first, room - sum(others))), *others], gap


def _gap(cells: int, gaps: int, width: int | None) -> str:
    """One blank where two make a row too wide and one does not, or where nothing fits anyway."""
    if cells + 2 * gaps <= (width or _PAGE):
        return "  "
    return "  " if width is None and cells + gaps > _PAGE else " "


_PAGE = 80  # columns that a table in a file likes to keep


def _shrunk(widths: Sequence[int], minimum: Sequence[int], excess: int) -> list[int]:
    """Widths made smaller by ``excess`` in all, none below its least."""
    out = list(widths)
    while excess > 0:
        at = max(range(len(out)), key=lambda i: out[i] - minimum[i])
        if out[at] == minimum[at]:
            break
        out[at] -= 1
        excess -= 1
    return out


def _row_lines(
    row: Row, columns: Sequence[Column], widths: Sequence[int], gap: str
) -> list[TableLine]:
    first, *rest = row.cells
    if row.style == "note":
        return [TableLine(first, "note")]
    alone = width_of(first) > widths[0]
    cells = [[""] if alone else [first], *(map(_fitted, rest, widths[1:]))]
    height = max(map(len, cells))
    lines = [TableLine(first, row.style)] if alone else []
    if alone and not any(rest):
        return lines
    for i in range(height):
        parts = (
            _padded(cell[i] if i < len(cell) else "", w, column.right)
            for cell, column, w in zip(cells, columns, widths, strict=True)
        )
        lines.append(TableLine(gap.join(parts), row.style))
    return lines


def _fitted(cell: str, width: int) -> list[str]:
    """A cell in lines of at most ``width``, broken behind commas alone."""
    if width_of(cell) <= width:
        return [cell]
    lines = [""]
    for item in _items(cell):
        joined = f"{lines[-1]} {item}".lstrip()
        if lines[-1] and width_of(joined) > width:
            lines.append(item)
        else:
            lines[-1] = joined
    return lines


def _padded(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - width_of(cell))
    return blanks + cell if right else cell + blanks


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
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue()
