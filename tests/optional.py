"""Packages that netc and its tests can do without: a test that needs an absent one is skipped.

It need not say so itself. A missing import, or netc's own error that names the package, ends the
test as skipped, with the reason; see ``tests/conftest.py``.
"""

from __future__ import annotations

from importlib import util
from typing import Any

import pytest

from netc.diagnostics import NetcError

PACKAGES = (
    "cupy", "cv2", "h5py", "llvmlite", "lmdb", "matplotlib", "numba", "onnx", "onnxruntime",
    "mpi4py", "plyvel", "pyarrow", "ray", "tensorboardX", "torch",
)  # fmt: skip


def installed(name: str) -> bool:
    """Whether a package can be imported."""
    try:
        return util.find_spec(name) is not None
    except (ImportError, ValueError):  # a test has put something in its place
        return True


def lacking(error: BaseException) -> str | None:
    """Why the test that ended so is skipped; None where it failed."""
    absent = [name for name in PACKAGES if not installed(name)]
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in absent:
        return f"{error.name} is not installed"
    if isinstance(error, NetcError) and error.diagnostics[0].code == "missing-package":
        named = [name for name in absent if name in str(error)]
        return f"{named[0]} is not installed" if named else None
    return None


def opencv_with_caffe() -> Any:
    """OpenCV of a version that reads Caffe's nets, which is to be compared with; or skips."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip(f"OpenCV {cv2.__version__} has no readNetFromCaffe: 4 and older have it")
    return cv2
