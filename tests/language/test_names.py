"""Names of layers and blobs, and what they mean in a scope."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError, Source, Span
from netc.language.frame import Frame
from netc.language.names import PlainNetNames
from netc.language.values import BlobRef

SPAN = Span(Source("t.netc", "conv conv"), 0, 4)


def test_automatic_names_count_up_in_each_scope() -> None:
    names, frame = PlainNetNames(), Frame()
    inner = frame.inner("block", SPAN)
    assert [names.automatic("conv", frame) for _ in range(2)] == ["conv1", "conv2"]
    assert names.automatic("conv", inner) == "conv1"


def test_automatic_names_pass_over_those_that_are_taken() -> None:
    names, frame = PlainNetNames(), Frame()
    names.add_layer("conv1", SPAN, frame)
    assert names.automatic("conv", frame) == "conv2"


def test_two_layers_of_one_name_are_refused_with_both_places() -> None:
    names, frame = PlainNetNames(), Frame()
    names.add_layer("a", SPAN, frame)
    with pytest.raises(NetcError) as caught:
        names.add_layer("a", SPAN._replace(start=5, end=9), frame)
    found = caught.value.diagnostics[0]
    assert found.code == "duplicate-name" and found.span is not None and found.span.column == 6
    assert found.notes[0].span == SPAN


@pytest.mark.parametrize("leave", [{"ruled": True}, {"free": True}])
def test_layers_of_other_phases_and_of_prototxt_may_share_one(leave: dict[str, bool]) -> None:
    names, frame = PlainNetNames(), Frame()
    names.add_layer("a", SPAN, frame, **leave)
    names.add_layer("a", SPAN, frame, **leave)


def test_a_blob_is_looked_for_in_the_scopes_around() -> None:
    names, frame = PlainNetNames(), Frame()
    made = names.make("data", frame)
    inner = frame.inner("block", SPAN)
    own = names.make("y", inner)
    assert made == BlobRef("data") and own == BlobRef("block/y")
    assert names.find("data", inner) == made and names.find("y", inner) == own
    assert names.find("y", frame) is None
