"""NumPy, imported when something of it is first used.

Importing NumPy takes longer than checking a net. A shape rule needs none of it, and lies beside a
definition that does; so modules which are read to check a text say ``from netc.numeric import np``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["np"]


class _Later(ModuleType):
    """A module whose attributes are looked up in the real one, each of them once."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what tools ask of any module says nothing of NumPy's
            raise AttributeError(name)
        found: object = getattr(import_module(self.__name__), name)
        self.__dict__[name] = found
        return found


if not TYPE_CHECKING:
    np = _Later("numpy")
