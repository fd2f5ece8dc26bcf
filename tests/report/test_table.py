from __future__ import annotations

import io

from netc.report.figures import exact, field_text, shape_text, short, size
from netc.report.table import Column, Row, Table, markdown, plain, print_table

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


def test_nothing_is_cut_off_where_there_is_no_room() -> None:
    text = plain(TABLE, 24)
    assert text.splitlines()[2:5] == [
        "conv      Convolution 12",
        "a_very_long_name_of_a_layer",
        "          ReLU         3",
    ]


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


def test_a_terminal_gets_a_table_by_rich() -> None:
    stream = Terminal()
    print_table(TABLE, stream)
    text = stream.getvalue()
    assert "Convolution" in text and "─" in text


def test_numbers() -> None:
    assert [exact(n) for n in (0, 1234567, None)] == ["", "1,234,567", "?"]
    numbers = (0, 999, 1000, 9994, 9996, 99949, 99951, 999499, 999501, 15470264320)
    assert list(map(short, numbers)) == [
        "", "999", "1.00 k", "9.99 k", "10.0 k", "99.9 k", "100 k", "999 k", "1.00 M", "15.5 G",
    ]  # fmt: skip
    assert size(60954432) == "61.0 MB" and size(12) == "12 B"
    assert [shape_text(s) for s in ((1, 2), (), None)] == ["1x2", "scalar", "?"]
    assert field_text(None) == ""
