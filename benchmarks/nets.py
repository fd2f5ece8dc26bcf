"""Where benchmarks find their nets: any clone has those of prototxt/, a folder may have others."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "prototxt"
DEFINITIONS = ROOT / "benchmarks" / "definitions"  # of nets that are there to be timed alone
# What the nets that public definitions have under one name are called in prototxt/.
OTHER_NAMES = {"squeezenet11": "squeezenet"}


def folder_of(given: Path | None) -> Path | None:
    """The folder of public definitions: as given, else ``NETC_NETS``, else none."""
    named = os.environ.get("NETC_NETS")
    return given or (Path(named) if named else None)


def find(name: str, folder: Path | None = None) -> Path:
    """A net's text: the path itself, else of the folder, of prototxt/ or of benchmarks/definitions.

    Ends the program where there is no such net.
    """
    path = Path(name)
    if path.suffix in (".prototxt", ".netc") or path.is_file():
        return path
    folders = [*([folder] if folder else []), BUNDLED, DEFINITIONS]
    for place in folders:
        for known in (name, OTHER_NAMES.get(name, name)):
            for suffix in (".prototxt", ".netc"):
                if (place / f"{known}{suffix}").is_file():
                    return place / f"{known}{suffix}"
    listed = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.netc")))
    sys.exit(f"there is no net `{name}`; give a path, --folder, or one of prototxt/: {listed}")


def plain(path: Path) -> Path:
    """A net as plain prototxt, for programs that read no other: a new file for a .netc."""
    if path.suffix != ".netc":
        return path
    from netc.language.plain import plain_text
    from netc.language.read import read_document
    from netc.schema.load import load_schema
    from netc.syntax.reader import read_source

    text = plain_text(read_document(read_source(path), load_schema(), {}, path.parent))
    made = Path(tempfile.mkdtemp(prefix="netc-benchmark-")) / f"{path.stem}.prototxt"
    made.write_text(text, encoding="utf-8")
    return made
