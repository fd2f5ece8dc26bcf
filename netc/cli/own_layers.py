"""``--layers FILE.py``: layer types of a person's own, from a Python file that the person names.

Nothing else runs code of files: a net cannot name one.
"""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Sequence
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError


def run_files(paths: Sequence[Path]) -> None:
    """Run Python files, in their order.

    Raises:
        NetcError: layers-file, where one cannot be read or raises; what netc itself raises in it
            is told as it is.
    """
    for path in paths:
        if not path.is_file():
            raise NetcError(Diagnostic("layers-file", f"there is no file `{path}`"))
        try:
            runpy.run_path(str(path))
        except NetcError:
            raise
        except (Exception, SystemExit) as error:
            raise NetcError(_diagnostic(path, error)) from None


def _diagnostic(path: Path, error: BaseException) -> Diagnostic:
    lines = [
        at.lineno for at in traceback.extract_tb(error.__traceback__) if at.filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        lines.append(error.lineno)
    place = f"{path}:{lines[-1]}" if lines else str(path)
    text = f"{place}: `--layers` raised {error.__class__.__name__}: {error}"
    return Diagnostic("layers-file", text)
