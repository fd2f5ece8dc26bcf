"""A net as sequences of items (layers and uses of modules), whose varying parts are leaves.

Two items of one form differ in their leaves alone: numbers and texts. A text may hold references to
a module's parameters once the item is in a module's body.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Ref(NamedTuple):
    """A reference: an expression over parameters, such as ``n`` or ``4 * n``."""

    text: str


class Number(NamedTuple):
    """A number and its spelling; both count in comparisons."""

    text: str
    whole: bool


class Template(NamedTuple):
    """A text of pieces and references; pieces are not empty and not adjacent."""

    parts: tuple[str | Ref, ...]


Leaf = Ref | Number | Template
Atom = str | Ref


def template(parts: Iterable[str | Ref]) -> Template:
    """A text of these parts, adjacent pieces joined."""
    joined: list[str | Ref] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return Template(tuple(joined))


def atoms(text: Template) -> list[Atom]:
    """A text's characters and references."""
    found: list[Atom] = []
    for part in text.parts:
        found += list(part) if isinstance(part, str) else [part]
    return found


def constant(text: Template) -> str | None:
    """A text without references; None for one with references."""
    if any(isinstance(part, Ref) for part in text.parts):
        return None
    return "".join(map(str, text.parts))


# What stands in a form's tree where a value is.


class LeafSlot(NamedTuple):
    """The place of a leaf; ``string`` says whether it is a text."""

    string: bool


class SchemaWord(NamedTuple):
    """An identifier of Caffe's schema, which does not vary."""

    text: str


class BlobSlot(NamedTuple):
    """The place of a bottom or top in a layer that is written as a plain block."""

    kind: str
    number: int


class Fields(NamedTuple):
    """A block's fields, in order."""

    fields: tuple[tuple[str, Node], ...]


Node = LeafSlot | SchemaWord | BlobSlot | Fields


class LayerForm(NamedTuple):
    """A layer without its leaves.

    The first leaf is its name. ``tops`` has for each top "name" (the layer's name), "leaf" (a name
    of its own, the leaves after the first), or the index of the bottom that it overwrites in place.
    ``block`` is the field name of a layer that is written as a plain block; else "".
    """

    type: str
    tops: tuple[str | int, ...]
    bottoms: int
    tree: Fields
    block: str = ""


class CallForm(NamedTuple):
    """A use of a module. Its leaves are the arguments, behind its label if it is ``scoped``."""

    module: int
    scoped: bool


class TextForm(NamedTuple):
    """A field of the net itself, as text."""

    text: str


Form = LayerForm | CallForm | TextForm


class NetItem(NamedTuple):
    """A layer or a use, and the blobs it reads and makes."""

    form: Form
    leaves: tuple[Leaf, ...]
    reads: tuple[Template, ...]
    makes: tuple[Template, ...]


@dataclass
class ModuleParameter:
    """A module's parameter; ``type`` is "int", "float", "string" or ""."""

    name: str
    type: str


@dataclass
class ModuleOf:
    """A module that was found.

    Attributes:
        name: its name.
        parameters: in order.
        inputs: the names of its inputs.
        body: its items; inputs are read by reference.
        output: the blob it gives back, over its parameters and inputs.
        scoped: whether its uses have labels.
    """

    name: str
    parameters: list[ModuleParameter]
    inputs: list[str]
    body: list[NetItem]
    output: Template
    scoped: bool


@dataclass
class CollapsedNet:
    """The items of the net itself, and those of each module."""

    main: list[NetItem]
    modules: list[ModuleOf] = field(default_factory=list)

    def outputs(self) -> list[Template | None]:
        """The blob that each row gives back, as :meth:`rows` has them; None for the net's own."""
        return [None, *(module.output for module in self.modules)]

    def rows(self) -> list[list[NetItem]]:
        """The sequences of items, the net's own first."""
        return [self.main, *(module.body for module in self.modules)]


def filled(text: Template, values: dict[str, Leaf]) -> Template:
    """A text with its references replaced by values."""
    parts: list[str | Ref] = []
    for part in text.parts:
        value = values.get(part.text, part) if isinstance(part, Ref) else part
        if isinstance(value, Template):
            parts += value.parts
        elif isinstance(value, Number):
            parts.append(value.text)
        else:
            parts.append(value)
    return template(parts)


def made_by(
    form: LayerForm, leaves: Sequence[Leaf], reads: Sequence[Template]
) -> tuple[Template, ...]:
    """The blobs that a layer makes."""
    found: list[Template] = []
    own = iter(leaves[1:])
    for top in form.tops:
        leaf = reads[top] if isinstance(top, int) else leaves[0] if top == "name" else next(own)
        assert isinstance(leaf, Template)  # a blob's name is a text
        found.append(leaf)
    return tuple(found)
