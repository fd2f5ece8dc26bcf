"""Makes the pictures in the documentation from real runs: ``python docs/pictures.py``."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
RUNS = {"demo.svg": ["demo"]}


def picture(name: str, arguments: list[str]) -> None:
    """Run a command and write what it prints as a picture of a terminal.

    It runs twice: the first time may have kernels to compile.
    """
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-m", "netc", *arguments], capture_output=True, text=True, check=True
        )
    output = run.stdout.split("\nWhere to go next")[0].rstrip()
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(Text(f"$ netc {' '.join(arguments)}", style="bold"))
    console.print(Text(output))
    console.save_svg(str(HERE / name), title="netc")


if __name__ == "__main__":
    for name, arguments in RUNS.items():
        picture(name, arguments)
