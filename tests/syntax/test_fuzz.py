"""Any text, any bytes: a Document or a NetcError that can be shown, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.syntax.ast import Document
from netc.syntax.limits import MAX_ERRORS
from netc.syntax.parser import parse_document
from netc.syntax.printer import print_document
from netc.syntax.reader import read_source
from tests.syntax.trees import bare

SETTINGS = settings(deadline=None, max_examples=400)

PARTS = st.sampled_from(
    [
        "layer", "a", "b: 1", "name", "inf", "-inf", ":", "{", "}", "<", ">", "[", "]", ",", ";",
        "=", "-", "+", "1", "-1", "0x", "09", "1e", ".5", "1.2.3", '"s"', "'t'", '"', "'", "\\",
        '"\\x41"', '"\\q"', "//", "/*", "*/", "#", "\n", "\r\n", "\r", "  ", "\t", "\ufeff",
        "$X", "${X}", "${", "{{", "}}", "{{ X }}", "{%", "%}", "{% x %}", "$#X#$", "$", "@",
        "\n<<<<<<< a\n", "\n||||||| b\n", "\n=======\n", "\n>>>>>>> c\n", "\u201c", "\u201d",
        "\u00a0", "\0", "\udcff", "\ud800", "[a.b]", "a {", "b [", "a: [1, 2]", "dim: [1 2]",
    ]
)  # fmt: skip
PIECED = st.lists(PARTS, max_size=25).flatmap(
    lambda parts: st.sampled_from(["", " "]).map(lambda sep: sep.join(parts))
)
DEFINE = st.dictionaries(st.sampled_from(["X", "Y", ""]), st.text(max_size=8) | PIECED, max_size=2)


def check(text: str, define: dict[str, str]) -> None:
    """Read a text; what comes of it must be usable."""
    try:
        document = parse_document(Source("fuzz", text), define)
    except NetcError as error:
        assert 1 <= len(error.diagnostics) <= MAX_ERRORS
        assert str(error)
        for diagnostic in error.diagnostics:
            assert diagnostic.span is not None
            assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
        starts = [d.span.start for d in error.diagnostics if d.span]
        assert starts == sorted(starts)
    else:
        assert isinstance(document, Document)
        again = parse_document(Source("printed", print_document(document)))
        assert bare(again) == bare(document)


@given(st.text(), DEFINE)
@SETTINGS
def test_any_text(text: str, define: dict[str, str]) -> None:
    check(text, define)


@given(PIECED, DEFINE)
@SETTINGS
@example("a: [", {})
@example("[a {", {})
@example("a: [b:", {})
@example("a [{}, 1", {})
def test_any_row_of_tokens(text: str, define: dict[str, str]) -> None:
    check(text, define)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(data=st.binary() | PIECED.map(lambda t: t.encode("utf-8", "replace")))
@SETTINGS
def test_any_bytes(data: bytes, folder: Path) -> None:
    path = folder / "net.prototxt"
    path.write_bytes(data)
    try:
        source = read_source(path)
    except NetcError as error:
        assert str(error)
    else:
        check(source.text, {})


NET = """name: "net"  # a small one
input: "data"
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 0.5e-1 }
  convolution_param { num_output: 20 kernel_size: [3, 5] pool: MAX weight_filler < value: -inf > }
}
"""


@given(st.integers(0, len(NET)), st.integers(0, 6), PARTS | st.text(max_size=3))
@SETTINGS
def test_any_slip_of_the_pen(at: int, length: int, typed: str) -> None:
    check(NET[:at] + typed + NET[at + length :], {})


@given(st.integers(0, len(NET)))
@SETTINGS
def test_any_truncation(end: int) -> None:
    check(NET[:end], {})
