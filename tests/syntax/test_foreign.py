"""Signs of other alphabets in prototxt: each is told, with the sign that is meant, all at once."""

from __future__ import annotations

import pytest

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.syntax.parser import parse_document


def faults(text: str) -> list[Diagnostic]:
    with pytest.raises(NetcError) as caught:
        parse_document(Source("a.prototxt", text))
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("text", "place", "part", "help"),
    [
        ('name： "x"', 5, "U+FF1A (fullwidth colon)", "write `:`"),
        ('layer｛ name: "x" }', 6, "fullwidth left curly bracket", "write `{`"),
        ("dim: [1， 2]", 8, "fullwidth comma", "write `,`"),
        ("num: −2", 6, "minus sign", "write `-`"),
        ("name: “x”", 7, "`“` is a typographic quotation mark", 'replace both marks by `"`'),
        ('name: "x”', 7, "`”` is a typographic quotation mark", 'replace both marks by `"`'),
        ("name: 'x’", 7, "`’` is a typographic quotation mark", 'replace both marks by `"`'),
        ('name:\u00a0"x"', 6, "no-break space", "write a blank"),
        ("kernel-size: 3", 1, "`kernel-size` has `-`", "write `kernel_size`"),
    ],
)
def test_hints(text: str, place: int, part: str, help: str) -> None:
    (found,) = faults(text)
    assert found.span is not None and found.span.column == place
    assert part in found.message and help in " ".join(found.help)


def test_all_at_once_and_blanks_once() -> None:
    found = faults('name： "x"\u00a0\u00a0layer｛\u00a0name: “y” ｝\ntype= "z"')
    assert [d.code for d in found].count("missing-colon") == 1
    assert [d.code for d in found].count("bad-character") == 5
