"""Names that nothing has yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netc.ir.names import first_free


class Looks(set[str]):
    """A set that counts how often it is asked."""

    looks = 0

    def __contains__(self, name: object) -> bool:
        self.looks += 1
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("walked over")


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 4, 7, 8, 9, 1000])
def test_the_next_of_a_run(taken: int) -> None:
    names = Looks([f"x~{n}" if n > 1 else "x" for n in range(1, taken + 1)])
    assert first_free("x", names, lambda n: f"x~{n}") == (f"x~{taken + 1}" if taken else "x")
    assert names.looks <= 25


def test_whatever_is_taken_besides() -> None:
    names = {"x", "x~2", "x~4", "x~5", "x~8"}
    assert first_free("x", names, lambda n: f"x~{n}") not in names
