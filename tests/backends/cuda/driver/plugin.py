"""Has pytest's own process use the fake driver, so that any test's nets run over CuPy.

``python -m pytest -n 0 -p tests.backends.cuda.driver.plugin --backend cuda tests/test_compiled.py``
"""

from __future__ import annotations

from tests.backends.cuda.driver.stage import staged

staged()
