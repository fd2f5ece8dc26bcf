"""Which layers a net has in a given state: ``include`` and ``exclude`` (net.cpp, FilterNet)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, Note
from netc.schema.message import Message


class NetState(NamedTuple):
    """The NetState that a layer's ``include`` and ``exclude`` rules are compared with."""

    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()


def merged_state(net: Message, state: NetState) -> NetState:
    """The caller's state, with the stages that the net's own ``state`` adds.

    Phase and level are the caller's, level 0 as well (net.cpp, the constructor that takes a file).
    """
    stages = tuple(dict.fromkeys((*net.get("state").get("stage"), *state.stages)))
    return NetState(state.phase, state.level, stages)


def solver_state(phase: str, *later: Message) -> NetState:
    """The state of a solver's net (solver.cpp, InitTrainNet and InitTestNets).

    Args:
        phase: where nobody writes one.
        later: NetStates, the net's own and then the solver's: a phase or level that a later one
            writes takes the place of those before, and stages are gathered.
    """
    level, stages = 0, tuple(stage for state in later for stage in state.get("stage"))
    for state in later:
        phase = state.get("phase") if state.has("phase") else phase
        level = state.get("level") if state.has("level") else level
    return NetState(phase, level, tuple(dict.fromkeys(stages)))


def rule_failure(rule: Message, state: NetState) -> str | None:
    """Why a NetStateRule is not met, in words for a message; None where it is (StateMeetsRule)."""
    if rule.has("phase") and rule.get("phase") != state.phase:
        return f"its phase is {rule.get('phase')}"
    if rule.has("min_level") and state.level < rule.get("min_level"):
        return f"its min_level is {rule.get('min_level')}"
    if rule.has("max_level") and state.level > rule.get("max_level"):
        return f"its max_level is {rule.get('max_level')}"
    stages = _as_set(state.stages)
    for stage in rule.get("stage"):
        if stage not in stages:
            return f"it needs stage `{stage}`"
    for stage in rule.get("not_stage"):
        if stage in stages:
            return f"it is not in stage `{stage}`"
    return None


@lru_cache(maxsize=4)
def _as_set(stages: tuple[str, ...]) -> frozenset[str]:
    """The stages of a state, of which a text may have many, as each of its layers may."""
    return frozenset(stages)


def exclusion(layer: Message, state: NetState) -> str | None:
    """Why a layer is not part of the net in a state, in words for a message; None where it is.

    A layer with no rules is kept; one with ``include`` rules if any of them is met; one with
    ``exclude`` rules if none is.
    """
    includes = layer.get("include")
    if includes:
        failures = [rule_failure(rule, state) for rule in includes]
        return None if None in failures else failures[0]
    for rule in layer.get("exclude"):
        if rule_failure(rule, state) is None:
            return "its `exclude` rule is met"
    return None


def filter_layers(net: Message, state: NetState, collector: Collector) -> tuple[Message, ...]:
    """The layers of an upgraded NetParameter that are part of the net in a state, in order.

    A layer with both ``include`` and ``exclude`` is dropped, and the collector gets the error
    include-and-exclude.
    """
    kept = []
    for layer in net.get("layer"):
        if layer.has("include") and layer.has("exclude"):
            collector.add(_both_rules(layer))
        elif exclusion(layer, state) is None:
            kept.append(layer)
    return tuple(kept)


def _both_rules(layer: Message) -> Diagnostic:
    return Diagnostic(
        "include-and-exclude",
        f"layer `{layer.get('name')}` has both `include` and `exclude` rules",
        layer.name_span_of("exclude"),
        notes=(Note("the `include` rule is here", layer.name_span_of("include")),),
        help=("keep the `include` rules or the `exclude` rules, not both",),
    )
