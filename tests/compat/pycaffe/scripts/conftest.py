"""``import caffe`` means netc's interface, as in a program that installed it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import netc.compat.pycaffe as pycaffe


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """The modules by Caffe's names, for one test."""
    before = {name: module for name, module in sys.modules.items() if _is_caffe(name)}
    pycaffe.install(python_layers=True)
    yield
    pycaffe.python_layers.allow_imports(False)
    for name in [name for name in sys.modules if _is_caffe(name)]:
        del sys.modules[name]
    sys.modules.update(before)


def _is_caffe(name: str) -> bool:
    return name == "caffe" or name.startswith("caffe.")
