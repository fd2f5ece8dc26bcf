"""Consecutive items that differ by a count, or by a list of values, become loops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from netc.language.collapse.model import (
    LayerForm,
    Leaf,
    NetItem,
    Number,
    Ref,
    Template,
    TextForm,
    atoms,
    constant,
    template,
)
from netc.language.collapse.uses import COUNT
from netc.language.collapse.vary import common_ends

MIN_ITEMS = 3
"""Items that a loop is worth while for."""

VALUE = "v"
"""The value in a loop over values."""


class Loop(NamedTuple):
    """``repeat i in first..=last { item }``, or a loop over values.

    Attributes:
        first: the first count.
        times: how often it runs.
        values: the values it runs over; empty for a loop that only counts.
        counted: whether the item uses the count.
        item: what is repeated, over the loop's names.
        last: the last item, as it was.
    """

    first: int
    times: int
    values: tuple[Leaf, ...]
    counted: bool
    item: NetItem
    last: NetItem


class _Counting(NamedTuple):
    """Numbers that go up by a step, within a text or alone."""

    start: int
    step: int
    before: tuple[str | Ref, ...] | None  # None: a number alone
    behind: tuple[str | Ref, ...] = ()


def loop_at(items: Sequence[NetItem], start: int) -> Loop | None:
    """The longest loop that replaces the items from ``start`` on; None if none is worth while."""
    end = start + 1
    while end < len(items) and _follows(items[end - 1], items[end]):
        end += 1
    for stop in range(end, start + MIN_ITEMS - 1, -1):
        loop = _loop(items[start:stop])
        if loop:
            return loop
    return None


def _follows(before: NetItem, item: NetItem) -> bool:
    """Whether an item is like the one before, and goes on from its blob alone."""
    if isinstance(item.form, TextForm) or before.form != item.form:
        return False
    if isinstance(item.form, LayerForm) and item.form.block:
        return False
    return len(item.reads) == 1 and len(before.makes) == 1 and item.reads == before.makes


def _loop(items: Sequence[NetItem]) -> Loop | None:
    columns = list(zip(*(item.leaves for item in items), strict=True))
    countings = {index: _counting(column) for index, column in enumerate(columns)}
    listed: dict[tuple[Leaf, ...], None] = {}
    for index, column in enumerate(columns):
        if countings[index] is None and any(leaf != column[0] for leaf in column):
            listed[_middle(column)[1]] = None
    if len(listed) > 1:
        return None
    texts = [c for c in countings.values() if c and c.before is not None and c.step == 1]
    first = 0 if listed or not texts else texts[0].start
    leaves = tuple(_leaf(column, countings[i], first) for i, column in enumerate(columns))
    item = items[0]._replace(leaves=leaves)
    values = next(iter(listed), ())
    return Loop(first, len(items), values, any(countings.values()), item, items[-1])


def _leaf(column: tuple[Leaf, ...], counting: _Counting | None, first: int) -> Leaf:
    """What stands in a leaf's place within the loop."""
    if all(leaf == column[0] for leaf in column):
        return column[0]
    if counting is None:
        before, _, behind = _middle(column)
        return Ref(VALUE) if before is None else template([*before, Ref(VALUE), *behind])
    reference = Ref(_expression(counting, first))
    if counting.before is None:
        return reference
    return template([*counting.before, reference, *counting.behind])


def _expression(counting: _Counting, first: int) -> str:
    offset = counting.start - counting.step * first
    text = COUNT if counting.step == 1 else f"{counting.step} * {COUNT}"
    if offset == 0:
        return text
    return f"{text} + {offset}" if offset > 0 else f"{text} - {-offset}"


def _middle(
    column: tuple[Leaf, ...],
) -> tuple[tuple[str | Ref, ...] | None, tuple[Leaf, ...], tuple[str | Ref, ...]]:
    """What varies of a column: the text before it, the values, the text behind it."""
    rows = [atoms(leaf) for leaf in column if isinstance(leaf, Template)]
    if len(rows) < len(column):
        return None, column, ()
    head, tail = common_ends(rows)
    middle = tuple(template(row[head : len(row) - tail]) for row in rows)
    return tuple(rows[0][:head]), middle, tuple(rows[0][len(rows[0]) - tail :])


def _counting(column: tuple[Leaf, ...]) -> _Counting | None:
    """The counting that a column is; None for another, or for one that stays the same."""
    if all(isinstance(leaf, Number) and leaf.whole for leaf in column):
        steps = _steps([leaf.text for leaf in column if isinstance(leaf, Number)])
        return _Counting(steps[0], steps[1], None) if steps else None
    if not all(isinstance(leaf, Template) for leaf in column):
        return None
    before, middle, behind = _middle(column)
    texts = [constant(leaf) or "" for leaf in middle if isinstance(leaf, Template)]
    steps = _steps(texts)
    return _Counting(*steps, before, behind) if steps else None


def _steps(texts: Sequence[str]) -> tuple[int, int] | None:
    """Where numbers start and how they go on; None for what does not count up or down."""
    if not all(
        text == "0" or (text.isdigit() and text[0] != "0" and len(text) < 10) for text in texts
    ):
        return None
    numbers = [int(text) for text in texts]
    step = numbers[1] - numbers[0]
    if step < 1 or any(b - a != step for a, b in pairwise(numbers)):
        return None
    return numbers[0], step
