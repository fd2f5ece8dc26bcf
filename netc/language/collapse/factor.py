"""Repeated blocks become modules, those that save most first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from netc.language.collapse.model import (
    CallForm,
    CollapsedNet,
    Fields,
    LayerForm,
    Leaf,
    LeafSlot,
    ModuleOf,
    NetItem,
    Ref,
    Template,
    constant,
    filled,
    made_by,
    template,
)
from netc.language.collapse.search import Repetition, RowPosition, best_block
from netc.language.collapse.vary import Varied
from netc.language.operators import FUNCTIONS
from netc.language.shorts import BASES, SHORTS

MAX_ROUNDS = 40
_MANY = 4000  # items, beyond which nothing is looked for

_HINTS = {
    "num_output": "n",
    "kernel_size": "kernel",
    "dropout_ratio": "ratio",
    "local_size": "size",
}
_RESERVED = {
    "prev", "true", "false", "and", "or", "not", "in", "if", "else", "for", "as", "repeat", "let",
    "param", "module", "include", "input", "expect", "phase", "inf", "nan", "x",
    "y", "i", "v",
}  # fmt: skip


def factored(main: list[NetItem]) -> CollapsedNet:
    """A net with modules for the blocks that repeat in it."""
    net = CollapsedNet(main)
    for _ in range(MAX_ROUNDS):
        if sum(map(len, net.rows())) > _MANY:
            break
        found = best_block(net.rows(), net.outputs())
        if found is None:
            break
        _make_module(net, found)
    return net


def _make_module(net: CollapsedNet, found: Repetition) -> None:
    """Put a new module in the place of each of a block's occurrences."""
    rows = net.rows()
    blocks = [_block(rows, place, found.length) for place in found.places]
    labels = _labels(blocks)
    if labels:
        blocks = [_without(block, label) for block, label in zip(blocks, labels, strict=True)]
    number = len(net.modules)
    inputs = [f"x{i + 1}" if found.wiring.inputs > 1 else "x" for i in range(found.wiring.inputs)]
    varied = Varied({*inputs, *_RESERVED, *FUNCTIONS})
    body = _body(net, blocks, found, inputs, varied)
    item, top = found.wiring.output
    name = _module_name(net, body, labels)
    output = body[item].makes[top]
    module = ModuleOf(name, varied.parameters, inputs, body, output, bool(labels))
    uses = [
        _use(module, number, varied.arguments(use), labels[use] if labels else None, found, block)
        for use, block in enumerate(_original(rows, found))
    ]
    _replace(net, found, uses)
    net.modules.append(module)


def _block(rows: Sequence[list[NetItem]], place: RowPosition, length: int) -> list[NetItem]:
    return list(rows[place.row][place.start : place.start + length])


def _original(rows: Sequence[list[NetItem]], found: Repetition) -> list[list[NetItem]]:
    return [_block(rows, place, found.length) for place in found.places]


def _body(
    net: CollapsedNet,
    blocks: list[list[NetItem]],
    found: Repetition,
    inputs: list[str],
    varied: Varied,
) -> list[NetItem]:
    """The module's items: the first block's, with references for what varies."""
    body: list[NetItem] = []
    for index, item in enumerate(blocks[0]):
        hints = _hints(net, item)
        columns = zip(*(block[index].leaves for block in blocks), strict=True)
        leaves = tuple(varied.add(c, h) for c, h in zip(columns, hints, strict=True))
        reads = tuple(
            template([Ref(inputs[link])]) if isinstance(link, int) else body[link[0]].makes[link[1]]
            for link in found.wiring.reads[index]
        )
        body.append(NetItem(item.form, leaves, reads, made(net, item, leaves, reads)))
    return body


def made(
    net: CollapsedNet, item: NetItem, leaves: Sequence[Leaf], reads: Sequence[Template]
) -> tuple[Template, ...]:
    """The blobs that an item makes with other leaves and bottoms."""
    if isinstance(item.form, LayerForm):
        return made_by(item.form, leaves, reads)
    if isinstance(item.form, CallForm):
        return (result(net.modules[item.form.module], item.form, leaves, reads),)
    return item.makes


def result(
    module: ModuleOf, form: CallForm, leaves: Sequence[Leaf], reads: Sequence[Template]
) -> Template:
    """The blob that a use of a module gives back."""
    values: dict[str, Leaf] = dict(zip(module.inputs, reads, strict=True))
    given = leaves[1:] if form.scoped else leaves
    values |= {p.name: leaf for p, leaf in zip(module.parameters, given, strict=True)}
    inner = filled(module.output, values)
    inside = not (len(module.output.parts) == 1 and module.output.parts[0] in _refs(module.inputs))
    if form.scoped and inside:
        label = leaves[0]
        assert isinstance(label, Template)
        return template([*label.parts, "/", *inner.parts])
    return inner


def _refs(names: Sequence[str]) -> set[Ref]:
    return {Ref(name) for name in names}


def _use(
    module: ModuleOf,
    number: int,
    arguments: tuple[Leaf, ...],
    label: str | None,
    found: Repetition,
    block: list[NetItem],
) -> NetItem:
    """The use that stands for a block."""
    form = CallForm(number, label is not None)
    leaves = arguments if label is None else (template([label]), *arguments)
    reads: list[Template] = [template([])] * found.wiring.inputs
    for item, links in zip(block, found.wiring.reads, strict=True):
        for blob, link in zip(item.reads, links, strict=True):
            if isinstance(link, int):
                reads[link] = blob
    return NetItem(form, leaves, tuple(reads), (result(module, form, leaves, reads),))


def _replace(net: CollapsedNet, found: Repetition, uses: list[NetItem]) -> None:
    rows = net.rows()
    for place, use in reversed(list(zip(found.places, uses, strict=True))):
        rows[place.row][place.start : place.start + found.length] = [use]


# Labels


def _labels(blocks: list[list[NetItem]]) -> list[str]:
    """What stands before the ``/`` in all names of each block, if the rest is the same in all."""
    found = [_label(block) for block in blocks]
    labels = [label for label in found if label]
    if len(labels) < len(blocks) or len(set(labels)) < len(labels):
        return []
    rest = [_without(block, label) for block, label in zip(blocks, labels, strict=True)]
    same = all(_names(block) == _names(rest[0]) for block in rest)
    return labels if same else []


def _names(block: list[NetItem]) -> list[Leaf]:
    return [leaf for item in block for leaf in _named(item)]


def _named(item: NetItem) -> tuple[Leaf, ...]:
    """An item's leaves that are names of layers and blobs."""
    if isinstance(item.form, LayerForm):
        return item.leaves[: 1 + sum(top == "leaf" for top in item.form.tops)]
    return item.leaves[:1]


def _label(block: list[NetItem]) -> str:
    """The one label that all of a block's names have, "" for none."""
    texts: list[str] = []
    for item in block:
        scoped = isinstance(item.form, LayerForm) and not item.form.block
        if not scoped and not (isinstance(item.form, CallForm) and item.form.scoped):
            return ""
        for leaf in _named(item):
            text = constant(leaf) if isinstance(leaf, Template) else None
            if not text:
                return ""
            texts.append(text)
    label = texts[0].partition("/")[0] if "/" in texts[0] else ""
    inside = all(text.startswith(f"{label}/") and len(text) > len(label) + 1 for text in texts)
    return label if label and inside else ""


def _without(block: list[NetItem], label: str) -> list[NetItem]:
    """A block with the label taken off its names."""
    return [item._replace(leaves=_stripped(item, label)) for item in block]


def _stripped(item: NetItem, label: str) -> tuple[Leaf, ...]:
    names = len(_named(item))
    head = tuple(
        template([(constant(leaf) or "")[len(label) + 1 :]]) if isinstance(leaf, Template) else leaf
        for leaf in item.leaves[:names]
    )
    return (*head, *item.leaves[names:])


# Names


def _hints(net: CollapsedNet, item: NetItem) -> list[str]:
    """What a parameter in the place of each of an item's leaves might be called."""
    if isinstance(item.form, CallForm):
        named = [p.name.rstrip("0123456789") for p in net.modules[item.form.module].parameters]
        return ["id", *named] if item.form.scoped else named
    assert isinstance(item.form, LayerForm)
    names = len(_named(item))
    return [*["id"] * names, *_tree_hints(item.form.tree)]


def _tree_hints(tree: Fields) -> list[str]:
    found: list[str] = []
    for name, node in tree.fields:
        if isinstance(node, Fields):
            found += _tree_hints(node)
        elif isinstance(node, LeafSlot):
            found.append(_HINTS.get(name, name))
    return found


def _module_name(net: CollapsedNet, body: list[NetItem], labels: list[str]) -> str:
    used = {module.name for module in net.modules} | _RESERVED | set(FUNCTIONS) | set(SHORTS)
    base = _from_labels(labels) or _from_types(body) or _from_names(body) or "block"
    name, number = base, 1
    while name in used:
        number += 1
        name = f"{base}{number}"
    return name


def _from_labels(labels: list[str]) -> str:
    return _word(labels[0]) if labels else ""


def _from_types(body: list[NetItem]) -> str:
    """``conv_relu`` for a few layers."""
    if len(body) > 4 or not all(isinstance(i.form, LayerForm) and i.form.type for i in body):
        return ""
    types = [item.form.type for item in body if isinstance(item.form, LayerForm)]
    return "_".join(BASES.get(type, type.lower()) for type in types)


def _from_names(body: list[NetItem]) -> str:
    """What a layer's name starts with: ``res`` of ``res${id}_branch2a``."""
    texts = (leaf.parts[0] for item in body for leaf in _named(item) if isinstance(leaf, Template)
             and leaf.parts and isinstance(leaf.parts[0], str))  # fmt: skip
    return next((word for word in map(_word, map(str, texts)) if word), "")


def _word(text: str) -> str:
    found = re.match(r"[A-Za-z]+(?:_[A-Za-z]+)*", text)
    return found[0].lower() if found and len(found[0]) > 1 else ""
