"""What is kept of what was used."""

from __future__ import annotations

import pytest

from netc.recent import LeastRecentlyUsed


def test_the_one_used_longest_ago_goes() -> None:
    kept: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(2)
    made: list[str] = []

    def ask(key: str) -> int:
        return kept.get(key, lambda: made.append(key) or len(made))

    assert [ask(key) for key in "abab"] == [1, 2, 1, 2]
    assert ask("a") == 1 and ask("c") == 3  # b goes
    assert list(kept) == ["a", "c"] and kept.values() == (1, 3)
    assert ask("b") == 4 and "a" not in kept
    assert made == ["a", "b", "c", "b"]


def test_none_is_a_value() -> None:
    kept: LeastRecentlyUsed[int, None] = LeastRecentlyUsed(1)
    kept.get(0, lambda: None)
    kept.get(0, lambda: pytest.fail("made again"))


def test_what_cannot_be_made_changes_nothing() -> None:
    kept: LeastRecentlyUsed[int, int] = LeastRecentlyUsed(1)
    kept.get(0, lambda: 7)
    with pytest.raises(ZeroDivisionError):
        kept.get(1, lambda: 1 // 0)
    assert list(kept) == [0]


def test_all_are_forgotten() -> None:
    kept: LeastRecentlyUsed[int, int] = LeastRecentlyUsed(3)
    kept.get(0, lambda: 7)
    kept.clear()
    assert len(kept) == 0 and kept.get(0, lambda: 8) == 8
