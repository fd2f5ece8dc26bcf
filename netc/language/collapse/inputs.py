"""Input layers of plain nets as ``input`` statements."""

from __future__ import annotations

from collections.abc import Sequence

from netc.language.collapse.model import NetItem, TextForm, template
from netc.language.collapse.uses import quoted
from netc.syntax.ast import Block, Field, ListValue, Scalar
from netc.syntax.printer import print_value

_LARGEST = 2**31 - 1
_PARTS = {"mean_value": "mean", "scale": "scale"}


def input_item(fields: Sequence[Field]) -> NetItem | None:
    """An Input layer as a statement; None where the statement cannot express all of it."""
    by_name = {field.name: field.value for field in fields}
    known = {"name", "type", "top", "input_param"}
    if len(by_name) != len(fields) or by_name.keys() - {"transform_param"} != known:
        return None
    name, top = by_name["name"], by_name["top"]
    if _text(by_name["type"]) != b"Input" or not _text(name) or _text(name) != _text(top):
        return None
    shape, block = _shape(by_name["input_param"]), _block(by_name.get("transform_param"))
    if shape is None or block is None:
        return None
    text = _text(name).decode("utf-8", "surrogateescape")
    spelled = text if text.isidentifier() and text.isascii() else quoted(template([text]))
    return NetItem(TextForm(f"input {spelled}: {shape}{block}"), (), (), (template([text]),))


def _text(value: object) -> bytes:
    text = value.value if isinstance(value, Scalar) else b""
    return text if isinstance(text, bytes) else b""


def _shape(value: object) -> str | None:
    """``input_param { shape { dim: 1 ... } }`` as ``[1, ...]``."""
    if not isinstance(value, Block) or [f.name for f in value.fields] != ["shape"]:
        return None
    shape = value.fields[0].value
    if not isinstance(shape, Block) or any(f.name != "dim" for f in shape.fields):
        return None
    sizes = [size for f in shape.fields for size in _items(f)]
    if not sizes or not all(_is_size(size) for size in sizes):
        return None
    return f"[{', '.join(str(size.value) for size in sizes if isinstance(size, Scalar))}]"


def _is_size(value: object) -> bool:
    whole = isinstance(value, Scalar) and isinstance(value.value, int)
    return whole and 0 <= value.value <= _LARGEST  # type: ignore[attr-defined]


def _items(field: Field) -> Sequence[object]:
    return field.value.items if isinstance(field.value, ListValue) else (field.value,)


def _block(value: object) -> str | None:
    """``transform_param`` as the statement's block; empty where there is none."""
    if value is None:
        return ""
    if not isinstance(value, Block) or any(f.name not in _PARTS for f in value.fields):
        return None
    found: dict[str, list[str]] = {}
    for field in value.fields:
        for item in _items(field):
            if not isinstance(item, Scalar) or item.kind not in ("integer", "float"):
                return None
            found.setdefault(_PARTS[field.name], []).append(print_value(item))
    if len(found.get("scale", ())) > 1:
        return None
    lists = {name: v[0] if len(v) == 1 else f"[{', '.join(v)}]" for name, v in found.items()}
    return (
        f" {{ {' '.join(f'{name}: {text}' for name, text in lists.items())} }}" if found else None
    )
