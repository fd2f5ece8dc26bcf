"""Which tests run in one process, since they share what takes long to make.

pytest-xdist's own mark for this has no effect with pytest 9.2, which keeps a test's name elsewhere.
"""

from __future__ import annotations

import re

_GPU = "tests/backends/cuda/"
_SHARING = {
    "tests/predict/test_ray.py": "ray",  # one Ray runs all of its scenarios
    "tests/test_corpus.py": "corpus",  # the files are read once
    f"{_GPU}test_cupy_on_fake_driver.py": "fake driver",  # one process runs all of its scenarios
    f"{_GPU}test_backend.py": "emulated",  # kernels are compiled together, and once
    f"{_GPU}test_emulated.py": "emulated",
    f"{_GPU}test_libraries.py": "libraries",
    f"{_GPU}test_products.py": "products",
    f"{_GPU}test_recurrent.py": "products",
}
_ARCHITECTURE = re.compile(
    r"test_nvrtc\.py::.*\b(\d+)\]$"
)  # as many processes as there are of them


def group(test: str) -> str:
    """The name of what runs in one process: that of several tests, or a test's own."""
    compiled = _ARCHITECTURE.search(test)
    if compiled:
        return f"nvrtc {compiled.group(1)}"
    return _SHARING.get(test.split("::")[0], test)
