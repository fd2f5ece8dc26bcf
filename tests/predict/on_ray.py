"""Runs of `netc predict` on a Ray of two workers; prints what came of each as JSON.

A script, since Ray's processes and threads are best at home in a process of their own. It takes the
folder with the net and its inputs, which is the current one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from netc.cli.main import main

NET = ("net.prototxt", "-w", "net.npz")
TRAPS = ("netc.py", "numpy.py", "pyarrow.py", "sitecustomize.py")
ON_RAY = ("--on", "ray", "--workers", "2", "--batch", "4", "--json")


def ran(*argv: str) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["predict", *NET, *argv, *ON_RAY])
    print(time.strftime("%X"), *argv, file=sys.stderr, flush=True)
    told = json.loads(out.getvalue() or "{}")
    return {"code": code, "told": told, "err": err.getvalue()[-2000:]}


def worker() -> int | None:
    """The number of a process of this process's own Ray that holds a net."""
    parents, titles = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                status = (folder / "stat").read_text()
                titles[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    for number, title in titles.items():
        above = parents.get(number)
        while above and above != os.getpid():
            above = parents.get(above)
        if above and b"MapWorker" in title and title.startswith(b"ray::"):
            return number
    return None


def killing(output: Path) -> list[int]:
    """Kill a worker once the first shard is there; the list has its number then."""
    killed: list[int] = []

    def watch() -> None:
        while not killed:
            time.sleep(0.02)
            number = worker() if list((output / "_manifest").glob("part-*.json")) else None
            if number is not None:
                os.kill(number, signal.SIGKILL)
                killed.append(number)

    threading.Thread(target=watch, daemon=True).start()
    return killed


def scenarios() -> dict[str, Any]:
    found: dict[str, Any] = {"images": ran("imgs", "-o", "images.jsonl", "--shard-rows", "8")}
    for name in TRAPS:  # of the first run alone, which connects to Ray by itself
        Path(name).unlink()
    import ray

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    killed = killing(Path("killed"))
    found["killed"] = ran("rows.npz", "-o", "killed/", "--shard-rows", "64")
    found["killed"]["workers"] = len(killed)
    found["strict"] = ran("imgs", "-o", "strict/", "--strict")
    for path in Path("half/_manifest").glob("part-*[13579]*.json"):
        path.unlink()
    found["half"] = ran("few.npz", "-o", "half/", "--shard-rows", "64")
    found["too many"] = ran("imgs", "-o", "many/", "--cpus-per-worker", "4000")
    ray.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(scenarios()))
