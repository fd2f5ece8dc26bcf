"""A backend that nothing in netc knows of passes the conformance tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SUITE = ("tests/backends/test_variables.py", "tests/test_golden.py")


def test_a_third_backend_passes_the_conformance_tests() -> None:
    plugin = ("-p", "tests.backends.toy", "--backend", "toy", "-p", "no:cacheprovider", "-n", "0")
    command = [sys.executable, "-m", "pytest", "-q", "-x", *plugin, *SUITE, "-k", "not shapes"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout or "100%" in done.stdout


def test_no_name_of_a_backend_decides_anything_outside_of_the_registry() -> None:
    """Names are compared with nowhere; defaults and helps say them."""
    for path in (ROOT / "netc").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "registry.py" and "compat" not in path.parts:
            for name in ("cpu", "cuda", "reference"):
                assert f'== "{name}"' not in text, path
