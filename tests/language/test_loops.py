"""Which consecutive items become one loop."""

from __future__ import annotations

from netc.language.collapse.loops import Loop, loop_at
from netc.language.collapse.model import Fields, LayerForm, Leaf, NetItem, Number, Ref, template

FORM = LayerForm("Convolution", ("name",), 1, Fields(()))


def item(index: int, *leaves: Leaf, form: LayerForm = FORM) -> NetItem:
    return NetItem(form, leaves, (f"b{index}",), (f"b{index + 1}",))


def whole(value: int) -> Number:
    return Number(str(value), True)


def chain(*rows: tuple[Leaf, ...]) -> list[NetItem]:
    return [item(index, *row) for index, row in enumerate(rows)]


def numbered(count: int, first: int = 1) -> list[tuple[Leaf, ...]]:
    return [(template([f"conv{i}"]), whole(64)) for i in range(first, first + count)]


def loop_of(items: list[NetItem]) -> Loop:
    loop = loop_at(items, 0)
    assert loop is not None
    return loop


def test_names_that_count_up_are_a_loop() -> None:
    loop = loop_of(chain(*numbered(4)))
    assert (loop.first, loop.times, loop.values, loop.counted) == (1, 4, (), True)
    assert loop.item.leaves == (template(["conv", Ref("i")]), whole(64))
    assert loop.last.leaves[0] == template(["conv4"])


def test_two_items_are_too_few() -> None:
    assert loop_at(chain(*numbered(2)), 0) is None


def test_numbers_that_go_up_by_a_step_are_an_expression_of_the_count() -> None:
    rows = [(template([f"c{i}"]), whole(32 * i + 8)) for i in (1, 2, 3)]
    assert loop_of(chain(*rows)).item.leaves[1] == Ref("32 * i + 8")


def test_values_that_do_not_count_are_a_loop_over_values() -> None:
    rows = [(template(["same"]), whole(value)) for value in (64, 128, 100)]
    loop = loop_of(chain(*rows))
    assert loop.values == (whole(64), whole(128), whole(100))
    assert not loop.counted
    assert loop.item.leaves[1] == Ref("v")


def test_two_columns_that_do_not_count_are_no_loop() -> None:
    rows = [(whole(a), whole(b)) for a, b in ((1, 9), (5, 2), (3, 4))]
    assert loop_at(chain(*rows), 0) is None


def test_a_count_with_a_gap_is_a_loop_over_what_stands_in_its_place() -> None:
    loop = loop_of(chain(*numbered(3), (template(["conv9"]), whole(64))))
    assert (loop.times, loop.counted) == (4, False)
    assert loop.values == tuple(template([digit]) for digit in "1239")


def test_the_loop_ends_where_more_than_one_column_stops_counting() -> None:
    rows: list[tuple[Leaf, ...]] = [(template([f"c{i}"]), whole(i)) for i in (1, 2, 3)]
    assert loop_of(chain(*rows, (template(["c9"]), whole(7)))).times == 3


def test_items_of_other_forms_and_broken_chains_are_not_joined() -> None:
    items = chain(*numbered(4))
    other = [*items[:2], item(2, *items[2].leaves, form=FORM._replace(type="Pooling")), items[3]]
    assert loop_at(other, 0) is None
    gap = [*items[:2], items[2]._replace(reads=("elsewhere",)), items[3]]
    assert loop_at(gap, 0) is None


def test_a_loop_may_start_later() -> None:
    items = [item(0, template(["first"]), whole(7)), *(x for x in chain(*numbered(5))[1:])]
    assert loop_at(items, 0) is None
    later = loop_at(items, 1)
    assert later is not None and (later.first, later.times) == (2, 4)
