"""Runs scenarios by name and writes, line by line, what came of each as JSON."""

from __future__ import annotations

import faulthandler
import json
import sys
import traceback

from tests.backends.cuda.driver.stage import staged

faulthandler.enable()
driver = staged()  # before anything imports CuPy

from tests.backends.cuda.driver.scenarios import SCENARIOS, SLOW  # noqa: E402

for name in sys.argv[1:]:
    try:
        {**SCENARIOS, **SLOW}[name](driver)
        found = ""
    except Exception:
        found = traceback.format_exc()
    print(json.dumps([name, found]), flush=True)
