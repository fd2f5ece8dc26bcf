"""Scripts that were run on pycaffe itself, and what it yielded: tests/golden/pycaffe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "pycaffe"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.json"))

# Labels that do not agree; docs/compat.md has the reasons.
LEFT: dict[str, set[str]] = {
    "structure_blob": {"reshape by integers of NumPy"},
    "structure_open": {"no phase"},
    "surgery_files": {"fatal: save_hdf5 of a name with a slash"},
}


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The comparison that came with the scripts; what they import is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("GLOG_minloglevel", "2")
    before = dict(sys.modules)
    import pycaffe_check

    yield pycaffe_check.check
    for name in set(sys.modules) - set(before):
        if name in ("kit", "pycaffe_check", "pycaffe_common") or name.startswith("golden_"):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore")  # of layers that weights lack: these are filled
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_yields_what_it_yields_in_pycaffe(check: Any, script: str) -> None:
    rows = check("netc.compat.pycaffe", str(FOLDER), script)
    assert rows
    wrong = {label: why for label, why in rows if why}
    assert set(wrong) == LEFT.get(script, set()), wrong
