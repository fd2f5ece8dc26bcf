"""Keeps tests that share compiled kernels in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARING = (
    "test_emulated.py",
    "test_products.py",
    "test_random_nets.py",
    "test_nets.py",
    "test_recurrent.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent and item.path.name in _SHARING:
            item.add_marker(pytest.mark.xdist_group("emulated"))
