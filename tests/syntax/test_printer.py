"""Canonical text: what it looks like, and that it reads back as what was printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from netc.diagnostics import Source
from netc.syntax.ast import Block, Document, Field
from netc.syntax.comments import comments_of
from netc.syntax.parser import parse_document
from netc.syntax.printer import print_document
from netc.syntax.reader import read_source
from tests.syntax.test_corpus import entries
from tests.syntax.trees import DOCUMENTS, NOWHERE, bare, parse

TEXT = """\
# head

# of the net
name: 'x' # short


layer { top: "a", bottom: "b\\xff\\n\\"\u00e9" # two
  # inner
  dim: [1, # one
    MAX]; scale: 0.00005 ratio: 0x1F
  shape: [{a: 1} {}] }
""".replace("} {}", "}, {}")

CANONICAL = """\
# head

# of the net
name: "x"  # short

layer {
  top: "a"
  bottom: "b\\377\\n\\"\u00e9"  # two
  # inner
  dim: [1, MAX]  # one
  scale: 0.00005
  ratio: 0x1F
  shape: [
    {
      a: 1
    },
    {
    }
  ]
}
"""


def test_canonical_text() -> None:
    assert print_document(parse(TEXT)) == CANONICAL
    assert print_document(parse(CANONICAL)) == CANONICAL


def test_without_comments() -> None:
    plain = [line.split("#")[0].rstrip() for line in CANONICAL.splitlines()]
    expected = [line for line in plain if line]
    assert print_document(parse(TEXT), comments=False).splitlines() == expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("# a", "# a\n"),
        ("\n\n# a\n\n\n\n# b\n\n", "# a\n\n# b\n"),
        ("a<>", "a {\n}\n"),
        ("a{ # b\n}", "a {  # b\n}\n"),
        ("a # b\n{\nc: 1 }", "a {  # b\n  c: 1\n}\n"),
        ("a: # b\n1", "a: 1  # b\n"),
        ("a {\n\n b: 1\n\n}\n\n\nc: 1", "a {\n  b: 1\n}\n\nc: 1\n"),
        ("a: 1 } # x".replace(" }", ""), "a: 1  # x\n"),
        ("a { b: 1 } # c", "a {\n  b: 1\n}  # c\n"),
        ("a {\n b: 1\n # c\n}\n# d", "a {\n  b: 1\n  # c\n}\n# d\n"),
        ("a: [{}, # x\n{}]", "a: [\n  {\n  },  # x\n  {\n  }\n]\n"),
        ("a: -inf b: - 5 c: 1. d: .5f", "a: -inf\nb: -5\nc: 1.\nd: .5f\n"),
        ("a: 'x' 'y'", 'a: "xy"\n'),
        ("[ a . b ]: 1", "[a.b]: 1\n"),
        ("a: '\\0011'", 'a: "\\0011"\n'),
        ("a: 1\r# b\rc: 2", "a: 1\n# b\nc: 2\n"),
    ],
)
def test_small_texts(text: str, canonical: str) -> None:
    assert print_document(parse(text)) == canonical
    assert print_document(parse(canonical)) == canonical


def test_a_bound_placeholder_is_printed_as_its_value() -> None:
    assert print_document(parse("a: $W # w", W="3")) == "a: 3  # w\n"


@given(DOCUMENTS)
@settings(deadline=None, max_examples=300)
def test_what_is_printed_reads_back(document: Document) -> None:
    text = print_document(document)
    again = parse_document(Source("printed", text))
    assert bare(again) == bare(document)
    assert print_document(again) == text


def test_a_document_whose_fields_have_moved_keeps_no_comments() -> None:
    document = parse("a: 1 # one\nb: 2")
    turned = Document(document.source, document.fields[::-1])
    assert print_document(turned) == "b: 2\na: 1\n"


def test_a_document_deeper_than_any_text_is_printed() -> None:
    depth = 5000
    assert depth > sys.getrecursionlimit()
    block = Block((), NOWHERE)
    for _ in range(depth):
        block = Block((Field("a", block, NOWHERE),), NOWHERE)
    text = print_document(Document(NOWHERE.source, block.fields))
    assert text.count("{") == text.count("}") == depth


def test_the_corpus_keeps_its_meaning_and_its_comments(corpus: Path) -> None:
    readable = [entry for entry in entries(corpus) if not entry["parse_error"]]
    for entry in readable[::40]:
        source = read_source(entry["path"])
        document = parse_document(source)
        printed = Source(source.name, print_document(document))
        again = parse_document(printed)
        assert bare(again) == bare(document), source.name
        assert print_document(again) == printed.text, source.name
        ours, theirs = (" ".join(c.text for c in comments_of(s)) for s in (printed, source))
        assert ours.split() == theirs.split(), source.name
