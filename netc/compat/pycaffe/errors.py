"""netc's errors as the classes that pycaffe raises, for scripts that catch those."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from netc.diagnostics import NetcError

_CLASSES: dict[str, type[NetcError]] = {}


def kind_of(kind: type[Exception]) -> type[NetcError]:
    """The class of errors that are a NetcError and one of Python's too."""
    name = f"Netc{kind.__name__}"
    if name not in _CLASSES:
        _CLASSES[name] = type(name, (NetcError, kind), {"__module__": __name__})
    return _CLASSES[name]


def also(error: NetcError, kind: type[Exception]) -> NetcError:
    """The error, of another of Python's classes too; to be raised by the caller."""
    return kind_of(kind)(error.diagnostics)


@contextmanager
def raising(kind: type[Exception], codes: Collection[str] = ()) -> Iterator[None]:
    """Have errors of these codes, or all, be of one of Python's classes too."""
    try:
        yield
    except NetcError as error:
        if isinstance(error, kind) or (codes and error.diagnostics[0].code not in codes):
            raise
        raise also(error, kind) from None
