"""Makes docs/api.md, the Python interface, from its docstrings: ``python docs/api.py``."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc

PAGE = Path(__file__).resolve().parent / "api.md"

HEAD = """# The Python interface

Made by `python docs/api.py` from the docstrings; a test keeps it so. [tutorial.md](tutorial.md) is
a way in, [compat.md](compat.md) has the interfaces of pycaffe and OpenCV. Arrays are NumPy's, of
float32 unless something else is said; shapes are tuples of int, the batch first.

"""

MODULES = {
    "netc": netc.__all__,
    "netc.export.onnx": ("to_onnx", "save"),
}
"""Modules, and the names of each that scripts may rely on."""

_SECTIONS = {"Args": "Arguments", "Raises": "Raises", "Attributes": "Attributes"}


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page's text."""
    return HEAD + "\n".join(line for name in MODULES for line in _module(name))


def _module(name: str) -> Iterator[str]:
    module = import_module(name)
    yield f"## `{name}`\n"
    yield _prose((inspect.getdoc(module) or "").split("\n\n")[0]) + "\n"
    for member in sorted(MODULES[name], key=str.lower):
        if not member.startswith("_"):
            yield from _member(f"{name}.{member}", getattr(module, member))


def _member(path: str, value: object) -> Iterator[str]:
    yield f"### `{path}`\n"
    if inspect.isclass(value):
        yield from _class(path.rpartition(".")[2], value)
    elif callable(value):
        yield f"```\n{_signature(path, value)}\n```\n"
        yield _described(value)


def _class(name: str, value: type) -> Iterator[str]:
    kinds = [base.__name__ for base in value.__bases__ if base is not object]
    if kinds and kinds != ["tuple"]:
        yield f"A class, derived from `{kinds[0]}`.\n"
    yield _described(value)
    fields = _fields(value)
    if fields and "Args:" not in (inspect.getdoc(value) or ""):
        yield "Fields: " + ", ".join(f"`{field}`" for field in fields) + "\n"
    for key, member in vars(value).items():
        if key.startswith("_") and key != "__call__":
            continue
        if isinstance(member, property) or type(member).__name__ == "cached_property":
            function = member.fget if isinstance(member, property) else member.func  # type: ignore[attr-defined]
            yield f"#### `{name}.{key}`\n"
            yield _described(function)
        elif inspect.isfunction(member):
            shown = _signature("net" if key == "__call__" else f"{name}.{key}", member)
            yield f"#### `{name}.{key}`\n\n```\n{shown}\n```\n"
            yield _described(member)


def _fields(value: type) -> list[str]:
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if field.name[0] != "_"]
    return [name for name in getattr(value, "_fields", ()) if name[0] != "_"]


def _signature(path: str, function: object) -> str:
    """A call, with a parameter a line where it is long."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    returns = signature.return_annotation
    arrow = "" if returns is inspect.Signature.empty else f" -> {_annotation(returns)}"
    parts = list(_parts(parameters))
    line = f"{path}({', '.join(parts)}){arrow}"
    if len(line) <= 96:
        return line
    return "\n".join([f"{path}(", *(f"    {part}," for part in parts), f"){arrow}"])


def _parts(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            starred = True
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        typed = parameter.annotation is not inspect.Parameter.empty
        text = f"{star}{parameter.name}" + (
            f": {_annotation(parameter.annotation)}" if typed else ""
        )
        if parameter.default is not inspect.Parameter.empty:
            text += f" = {parameter.default!r}" if typed else f"={parameter.default!r}"
        yield text


def _annotation(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def _described(value: object) -> str:
    """A docstring as Markdown, its sections as lists."""
    text = inspect.getdoc(value) or ""
    parts = re.split(r"^(Args|Raises|Attributes|Returns|Yields):\n", text, flags=re.MULTILINE)
    out = [_prose(parts[0])]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        items = list(_items(body))
        told = [f"{title}: {' '.join(items)}"]
        if title in _SECTIONS:
            told = [f"{_SECTIONS[title]}:", "", *(f"* {_named(item)}" for item in items)]
        out += ["", *map(_prose, told)]
    return "\n".join(out).rstrip() + "\n"


_ITEM = re.compile(r"[\w.*, ]+: ")


def _items(body: str) -> Iterator[str]:
    """``name: text`` of a section, each in one line."""
    item = ""
    for line in inspect.cleandoc(body).splitlines():
        if item and line[:1] not in ("", " ") and _ITEM.match(line):
            yield item
            item = ""
        item = f"{item} {line.strip()}".strip()
    if item:
        yield item


def _named(item: str) -> str:
    name, _, text = item.partition(": ")
    return f"`{name}`: {text}" if _ITEM.match(item) else item


def _prose(text: str) -> str:
    """Sphinx's roles and double backticks as Markdown has them."""
    text = re.sub(r":\w+:`~?\.?([^`]*)`", r"`\1`", text)
    text = re.sub(r"``([^`]*)``", r"`\1`", text)
    return re.sub(r"::$", ":", text.rstrip(), flags=re.MULTILINE)


if __name__ == "__main__":
    main()
