"""A text that is well but for its end is told of without a second reading, in the same words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import netc.syntax.parser as parser
from netc.data import prototxt_dir
from netc.diagnostics import NetcError, Source, render
from netc.syntax import braces, faults

NETS = [n for n in sorted(prototxt_dir().glob("**/*.prototxt")) if "layer" in n.read_text()]
PIECES = ["{", " a {", "<", "[", " x: {", "[a.b] {", "l: [{ a: 1 }, {", "a: b c {", "}"]


def told(text: str) -> str:
    try:
        parser.parse_document(Source("t", text))
    except NetcError as error:
        return "\n".join(map(render, error.diagnostics))
    return ""


def mutant(text: str, chosen: random.Random) -> str:
    """The text without one of its closing braces, cut off, or with a piece put in."""
    at = chosen.choice([i for i, c in enumerate(text) if c == "}"])
    kind = chosen.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    at = chosen.randrange(len(text))
    return text[:at] if kind == 1 else text[:at] + chosen.choice(PIECES) + text[at:]


@pytest.mark.parametrize("net", NETS[:6], ids=lambda net: net.stem)
def test_the_quick_answer_is_the_slow_one(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, chosen, quick = net.read_text()[:6000], random.Random(net.stem), 0
    text = text[: text.rindex("}") + 1]
    for _ in range(25):
        changed = mutant(text, chosen)
        with monkeypatch.context() as patch:
            patch.setattr(braces, "unclosed_block", lambda source: None)
            slow = told(changed)
        assert told(changed) == slow
        quick += slow.count("error[unclosed-brace]") == 1 == slow.count("error[")
    assert quick > 3, "some mutants end within a block"


def test_a_good_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "legal_pieces", None)
    assert told('layer { name: "a" }\n' * 50) == ""
    text = 'layer { name: "a" }\n' * 50 + "layer {\n" + 'layer { name: "b" }\n' * 50
    assert told(text).startswith("t:51:7: error[unclosed-brace]: the block `layer {` is never")


def test_thousands_of_conflicts_are_told_shortly() -> None:
    """Those beyond the limit add nothing to the last that was told."""
    text = "<<<<<<< a\n||||||| c\n=======\n>>>>>>> b\n" * 2000
    with pytest.raises(NetcError) as error:
        parser.parse_document(Source("t", text))
    told = [d for d in error.value.diagnostics if d.code == "merge-conflict"]
    assert 50 <= len(told) <= 110
    assert max(len(d.notes) for d in told) == 3
