"""Puts what a benchmark measured into a page of docs/, between two marks.

<!-- NAME: the command that writes this -->
...
<!-- end -->
"""

from __future__ import annotations

import re
from pathlib import Path


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a name.

    Raises:
        SystemExit: the page has no such marks.
    """
    found = page.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {re.escape(name)}: [^\n]* -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marked.search(found):
        raise SystemExit(f"{page}: it has no place marked <!-- {name}: ... -->")
    new = marked.sub(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", found)
    page.write_text(new, encoding="utf-8")
