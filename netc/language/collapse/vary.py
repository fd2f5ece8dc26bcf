"""What varies between the uses of a module, as few parameters as possible."""

from __future__ import annotations

from collections.abc import Sequence

from netc.language.collapse.model import (
    Atom,
    Leaf,
    ModuleParameter,
    Number,
    Ref,
    Template,
    atoms,
    template,
)

Column = tuple[Leaf, ...]


class Varied:
    """The parameters found so far, and their values in each use.

    Args:
        taken: names that no parameter may have.
    """

    def __init__(self, taken: set[str]) -> None:
        self.taken = set(taken)
        self.parameters: list[ModuleParameter] = []
        self.columns: list[Column] = []

    def add(self, column: Column, hint: str) -> Leaf:
        """The leaf of the module's body that replaces a column of leaves, one of each use.

        It is the common leaf where all are equal, else it refers to parameters. A reference in a
        use is to a parameter of the module around it, and so always varies.
        """
        if all(leaf == column[0] for leaf in column) and not _refers(column[0]):
            return column[0]
        if all(isinstance(leaf, Template) for leaf in column):
            return self._text([leaf for leaf in column if isinstance(leaf, Template)], hint)
        return self._reference(column, hint)

    def _text(self, column: Sequence[Template], hint: str) -> Template:
        rows = [atoms(text) for text in column]
        head, tail = common_ends(rows, references=False)
        middle = tuple(template(row[head : len(row) - tail]) for row in rows)
        reference = self._reference(middle, hint)
        first = rows[0]
        return template([*first[:head], reference, *first[len(first) - tail :]])

    def _reference(self, column: Column, hint: str) -> Ref:
        for parameter, known in zip(self.parameters, self.columns, strict=True):
            if known == column:
                return Ref(parameter.name)
            factor = _factor(known, column)
            if factor:
                return Ref(f"{factor} * {parameter.name}")
        name = self._name(hint)
        self.parameters.append(ModuleParameter(name, _type(column)))
        self.columns.append(column)
        return Ref(name)

    def _name(self, hint: str) -> str:
        name, number = hint, 1
        while name in self.taken:
            number += 1
            name = f"{hint}{number}"
        self.taken.add(name)
        return name

    def arguments(self, use: int) -> tuple[Leaf, ...]:
        """The arguments of one use, in order."""
        return tuple(column[use] for column in self.columns)


def _refers(leaf: Leaf) -> bool:
    if isinstance(leaf, Template):
        return any(isinstance(part, Ref) for part in leaf.parts)
    return isinstance(leaf, Ref)


def common_ends(rows: Sequence[list[Atom]], references: bool = True) -> tuple[int, int]:
    """How many atoms all rows have in common at their beginning and at their end.

    No number is cut in two.

    Args:
        rows: of atoms, one or more.
        references: whether equal references count as common.
    """

    def same(index: int) -> bool:
        first = rows[0][index]
        if isinstance(first, Ref) and not references:
            return False
        return all(row[index] == first for row in rows)

    shortest = min(map(len, rows))
    head = 0
    while head < shortest and same(head):
        head += 1
    while head and _is_digit(rows[0][head - 1]):
        head -= 1
    tail = 0
    while tail < shortest - head and same(-1 - tail):
        tail += 1
    while (
        tail
        and _is_digit(rows[0][-tail])
        and any(len(row) > tail and _is_digit(row[-1 - tail]) for row in rows)
    ):
        tail -= 1
    return head, tail


def _is_digit(atom: Atom) -> bool:
    return isinstance(atom, str) and atom.isdigit()


def _factor(known: Column, column: Column) -> int:
    """The number above 1 that all of a column's whole numbers are of another's; 0 for none."""
    pairs = list(zip(known, column, strict=True))
    factors = {_quotient(left, right) for left, right in pairs}
    found = factors.pop() if len(factors) == 1 else 0
    return found if found > 1 else 0


def _quotient(left: Leaf, right: Leaf) -> int:
    if not (isinstance(left, Number) and isinstance(right, Number)):
        return 0
    if not (left.whole and right.whole and left.text.isdigit() and right.text.isdigit()):
        return 0
    if left.text.startswith("0") or right.text.startswith("0"):
        return 0
    high, low = int(right.text), int(left.text)
    return high // low if high % low == 0 else 0


def _type(column: Column) -> str:
    if all(isinstance(leaf, Template) for leaf in column):
        return "string"
    if all(isinstance(leaf, Number) and leaf.whole for leaf in column):
        return "int"
    if all(isinstance(leaf, Number) and not leaf.whole for leaf in column):
        return "float"
    return ""
