"""Runs scenarios by name and writes, line by line, what came of each as JSON."""

from __future__ import annotations

import faulthandler
import json
import sys
import time
import traceback

from tests.backends.cuda.driver.stage import staged

faulthandler.enable()
driver = staged()  # before anything imports CuPy

from tests.backends.cuda.driver.scenarios import SCENARIOS  # noqa: E402

for name in sys.argv[1:]:
    begun = time.perf_counter()
    try:
        SCENARIOS[name](driver)
        found = ""
    except Exception:
        found = traceback.format_exc()
    print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    print(json.dumps([name, found]), flush=True)
