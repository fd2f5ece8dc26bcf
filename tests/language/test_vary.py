"""Parameters of a module: as few as say what varies between its uses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netc.language.collapse.model import Leaf, Number, Ref, Template, atoms, template
from netc.language.collapse.vary import Varied, common_ends


def whole(*values: int) -> tuple[Leaf, ...]:
    return tuple(Number(str(value), True) for value in values)


def texts(*values: str) -> tuple[Leaf, ...]:
    return tuple(template([value]) for value in values)


def varied(*columns: tuple[Leaf, ...], taken: tuple[str, ...] = ()) -> tuple[Varied, list[Leaf]]:
    found = Varied(set(taken))
    return found, [found.add(column, "n") for column in columns]


def test_what_is_the_same_in_all_uses_is_no_parameter() -> None:
    found, leaves = varied(whole(3, 3), texts("relu", "relu"))
    assert found.parameters == []
    assert leaves == [Number("3", True), template(["relu"])]


def test_equal_columns_are_one_parameter() -> None:
    found, leaves = varied(whole(64, 128), whole(64, 128))
    assert [(p.name, p.type) for p in found.parameters] == [("n", "int")]
    assert leaves == [Ref("n"), Ref("n")]
    assert [found.arguments(use) for use in (0, 1)] == [whole(64), whole(128)]


def test_a_whole_multiple_is_no_parameter_of_its_own() -> None:
    found, leaves = varied(whole(64, 128), whole(256, 512))
    assert len(found.parameters) == 1
    assert leaves == [Ref("n"), Ref("4 * n")]


def test_columns_whose_quotients_differ_are_two_parameters() -> None:
    found, leaves = varied(whole(64, 128), whole(256, 300))
    assert [p.name for p in found.parameters] == ["n", "n2"]
    assert leaves == [Ref("n"), Ref("n2")]


def test_a_smaller_number_is_no_multiple() -> None:
    found, _ = varied(whole(64, 128), whole(32, 64))
    assert len(found.parameters) == 2


def test_zeros_and_leading_zeros_have_no_quotient() -> None:
    found, _ = varied(whole(0, 1), whole(0, 2))
    assert len(found.parameters) == 2
    column = (Number("010", True), Number("020", True))
    found, _ = varied(whole(5, 10), column)
    assert len(found.parameters) == 2


def test_only_the_part_of_a_text_that_varies_is_a_parameter() -> None:
    found, leaves = varied(texts("conv_a_bn", "conv_b_bn"))
    assert leaves == [template(["conv_", Ref("n"), "_bn"])]
    assert found.columns == [texts("a", "b")]
    assert found.parameters[0].type == "string"


def test_names_that_are_taken_are_numbered() -> None:
    found, _ = varied(whole(1, 2), taken=("n", "n2"))
    assert [p.name for p in found.parameters] == ["n3"]


def test_types_of_mixed_columns() -> None:
    found, _ = varied((Number("0.5", False), Number("1.5", False)), (*whole(1), *texts("a")))
    assert [p.type for p in found.parameters] == ["float", ""]


def test_a_reference_varies_even_where_all_uses_have_the_same() -> None:
    column: tuple[Leaf, ...] = (Ref("m"), Ref("m"))
    found, leaves = varied(column)
    assert leaves == [Ref("n")]
    assert found.arguments(0) == (Ref("m"),)


def test_numbers_are_not_cut_in_two() -> None:
    rows = [atoms(template([text])) for text in ("conv12_1", "conv13_1")]
    assert common_ends(rows) == (4, 2)  # "conv" and "_1"; not "conv1"
    rows = [atoms(template([text])) for text in ("a10", "a20")]
    assert common_ends(rows) == (1, 0)


WORDS = st.text("ab1_", max_size=6)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_common_ends_are_common_and_do_not_overlap(words: list[str]) -> None:
    rows = [atoms(template([word])) for word in words]
    head, tail = common_ends(rows)
    assert head + tail <= min(map(len, rows))
    assert len({word[:head] for word in words}) == 1
    assert len({word[len(word) - tail :] for word in words}) == 1


@given(st.lists(WORDS.filter(bool), min_size=2, max_size=4))
def test_the_arguments_put_into_the_leaf_give_each_use_s_text(words: list[str]) -> None:
    found, [leaf] = varied(texts(*words))
    assert isinstance(leaf, Template)
    for use, word in enumerate(words):
        given_text = dict(
            zip([p.name for p in found.parameters], found.arguments(use), strict=True)
        )
        parts: list[str | Ref] = []
        for part in leaf.parts:
            value = given_text[part.text] if isinstance(part, Ref) else template([part])
            assert isinstance(value, Template)
            parts += value.parts
        assert template(parts) == template([word])
