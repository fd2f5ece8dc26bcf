"""Locates schemas/ and prototxt/: inside an installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(folder: str) -> Path:
    installed = _PACKAGE / "_data" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def schemas_dir() -> Path:
    """The folder of Caffe's and its forks' ``.proto`` files."""
    return _find("schemas")


def prototxt_dir() -> Path:
    """The folder of the networks that come with netc."""
    return _find("prototxt")
