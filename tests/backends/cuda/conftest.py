"""Keeps tests that share compiled kernels in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARING = {
    "test_backend.py": "emulated",
    "test_emulated.py": "emulated",
    "test_products.py": "products",
    "test_recurrent.py": "products",
}


def _group(item: pytest.Item) -> str | None:
    if item.path.name == "test_nvrtc.py":  # a group for each architecture, on as many processors
        call = getattr(item, "callspec", None)
        return f"nvrtc-{call.params.get('architecture', '')}" if call else "nvrtc"
    return _SHARING.get(item.path.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = _group(item)
        if Path(item.path).parent == Path(__file__).parent and group:
            item.add_marker(pytest.mark.xdist_group(group))
