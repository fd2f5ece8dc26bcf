from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.report.figures import blob_text, exact, field_text, short, size
from netc.report.table import (
    Column,
    Row,
    Table,
    laid_out,
    markdown,
    plain,
    print_table,
    width_of,
)

TABLE = Table(
    (Column("layer"), Column("type"), Column("n", True)),
    (
        Row(("conv", "Convolution", "12")),
        Row(("a_very_long_name_of_a_layer", "ReLU", "3")),
        Row(("total", "", "15"), "total"),
    ),
)


def test_plain() -> None:
    assert plain(TABLE).splitlines() == [
        "layer                        type          n",
        "---------------------------  -----------  --",
        "conv                         Convolution  12",
        "a_very_long_name_of_a_layer  ReLU          3",
        "---------------------------  -----------  --",
        "total                                     15",
    ]


def at(width: int | None, table: Table = TABLE) -> list[str]:
    return [line.text for line in laid_out(table, width)]


def test_a_name_that_has_no_room_stands_on_a_line_of_its_own() -> None:
    assert at(24)[2:5] == [
        "conv      Convolution 12",
        "a_very_long_name_of_a_layer",
        "          ReLU         3",
    ]


MANY = Table(
    (Column("layer"), Column("type"), Column("output"), Column("field")),
    (Row(("split", "Slice", "16x56x56, 32x56x56, 8x56x56", "11/4 p3")),),
)


def test_a_row_is_one_line_where_no_terminal_is() -> None:
    wide = Table(MANY.columns, (Row(("x" * 90, *MANY.rows[0].cells[1:])),))
    assert len(plain(wide).splitlines()) == 3
    assert plain(wide).splitlines()[2].startswith("x" * 90 + "  Slice")


def test_lists_of_shapes_go_on_behind_a_comma() -> None:
    assert at(36, MANY) == [
        "layer type  output           field",
        "----- ----- ---------------- -------",
        "split Slice 16x56x56,        11/4 p3",
        "            32x56x56,",
        "            8x56x56",
    ]


def test_columns_without_room_are_left_out_and_told() -> None:
    lines = at(22, MANY)
    assert lines[0].split() == ["layer", "type", "output"]
    assert lines[-1] == "(no room for field; a pipe or file has all)"


WORDS = st.text("abc123x", min_size=1, max_size=9)
CELLS = st.lists(WORDS, max_size=4).map(", ".join)


@given(st.lists(st.tuples(WORDS, CELLS, CELLS, CELLS), min_size=1, max_size=5), st.integers(12, 60))
def test_no_word_is_ever_broken(rows: list[tuple[str, ...]], width: int) -> None:
    table = Table(tuple(map(Column, ("a", "b", "c", "d"))), tuple(map(Row, rows)))
    lines = laid_out(table, width)
    assert all(width_of(line.text) <= width for line in lines if line.style != "note")
    shown = len([t for t in lines[0].text.split() if t in "abcd"])
    words = sorted(word for row in rows for cell in row[:shown] for word in cell.split())
    told = (line.text for line in lines[2:] if line.style != "note")
    assert sorted(word for text in told for word in text.split()) == words


def test_control_characters_do_not_reach_the_terminal() -> None:
    evil = Table((Column("layer"), Column("n")), (Row(("a\x1b[31m\nb", "1")),))
    for text in (plain(evil), markdown(evil)):
        assert "\x1b" not in text and len(text.splitlines()) == 3


def test_wide_characters_are_two_columns() -> None:
    table = Table((Column("layer"), Column("n")), (Row(("卷积", "1")), Row(("conv", "2"))))
    assert plain(table).splitlines()[2:] == ["卷积   1", "conv   2"]


def test_markdown_is_escaped() -> None:
    table = Table((Column("a"), Column("b", True)), (Row(("x|y_z<b>", "1"), "module"),))
    assert markdown(table).splitlines() == [
        "| a | b |",
        "| --- | ---: |",
        "| **x\\|y\\_z&lt;b>** | **1** |",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_no_broken_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    print_table(TABLE, stream)
    text = stream.getvalue()
    assert "\x1b[1m" in text and "Convolution" in text and "a_very_long_name_of_a_layer" in text


def test_numbers() -> None:
    assert [exact(n) for n in (0, 1234567, None)] == ["", "1,234,567", "?"]
    numbers = (0, 999, 1000, 9994, 9996, 99949, 99951, 999499, 999501, 15470264320)
    assert list(map(short, numbers)) == [
        "", "999", "1.00 k", "9.99 k", "10.0 k", "99.9 k", "100 k", "999 k", "1.00 M", "15.5 G",
    ]  # fmt: skip
    assert size(60954432) == "61.0 MB" and size(12) == "12 B"
    assert [blob_text(s) for s in ((1, 2), (), None)] == ["1x2", "scalar", "?"]
    assert field_text(None) == ""
