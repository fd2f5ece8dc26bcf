"""Search for the repeated block of items that saves most when it becomes a module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netc.language.collapse.model import (
    Fields,
    Form,
    LayerForm,
    Leaf,
    NetItem,
    Node,
    Template,
    TextForm,
)
from netc.language.collapse.vary import Varied

MAX_BLOCK = 64
"""Items of a block."""

# What things cost, in lines of text.
_HEAD = 1.5  # a module, besides its items
_USE = 0.4
_NODE = 0.09  # a field of a layer, or a value of a use
_ODD = 1.5  # a further input of a use, or one that is written over


class Wiring(NamedTuple):
    """How a block's items are connected.

    Attributes:
        reads: for each item and bottom, the number of an input, or the item and top that made it.
        inputs: how many blobs come from outside.
        output: the item and top whose blob is given back.
        over: whether a blob from outside is overwritten in place.
    """

    reads: tuple[tuple[int | tuple[int, int], ...], ...]
    inputs: int
    output: tuple[int, int]
    over: bool


class RowPosition(NamedTuple):
    """A block's first item: the row and the index in it."""

    row: int
    start: int


class Repetition(NamedTuple):
    """A block and everywhere it occurs."""

    length: int
    wiring: Wiring
    places: tuple[RowPosition, ...]
    cost: float


class _IndexedRow(NamedTuple):
    """A row with what is asked of it again and again."""

    items: Sequence[NetItem]
    forms: list[int]  # numbers of the items' forms; -1 for what is never part of a block
    costs: list[float]
    last_read: dict[Template, int]


def best_block(
    rows: Sequence[Sequence[NetItem]], outputs: Sequence[Template | None] = (None,)
) -> Repetition | None:
    """The block that saves most when it becomes a module; None if none saves anything.

    Args:
        rows: of items, the net's and each module's.
        outputs: the blob that each row gives back; None for the net's own.
    """
    numbers: dict[Form, int] = {}
    seen = [_row(items, out, numbers) for items, out in zip(rows, outputs, strict=True)]
    hoped: list[tuple[float, Repetition]] = []
    for length in range(2, MAX_BLOCK + 1):
        groups = _repeated(seen, length)
        if not groups:
            break
        found = (each for places in groups for each in _alike(seen, places, length))
        hoped += [(saving, each) for each in found if (saving := _saving(each, 0)) > 0]
    return _best(sorted(hoped, key=lambda pair: -pair[0]), seen)


def _best(hoped: Sequence[tuple[float, Repetition]], rows: list[_IndexedRow]) -> Repetition | None:
    """The best of blocks, those first that would be if nothing varied in them."""
    best, best_saving = None, 0.0
    for hope, found in hoped:
        if hope <= best_saving:
            break
        saving = _saving(found, _values(found, rows))
        if saving > best_saving:
            best, best_saving = found, saving
    return best


def _row(
    items: Sequence[NetItem], output: Template | None, numbers: dict[Form, int]
) -> _IndexedRow:
    forms = [
        -1 if isinstance(item.form, TextForm) else numbers.setdefault(item.form, len(numbers))
        for item in items
    ]
    last_read: dict[Template, int] = {}
    for index, item in enumerate(items):
        for blob in item.reads:
            last_read[blob] = index
    if output is not None:
        last_read[output] = len(items)
    return _IndexedRow(items, forms, [_cost(item) for item in items], last_read)


def _repeated(rows: list[_IndexedRow], length: int) -> list[list[RowPosition]]:
    """Places of equal rows of forms, by the rows of forms that occur more than once."""
    groups: dict[tuple[int, ...], list[RowPosition]] = defaultdict(list)
    for number, row in enumerate(rows):
        for start in range(len(row.forms) - length + 1):
            window = tuple(row.forms[start : start + length])
            if -1 not in window:
                groups[window].append(RowPosition(number, start))
    return [
        places
        for window, places in groups.items()
        if len(places) > 1 and not _is_repetition(window)
    ]


def _is_repetition(window: tuple[int, ...]) -> bool:
    """Whether a row of forms is a shorter one again and again: that is for a loop to say."""
    length = len(window)
    return any(
        length % period == 0 and window[:period] * (length // period) == window
        for period in range(1, length // 2 + 1)
    )


def _alike(rows: list[_IndexedRow], places: list[RowPosition], length: int) -> Iterator[Repetition]:
    """Blocks of one row of forms whose items are also connected alike, none over another."""
    by_wiring: dict[Wiring, list[RowPosition]] = defaultdict(list)
    for place in places:
        wiring = wiring_of(rows[place.row].items, place.start, length, rows[place.row].last_read)
        if wiring:
            by_wiring[wiring].append(place)
    for wiring, found in by_wiring.items():
        separate = _non_overlapping(found, length)
        if len(separate) > 1:
            row, start = rows[separate[0].row], separate[0].start
            cost = sum(row.costs[start : start + length])
            yield Repetition(length, wiring, tuple(separate), cost)


def _non_overlapping(places: list[RowPosition], length: int) -> list[RowPosition]:
    """The places, without those that begin within the one before."""
    kept: list[RowPosition] = []
    for place in places:
        if not kept or kept[-1].row != place.row or kept[-1].start + length <= place.start:
            kept.append(place)
    return kept


def wiring_of(
    items: Sequence[NetItem], start: int, length: int, last_read: dict[Template, int]
) -> Wiring | None:
    """How a block is connected; None if it makes no blob, or several that others read."""
    made: dict[Template, tuple[int, int]] = {}
    inputs: dict[Template, int] = {}
    reads: list[tuple[int | tuple[int, int], ...]] = []
    over = False
    for number, item in enumerate(items[start : start + length]):
        links: list[int | tuple[int, int]] = []
        for blob in item.reads:
            known = made.get(blob)
            links.append(known if known else inputs.setdefault(blob, len(inputs)))
        reads.append(tuple(links))
        for top, blob in enumerate(item.makes):
            over = over or blob in inputs
            made[blob] = (number, top)
    outside = [place for blob, place in made.items() if last_read.get(blob, -1) >= start + length]
    if not made or len(outside) > 1:
        return None
    output = outside[0] if outside else max(made.values())
    return Wiring(tuple(reads), len(inputs), output, over)


def _saving(found: Repetition, values: int) -> float:
    """Lines that are saved, about, where each use gives a number of values.

    Many values cost more than as many as they are: nobody can tell them apart.
    """
    uses = len(found.places)
    odd = abs(found.wiring.inputs - 1) + found.wiring.over
    use = _USE + 0.15 * values + 0.02 * values**2 + _ODD * odd
    return uses * (found.cost - use) - found.cost - _HEAD


def _cost(item: NetItem) -> float:
    """How long an item is."""
    nodes = _nodes(item.form.tree) if isinstance(item.form, LayerForm) else len(item.leaves)
    return _USE + _NODE * nodes


def _nodes(node: Node) -> int:
    return sum(1 + _nodes(inner) for _, inner in node.fields) if isinstance(node, Fields) else 0


def _values(found: Repetition, rows: list[_IndexedRow]) -> int:
    """How many parameters the block would have."""
    varied = Varied(set())
    blocks = [_leaves(rows[place.row].items, place, found.length) for place in found.places]
    for column in zip(*blocks, strict=True):
        varied.add(column, "v")
    return len(varied.parameters)


def _leaves(items: Sequence[NetItem], place: RowPosition, length: int) -> list[Leaf]:
    return [leaf for item in items[place.start : place.start + length] for leaf in item.leaves]
