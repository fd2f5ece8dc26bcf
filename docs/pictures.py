"""Makes the pictures in the documentation from real runs: ``python docs/pictures.py``."""

from __future__ import annotations

import io
import re
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
    svg = _without_fonts_from_afar(console.export_svg(title="netc", unique_id="netc"))
    (HERE / name).write_text(svg, encoding="utf-8")


def _without_fonts_from_afar(svg: str) -> str:
    """A picture that loads nothing and has any machine's own monospaced font."""
    own = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return own.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    for name, arguments in RUNS.items():
        picture(name, arguments)
