"""One mistake is told once: what a failed statement would have given makes no second complaint."""

from __future__ import annotations

import pytest

from netc.diagnostics import MAX_REPORTED, Diagnostic, NetcError, Source, Span
from netc.language.lost import BLOB, Faults, LostError, lost_outputs
from tests.language.texts import INPUT, document

SOURCE = Source("t.netc", "a b c")


def complaint(start: int, code: str = "expression") -> NetcError:
    return NetcError(Diagnostic(code, "no", Span(SOURCE, start, start + 1)))


def found_in(text: str) -> list[tuple[str, int, int]]:
    with pytest.raises(NetcError) as caught:
        document(text)
    return [
        (d.code, d.span.line, d.span.column) for d in caught.value.diagnostics if d.span is not None
    ]


def test_a_fault_that_comes_again_is_told_once() -> None:
    faults = Faults()
    for _ in range(3):
        faults.note(complaint(2))
    assert (len(faults.found), faults.raised) == (1, 3)


def test_faults_are_told_in_the_order_of_the_text() -> None:
    faults = Faults()
    faults.note(complaint(4))
    faults.note(complaint(0))
    with pytest.raises(NetcError) as caught:
        faults.check()
    assert [d.span.start for d in caught.value.diagnostics if d.span] == [0, 4]


def test_nothing_found_is_nothing_raised() -> None:
    faults = Faults()
    faults.note(LostError())
    faults.check()
    assert (faults.found, faults.raised) == ([], 1)


def test_a_limit_ends_the_reading_at_once() -> None:
    with pytest.raises(NetcError):
        Faults().note(complaint(0, "too-many-layers"))


def test_so_do_more_faults_than_are_told() -> None:
    faults = Faults()
    source = Source("t.netc", "x" * (MAX_REPORTED + 2))
    with pytest.raises(NetcError):
        for at in range(MAX_REPORTED + 1):
            faults.note(NetcError(Diagnostic("expression", "no", Span(source, at, at + 1))))


def test_a_lost_use_gives_blobs_to_go_on_from() -> None:
    assert lost_outputs(1) == BLOB
    assert lost_outputs(2) == [BLOB, BLOB]


def test_a_chain_goes_on_behind_a_layer_that_could_not_be_made() -> None:
    text = f"{INPUT}a = data -> conv(nothing)\na -> relu\nlet n = gone\na -> fc(n)\na -> fc(more)"
    assert found_in(text) == [
        ("unknown-name", 2, 18),
        ("unknown-name", 4, 9),
        ("unknown-name", 6, 9),
    ]


def test_a_loop_tells_its_fault_once() -> None:
    assert found_in(f"{INPUT}repeat 5 {{ -> conv(gone) }}") == [("unknown-name", 2, 20)]
