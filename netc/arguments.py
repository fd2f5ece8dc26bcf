"""What callers of :func:`netc.compile` give, checked: mistakes are told like those of a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.ir.types import Shape


def checked_text(net: Any) -> Any:
    """A net's path or source.

    Raises:
        NetcError: bad-argument, for another thing, a net's text among them.
    """
    if isinstance(net, str) and ("{" in net or "\n" in net):
        raise _bad("`net` is a path, and a net's text was given", "give Source('name', text)")
    if not isinstance(net, (str, PathLike, Source)):
        raise _bad(f"`net` is a path or a Source, not {_kind(net)}")
    return net


def names(value: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Names that may be given as one string.

    Raises:
        NetcError: bad-argument.
    """
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, Iterable) or not all(isinstance(name, str) for name in listed):
        raise _bad(f"`{what}` is a list of names, not {_kind(value)}")
    return tuple(listed)


def shapes(inputs: Mapping[str, Sequence[int]] | None) -> dict[str, Shape]:
    """Input blob -> shape.

    Raises:
        NetcError: bad-argument.
    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping):
        help = "write inputs={'data': (1, 3, 224, 224)}"
        raise _bad(f"`inputs` maps input blobs to shapes, it is {_kind(inputs)}", help)
    return {str(name): _shape(name, sizes) for name, sizes in inputs.items()}


def _shape(name: str, sizes: Any) -> Shape:
    try:
        shape = tuple(sizes)
        whole = tuple(int(size) for size in shape)
    except (TypeError, ValueError):
        raise _bad(f"the shape of input `{name}` is a list of sizes, not {sizes!r}") from None
    if whole != shape or any(size < 0 for size in whole):
        raise _bad(f"the sizes of input `{name}` are whole numbers from 0 on, not {sizes!r}")
    return whole


def number(value: Any, what: str) -> int:
    """A whole number.

    Raises:
        NetcError: bad-argument.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _bad(f"`{what}` is a whole number, not {value!r}")
    return int(value.__index__())


def definitions(define: Mapping[str, Any] | None) -> dict[str, str]:
    """Placeholder -> value as it is to stand in the text.

    Raises:
        NetcError: bad-argument.
    """
    if define is not None and not isinstance(define, Mapping):
        raise _bad(f"`define` maps placeholders to values, it is {_kind(define)}")
    return {str(name): _written(value) for name, value in (define or {}).items()}


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a `{type(value).__name__}`"


def _bad(message: str, *help: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message, help=help))
