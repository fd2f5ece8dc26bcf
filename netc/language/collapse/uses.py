"""Items as text: steps of chains and plain blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.language.collapse.model import (
    BlobSlot,
    CallForm,
    CollapsedNet,
    Fields,
    LayerForm,
    Leaf,
    LeafSlot,
    NetItem,
    Node,
    Number,
    Ref,
    SchemaWord,
    Template,
)
from netc.language.placement import FieldFinder
from netc.language.shorts import OF_LAYER, SHORTS, Short
from netc.syntax.literals import encode
from netc.syntax.quote import quote

_STRIDES = {"stride", "stride_h", "stride_w", "global_pooling"}
_SPECIAL = {"name", "bottom", "type", "top", "in_place"}

COUNT = "i"
"""The number in a loop."""

Entry = tuple[str, Node, tuple[Leaf, ...]]


def quoted(text: Template) -> str:
    """A text in quotes, with its references in ``${ }``."""
    parts = []
    for part in text.parts:
        if isinstance(part, Ref):
            parts.append(f"${{{part.text}}}")
            continue
        plain = quote(encode(part))[1:-1].replace("${", "$${")
        parts.append(f"{plain[:-1]}${{'$'}}" if plain.endswith("$") else plain)
    return '"' + "".join(parts) + '"'


def leaf_text(leaf: Leaf) -> str:
    """A leaf as an expression."""
    if isinstance(leaf, Template):
        only = leaf.parts[0] if len(leaf.parts) == 1 else None
        return only.text if isinstance(only, Ref) and _is_text(only) else quoted(leaf)
    return leaf.text


def _is_text(reference: Ref) -> bool:
    """Whether what stands for a whole text is one itself; a loop's number is none."""
    return reference.text.isidentifier() and reference.text != COUNT


def field_text(name: str, leaf: Leaf) -> str:
    """A field of prototxt with a leaf for value."""
    if isinstance(leaf, Number):
        return f"{name}: {leaf.text}"
    only = leaf.parts[0] if isinstance(leaf, Template) and len(leaf.parts) == 1 else leaf
    if isinstance(only, Ref):
        return f"{name}: ${{{only.text}}}"
    assert isinstance(leaf, Template)
    return f"{name}: {quoted(leaf)}"


def entries(tree: Fields, leaves: Iterator[Leaf]) -> list[Entry]:
    """A tree's fields, each with the leaves within it."""
    return [(name, node, tuple(_taken(node, leaves))) for name, node in tree.fields]


def _taken(node: Node, leaves: Iterator[Leaf]) -> Iterator[Leaf]:
    if isinstance(node, LeafSlot):
        yield next(leaves)
    elif isinstance(node, Fields):
        for _, inner in node.fields:
            yield from _taken(inner, leaves)


def block_text(entry: Entry, links: Sequence[Sequence[Template]] = ()) -> str:
    """A field as prototxt has it, on one line."""
    name, node, leaves = entry
    if isinstance(node, LeafSlot):
        return field_text(name, leaves[0])
    if isinstance(node, SchemaWord):
        return f"{name}: {node.text}"
    if isinstance(node, BlobSlot):
        which = ("bottom", "top", "name").index(node.kind)
        return field_text(name, links[which][node.number])
    inner = [block_text(each, links) for each in entries(node, iter(leaves))]
    return f"{name} {{ {' '.join(inner)} }}" if inner else f"{name} {{}}"


def plain_layer_text(item: NetItem) -> str:
    """A layer as a plain block, on one line."""
    assert isinstance(item.form, LayerForm)
    name = item.leaves[0]
    assert isinstance(name, Template)
    own = 1 + sum(top == "leaf" for top in item.form.tops)
    inner = entries(item.form.tree, iter(item.leaves[own:]))
    links = (item.reads, item.makes, (name,))
    parts = " ".join(block_text(entry, links) for entry in inner)
    return f"{item.form.block} {{ {parts} }}"


class StepTexts:
    """Makes the text of items as steps.

    Args:
        net: whose modules are used.
        placement: of fields.
    """

    def __init__(self, net: CollapsedNet, placement: FieldFinder) -> None:
        self.net = net
        self.placement = placement

    def call(self, item: NetItem) -> str:
        """The text of a use of a module."""
        assert isinstance(item.form, CallForm)
        leaves = list(item.leaves)
        label = f" as {leaf_text(leaves.pop(0))}" if item.form.scoped else ""
        given = ", ".join(map(leaf_text, leaves))
        name = self.net.modules[item.form.module].name
        return f"{name}({given}){label}" if given or not item.reads else f"{name}{label}"

    def layer(self, item: NetItem, in_place: bool | None) -> str:
        """The text of a use of a layer type; ``in_place`` is written unless it is None."""
        form = item.form
        assert isinstance(form, LayerForm)
        own = 1 + sum(top == "leaf" for top in form.tops)
        given, blocks = self._given(form, iter(item.leaves[own:]))
        short = self._short(form.type, given)
        arguments = [*self._values(short, given), *blocks]
        if in_place is not None:
            arguments.append(f"in_place: {str(in_place).lower()}")
        if form.tops not in (("name",), (0,)):
            tops = ", ".join(map(leaf_text, item.makes))
            arguments.append(f"top: [{tops}]")
        name = next((n for n, s in SHORTS.items() if s is short), form.type)
        text = f"{name}({', '.join(arguments)})" if arguments or not item.reads else name
        return f"{text} as {leaf_text(item.leaves[0])}"

    def _given(
        self, form: LayerForm, leaves: Iterator[Leaf]
    ) -> tuple[dict[str, str | SchemaWord], list[str]]:
        """Fields given by name, and those given as blocks."""
        given: dict[str, str | SchemaWord] = {}
        blocks: list[str] = []
        for entry in entries(form.tree, leaves):
            name, node, inside = entry
            if name in self.placement.messages(form.type) and isinstance(node, Fields):
                inner = entries(node, iter(inside))
                if self._inline(form.type, name, inner, given):
                    self._add(inner, given, blocks)
                    continue
            if isinstance(node, Fields):
                blocks.append(block_text(entry))
            else:
                self._add([entry], given, blocks)
        return given, blocks

    def _add(
        self, inner: Sequence[Entry], given: dict[str, str | SchemaWord], blocks: list[str]
    ) -> None:
        lists: dict[str, list[str]] = {}
        for entry in inner:
            name, node, leaves = entry
            if isinstance(node, Fields):
                blocks.append(block_text(entry))
            elif isinstance(node, SchemaWord):
                given[name] = node
            else:
                lists.setdefault(name, []).append(leaf_text(leaves[0]))
                given[name] = ""  # keeps its place among the others
        for name, texts in lists.items():
            given[name] = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    def _inline(
        self, type: str, message: str, inner: Sequence[Entry], given: dict[str, str | SchemaWord]
    ) -> bool:
        """Whether a message's fields may be given without its block."""
        if not inner:
            return False
        words: set[str] = set()
        for name, node, _ in inner:
            placed = self.placement.find(type, name)
            if placed is None or placed.message != message or name in OF_LAYER | _SPECIAL:
                return False
            if isinstance(node, SchemaWord):
                plain = placed.field.kind == "enum" or node.text in ("true", "false")
                if not plain or name in words:
                    return False
                words.add(name)
        return not any(name in given for name, _, _ in inner)

    def _short(self, type: str, given: dict[str, str | SchemaWord]) -> Short:
        """The short form that says most of what is given and nothing else."""
        fitting = [s for s in SHORTS.values() if s.type == type and _says(s, given)]
        return max(fitting, key=lambda s: len(s.preset), default=Short(type))

    def _values(self, short: Short, given: dict[str, str | SchemaWord]) -> list[str]:
        """The arguments of a use: values in order, then those with names."""
        left = {k: v for k, v in given.items() if k not in dict(short.preset)}
        if short.square and left.get("stride") == left.get("kernel_size") != None:  # noqa: E711
            del left["stride"]
        found: list[str] = []
        for name in short.values:
            if isinstance(left.get(name), str):
                found.append(str(left.pop(name)))
            else:
                break
        for name, value in left.items():
            found.append(f"{name}: {value.text if isinstance(value, SchemaWord) else value}")
        return found


def _says(short: Short, given: dict[str, str | SchemaWord]) -> bool:
    """Whether a short form adds no field that is not given."""
    for name, value in short.preset:
        word = value if not isinstance(value, bool) else SchemaWord(str(value).lower())
        if given.get(name) != SchemaWord(word.text):
            return False
    return not short.square or "kernel_size" not in given or bool(_STRIDES & given.keys())
