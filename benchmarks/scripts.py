"""Run scripts written for pycaffe on netc: ``python -m benchmarks.scripts FOLDER``.

FOLDER, or ``NETC_SCRIPTS``, holds scripts as their authors wrote them, with the nets, weights and
pictures that they open. Each is run in its own folder, in a process of its own, with netc in the
place of ``caffe``; a line tells whether it came to its end, and if not, what it met.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
_RUN = """
import runpy, sys
import netc.compat.pycaffe as pycaffe
pycaffe.install(python_layers=True)
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Outcome:
    """What became of a script: its kind, and the last line that it left."""

    script: Path
    kind: str
    told: str


def run(script: Path, arguments: list[str], seconds: int) -> Outcome:
    """Run a script in its folder; it has so many seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", _RUN, script.name, *arguments]
    try:
        done = subprocess.run(
            command, cwd=script.parent, env=environment, timeout=seconds, check=False,
            capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(script, "still runs", f"after {seconds} s")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    return Outcome(script, _kind(done.returncode, done.stderr, last), last)


def _kind(code: int, error: str, last: str) -> str:
    if code == 0:
        return "ends"
    if last.startswith(("SyntaxError", "IndentationError", "TabError")):
        return "Python 2"
    if last.startswith(("ModuleNotFoundError", "ImportError")) and "caffe" not in last:
        return "lacks a module"
    if last.startswith("FileNotFoundError") or "file-not-found" in error:
        return "lacks a file"
    if "usage:" in error:
        return "wants arguments"
    return "fails"


def main() -> int:
    """Print a line for each script, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("NETC_SCRIPTS"))
    parser.add_argument("--only", default="", metavar="TEXT", help="names that hold it")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each script")
    parser.add_argument("--args", default="", help="arguments that every script is given")
    args = parser.parse_args()
    if args.folder is None or not Path(args.folder).is_dir():
        print("name a folder of scripts, or set NETC_SCRIPTS", file=sys.stderr)
        return 2
    kinds: Counter[str] = Counter()
    for script in sorted(Path(args.folder).rglob("*.py")):
        if args.only in script.name and "caffe" in script.read_text("utf-8", "replace"):
            outcome = run(script.resolve(), args.args.split(), args.seconds)
            kinds[outcome.kind] += 1
            name = script.relative_to(args.folder)
            print(f"{outcome.kind:16} {name}  {outcome.told[:100]}", flush=True)
    for kind, number in kinds.most_common():
        print(f"{number:4} {kind}")
    return 0 if not kinds["fails"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
