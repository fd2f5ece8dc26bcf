"""Names of values and nodes."""

from __future__ import annotations

from netc.lower.blobs import NamePool


def test_a_name_is_given_out_once() -> None:
    names = NamePool({"relu#3"})
    given = [names.take("relu") for _ in range(4)]
    assert given == ["relu", "relu#2", "relu#4", "relu#5"]
    assert names.take("relu#2") == "relu#2#2"


def test_the_search_goes_on_where_it_ended() -> None:
    """Many layers of one name: each looks at a few names, not at all that were given out."""

    class Counted(set[str]):
        looks = 0

        def __contains__(self, name: object) -> bool:
            type(self).looks += 1
            return super().__contains__(name)

    names = NamePool(Counted())
    for _ in range(1000):
        names.take("")
    assert Counted.looks < 5000
