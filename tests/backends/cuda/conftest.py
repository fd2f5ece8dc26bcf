"""Keeps tests that share compiled kernels in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARING = {
    "test_backend.py": "emulated",
    "test_emulated.py": "emulated",
    "test_nvrtc.py": "nvrtc",
    "test_products.py": "products",
    "test_recurrent.py": "products",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = _SHARING.get(item.path.name)
        if Path(item.path).parent == Path(__file__).parent and group:
            item.add_marker(pytest.mark.xdist_group(group))
