"""Loads and stores of whole vectors, or of the lanes that are left at the end of the channels."""

from __future__ import annotations

from typing import Any

from numba import njit

from netc.backends.cpu.kernels.simd import load, load_part, store, store_masked


def loader(width: int, part: bool) -> Any:
    """A function (address, lanes) -> vector; lanes beyond ``lanes`` are 0 where ``part``."""
    if part:

        @njit(inline="always")
        def load_some(address: int, lanes: int) -> Any:
            return load_part(width, address, lanes)

        return load_some

    @njit(inline="always")
    def load_all(address: int, lanes: int) -> Any:
        return load(width, address)

    return load_all


def storer(width: int, part: bool) -> Any:
    """A function (address, vector, lanes) that stores; only ``lanes`` of them where ``part``."""
    if part:

        @njit(inline="always")
        def store_some(address: int, value: Any, lanes: int) -> None:
            store_masked(address, value, lanes)

        return store_some

    @njit(inline="always")
    def store_all(address: int, value: Any, lanes: int) -> None:
        store(address, value)

    return store_all
