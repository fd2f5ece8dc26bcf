"""Which layers a net has: ``include``, ``exclude`` and the net's own state (net.cpp)."""

from __future__ import annotations

import pytest

from netc.diagnostics import Collector, Source
from netc.frontend import read_net
from netc.lower.rules import NetState, exclusion, filter_layers, merged_state
from netc.schema.message import Message

TEST, TRAIN = NetState("TEST"), NetState("TRAIN")


def net(text: str) -> Message:
    return read_net(Source("net", text)).message


def ruled(rules: str) -> Message:
    (layer,) = net(f'layer {{ name: "a" type: "Silence" bottom: "x" {rules} }}').get("layer")
    return layer


@pytest.mark.parametrize(
    ("rules", "state", "why"),
    [
        ("", TEST, None),
        ("include { }", TEST, None),  # a rule that asks for nothing is met
        ("include { phase: TRAIN }", TRAIN, None),
        ("include { phase: TRAIN }", TEST, "its phase is TRAIN"),
        ("include { phase: TRAIN } include { phase: TEST }", TEST, None),  # one of them will do
        ("include { min_level: 2 }", NetState(level=1), "its min_level is 2"),
        ("include { min_level: 2 }", NetState(level=2), None),
        ("include { max_level: 2 }", NetState(level=3), "its max_level is 2"),
        # Written, so that it counts.
        ("include { max_level: 0 }", NetState(level=1), "its max_level is 0"),
        ('include { stage: "a" stage: "b" }', NetState(stages=("a",)), "it needs stage `b`"),
        ('include { stage: "a" stage: "b" }', NetState(stages=("b", "a")), None),
        ('include { not_stage: "a" }', NetState(stages=("a",)), "it is not in stage `a`"),
        ('include { not_stage: "a" }', TEST, None),
        ("exclude { phase: TEST }", TEST, "its `exclude` rule is met"),
        ("exclude { phase: TEST }", TRAIN, None),
        ('exclude { phase: TRAIN } exclude { stage: "a" }', NetState(stages=("a",)),
         "its `exclude` rule is met"),
        ('exclude { phase: TEST stage: "a" }', TEST, None),  # a rule is met whole or not
    ],
)  # fmt: skip
def test_a_rule(rules: str, state: NetState, why: str | None) -> None:
    assert exclusion(ruled(rules), state) == why


def test_layers_stay_in_their_order() -> None:
    found = net("""
        layer { name: "a" type: "Silence" bottom: "x" include { phase: TRAIN } }
        layer { name: "b" type: "Silence" bottom: "x" }
        layer { name: "c" type: "Silence" bottom: "x" exclude { phase: TRAIN } }
        layer { name: "d" type: "Silence" bottom: "x" }
    """)
    for state, names in ((TEST, "bcd"), (TRAIN, "abd")):
        collector = Collector()
        kept = filter_layers(found, state, collector)
        assert "".join(layer.get("name") for layer in kept) == names
        assert not collector.diagnostics


def test_both_kinds_of_rules_are_an_error_at_the_second() -> None:
    text = 'layer { name: "a" type: "Silence" bottom: "x"\n  include { } exclude { } }'
    collector = Collector()
    assert filter_layers(net(text), TEST, collector) == ()
    (told,) = collector.diagnostics
    assert told.code == "include-and-exclude"
    assert told.span is not None
    assert told.span.start == text.index("exclude")
    assert told.notes[0].span is not None
    assert told.notes[0].span.start == text.index("include")


def test_the_net_s_own_stages_are_added_and_its_level_is_not() -> None:
    own = net('state { level: 3 phase: TRAIN stage: "a" stage: "b" }')
    assert merged_state(own, NetState("TRAIN", 0, ("b", "c"))) == NetState(
        "TRAIN", 0, ("a", "b", "c")
    )
    assert merged_state(own, NetState("TEST", 5)) == NetState("TEST", 5, ("a", "b"))
    assert merged_state(net('name: "n"'), TEST) == TEST
