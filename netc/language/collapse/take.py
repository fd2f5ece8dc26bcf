"""A plain document to a sequence of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netc.language.collapse.inputs import input_item
from netc.language.collapse.model import (
    BlobSlot,
    Fields,
    LayerForm,
    Leaf,
    LeafSlot,
    NetItem,
    Node,
    Number,
    SchemaWord,
    TextForm,
    made_by,
    template,
)
from netc.language.placement import FieldFinder
from netc.syntax.ast import Block, Document, Field, ListValue, Scalar, Value
from netc.syntax.printer import print_document, print_value

LAYERS = ("layer", "layers")
_WIRING = ("name", "type", "bottom", "top")


def taken(document: Document, placement: FieldFinder) -> list[NetItem]:
    """The net's fields as items, in order."""
    names = Counter(_first(f, "name") for f in document.fields if f.name in LAYERS)
    return [_item(field, placement, names, document) for field in document.fields]


def _item(field: Field, placement: FieldFinder, names: Counter[str], document: Document) -> NetItem:
    if field.name not in LAYERS or not isinstance(field.value, Block):
        return _text_item(field, document)
    fields = tuple(single_fields(field.value))
    if (
        field.name == "layer"
        and names[_first(field, "name")] == 1
        and _is_usable(fields, placement)
    ):
        return input_item(fields) or _use_item(fields)
    return _block_item(field.name, fields, field, document)


def _text_item(field: Field, document: Document) -> NetItem:
    text = print_document(Document(document.source, (field,)), comments=False)
    makes = (template([_string(field.value)]),) if field.name == "input" else ()
    return NetItem(TextForm(text.rstrip("\n")), (), (), makes)


def single_fields(block: Block) -> Iterator[Field]:
    """A block's fields, one for each item of a list."""
    for field in block.fields:
        if isinstance(field.value, ListValue):
            yield from (field._replace(value=item) for item in field.value.items)
        else:
            yield field


def _string(value: Value) -> str:
    text = value.value if isinstance(value, Scalar) else b""
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else ""


def _first(field: Field, name: str) -> str:
    fields = field.value.fields if isinstance(field.value, Block) else ()
    return next((_string(f.value) for f in fields if f.name == name), "")


def _is_usable(fields: tuple[Field, ...], placement: FieldFinder) -> bool:
    """Whether a layer can be written as a use: with a name and a type, and known fields."""
    counts = Counter(f.name for f in fields)
    wired = [f for f in fields if f.name in _WIRING]
    if counts["name"] != 1 or counts["type"] != 1 or not all(_string(f.value) for f in wired):
        return False
    type = next(_string(f.value) for f in fields if f.name == "type")
    if not (type.isidentifier() and type.isascii() and type[0].isupper()):
        return False
    return all(f.name in placement.layer.fields for f in fields if f.name not in _WIRING)


def _use_item(fields: tuple[Field, ...]) -> NetItem:
    """A layer as a use of its type."""
    texts = {key: [_string(f.value) for f in fields if f.name == key] for key in ("bottom", "top")}
    (name,) = (_string(f.value) for f in fields if f.name == "name")
    (type,) = (_string(f.value) for f in fields if f.name == "type")
    leaves: list[Leaf] = [template([name])]
    tops: list[str | int] = []
    for index, top in enumerate(texts["top"]):
        in_place = texts["bottom"][index : index + 1] == [top]
        tops.append(index if in_place else "name" if top == name else "leaf")
        if tops[-1] == "leaf":
            leaves.append(template([top]))
    tree = _tree((f for f in fields if f.name not in _WIRING), leaves)
    form = LayerForm(type, tuple(tops), len(texts["bottom"]), tree)
    reads = tuple(template([b]) for b in texts["bottom"])
    return NetItem(form, tuple(leaves), reads, made_by(form, leaves, reads))


def _block_item(name: str, fields: tuple[Field, ...], field: Field, document: Document) -> NetItem:
    """A layer as a plain block, its bottoms and tops in their places."""
    own = _first(field, "name")
    wired = [f for f in fields if f.name in ("bottom", "top")]
    if not own or not all(_string(f.value) for f in wired):
        return _text_item(field, document)
    leaves: list[Leaf] = [template([own])]
    bottoms = [_string(f.value) for f in wired if f.name == "bottom"]
    tops: list[str | int] = []
    for index, top in enumerate(_string(f.value) for f in wired if f.name == "top"):
        in_place = bottoms[index : index + 1] == [top]
        tops.append(index if in_place else "name" if top == own else "leaf")
        if tops[-1] == "leaf":
            leaves.append(template([top]))
    counts: Counter[str] = Counter()
    parts: list[tuple[str, Node]] = []
    for each in fields:
        if each.name in ("bottom", "top"):
            parts.append((each.name, BlobSlot(each.name, counts[each.name])))
            counts[each.name] += 1
        elif each.name == "name" and counts["name"] == 0:
            parts.append(("name", BlobSlot("name", 0)))
            counts["name"] += 1
        else:
            parts.append((each.name, _node(each.value, leaves)))
    form = LayerForm("", tuple(tops), len(bottoms), Fields(tuple(parts)), name)
    reads = tuple(template([b]) for b in bottoms)
    return NetItem(form, tuple(leaves), reads, made_by(form, leaves, reads))


def _tree(fields: Iterator[Field], leaves: list[Leaf]) -> Fields:
    return Fields(tuple((f.name, _node(f.value, leaves)) for f in fields))


def _node(value: Value, leaves: list[Leaf]) -> Node:
    """A value's place in the tree; what may vary is put behind the leaves."""
    if isinstance(value, Block):
        return _tree(single_fields(value), leaves)
    assert isinstance(value, Scalar)  # lists were taken apart
    if value.kind == "string":
        leaves.append(template([_string(value)]))
        return LeafSlot(True)
    text = print_value(value)
    if value.kind == "identifier" or text.lstrip("-")[:1] not in "0123456789.":
        return SchemaWord(text)
    leaves.append(Number(text, value.kind == "integer"))
    return LeafSlot(False)
