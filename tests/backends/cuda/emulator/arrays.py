"""A stand-in for a device's array library, as strict as CuPy about what it mixes with.

NumPy functions are found by the same names; they take and give :class:`Array` alone. A NumPy array
where a device array belongs is a TypeError, as it is in CuPy, and so is an implicit copy to the
host. :func:`netc.ops.array.namespace` finds this module by the class.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np

_MODULE = "emulated_arrays"


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in the emulated device's memory."""

    __module__ = _MODULE

    def __init__(self, data: Any) -> None:
        self.data_ = data

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("implicit conversion of a device array to a NumPy array")

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        _strict(inputs)
        plain = {k: _unwrapped(v) for k, v in kwargs.items()}
        return _wrapped(getattr(function, method)(*map(_unwrapped, inputs), **plain))

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        return _function(function)(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return _wrapped(self.data_[_key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        _strict([value])
        self.data_[_key(key)] = _unwrapped(value)

    def __len__(self) -> int:
        return len(self.data_)

    def __iter__(self) -> Any:
        return (_wrapped(row) for row in self.data_)

    def __bool__(self) -> bool:
        return bool(self.data_)

    def __float__(self) -> float:
        return float(self.data_)

    def __int__(self) -> int:
        return int(self.data_)

    def __index__(self) -> int:
        return self.data_.__index__()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.data_, name)
        return _function(value) if callable(value) else _wrapped(value)


def wrap(array: Any) -> Array:
    return Array(array)


def unwrap(array: Any) -> Any:
    return array.data_


def _strict(values: Any) -> None:
    for value in values:
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("a NumPy array among device arrays")
        if isinstance(value, list | tuple):
            _strict(value)


def _key(key: Any) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(map(_unwrapped, parts)) if isinstance(key, tuple) else _unwrapped(key)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Array):
        return value.data_
    if isinstance(value, list | tuple):
        return type(value)(map(_unwrapped, value))
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return Array(np.asarray(value))
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(_wrapped, value))
    return value


_FROM_HOST = {"asarray", "array", "ascontiguousarray"}


def _function(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if getattr(function, "__name__", "") not in _FROM_HOST:
            _strict(args)
            _strict(kwargs.values())
        plain = {k: _unwrapped(v) for k, v in kwargs.items()}
        return _wrapped(function(*map(_unwrapped, args), **plain))

    return call


def _module_attribute(name: str) -> Any:
    value = getattr(np, name)
    if isinstance(value, types.ModuleType):
        return value
    return value if isinstance(value, type) or not callable(value) else _function(value)


module = types.ModuleType(_MODULE, __doc__)
module.__getattr__ = _module_attribute  # type: ignore[method-assign]
module.ndarray = Array  # type: ignore[attr-defined]
sys.modules[_MODULE] = module
