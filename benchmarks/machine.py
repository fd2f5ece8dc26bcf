"""What machine a figure is from."""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata, util
from pathlib import Path


def describe(*packages: str) -> dict[str, str]:
    """Processor, cores, system, Python, date, and versions of the packages that are installed."""
    found = {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for name in ("numpy", *packages):
        if util.find_spec(name.replace("-", "_")) or name in ("opencv-python-headless",):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((ln.partition(":")[2].strip() for ln in lines if ln.startswith("model name")), "")
