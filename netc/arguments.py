"""Checks of the arguments of :func:`netc.compile`: mistakes are diagnostics, as in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray

TEXT = "<text>"  # what a text that was given as such is called in messages


def checked_text(net: object, text: object = None) -> Any:
    """A net's path, or its :class:`netc.Source`, from the arguments ``net`` and ``text``.

    Raises:
        NetcError: bad-argument, where both or neither are given, where either has the wrong type,
            or where ``net`` is a net's text.
    """
    if text is not None:
        if net is not None:
            raise _bad("both `net` and `text` are given, and each is a whole net")
        if not isinstance(text, str):
            raise _bad(f"`text` is a net's text, not {_kind(text)}")
        return Source(TEXT, text)
    if isinstance(net, str) and ("{" in net or "\n" in net):
        raise _bad("`net` is a path, and a net's text was given", "give it as text=...")
    if not isinstance(net, (str, PathLike, Source)):
        raise _bad(f"`net` is a path or a Source, not {_kind(net)}")
    return net


def names(value: str | Sequence[str], what: str) -> tuple[str, ...]:
    """A tuple of names; a single string is one name. ``what`` is the argument's name in messages.

    Raises:
        NetcError: bad-argument, where it is no list of strings.
    """
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, Iterable) or not all(isinstance(name, str) for name in listed):
        raise _bad(f"`{what}` is a list of names, not {_kind(value)}")
    return tuple(listed)


def shapes(inputs: Mapping[str, Sequence[int]] | None) -> dict[str, Shape]:
    """Input blob -> shape as a tuple of int; empty for None.

    Raises:
        NetcError: bad-argument, where it is no mapping or a size is no whole number from 0 on.
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


def number(value: object, what: str) -> int:
    """A whole number as int (NumPy's integers too); ``what`` is the argument's name in messages.

    Raises:
        NetcError: bad-argument, for anything else, True and False among them.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _bad(f"`{what}` is a whole number, not {value!r}")
    return int(value.__index__())


def definitions(define: Mapping[str, object] | None) -> dict[str, str]:
    """Placeholder -> its value as prototxt text; booleans become ``true`` and ``false``.

    Raises:
        NetcError: bad-argument, where it is no mapping.
    """
    if define is not None and not isinstance(define, Mapping):
        raise _bad(f"`define` maps placeholders to values, it is {_kind(define)}")
    return {str(name): _written(value) for name, value in (define or {}).items()}


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def float32_array(array: AnyArray, what: str, span: Span | None = None) -> AnyArray:
    """An array as float32, on the device it lies on; the array itself if it is float32 already.

    float64 is rounded; integers must be representable exactly.

    Args:
        array: of NumPy, CuPy or another library with ``dtype`` and ``astype``.
        what: the subject of error messages, such as "input `data`".
        span: where the array is declared.

    Raises:
        NetcError: input-dtype, for integers that float32 cannot hold, numbers beyond its range,
            and other dtypes (bool is taken as 0 and 1).
    """
    if array.dtype == np.float32:
        return array
    if np.can_cast(array.dtype, np.float32, "safe"):
        return array.astype(np.float32)
    if array.dtype.kind not in "iuf":
        raise _no_float32(array, what, span, "convert it: array.astype(np.float32)")
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32)
    if array.dtype.kind in "iu" and not bool((rounded == array).all()):
        help = "it has integers that float32 cannot hold; round them: array.astype(np.float32)"
        raise _no_float32(array, what, span, help)
    if array.dtype.kind == "f" and bool(
        (abs(rounded) == np.inf).sum() > (abs(array) == np.inf).sum()
    ):
        raise _no_float32(array, what, span, "it has numbers beyond 3.4e38, the largest of float32")
    return rounded


def _no_float32(array: AnyArray, what: str, span: Span | None, help: str) -> NetcError:
    message = f"{what} is {array.dtype}, and the net takes float32"
    return NetcError(Diagnostic("input-dtype", message, span, help=(help,)))


def rounded_note(dtype: Any, what: str, span: Span | None = None) -> Diagnostic | None:
    """The note ``rounded-input`` for a dtype that float32 cannot hold exactly, else None."""
    if dtype.kind != "f" or np.can_cast(dtype, np.float32, "safe"):
        return None
    message = f"{what} is {dtype}, and is rounded to float32, in which the net computes"
    help = ("give float32 to save the conversion: array.astype(np.float32)",)
    return Diagnostic("rounded-input", message, span, "note", help=help)


def _kind(value: object) -> str:
    return "None" if value is None else f"a `{type(value).__name__}`"


def _bad(message: str, *help: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message, help=help))
