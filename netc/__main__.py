"""``python -m netc`` and the script ``netc`` are the ``netc`` command."""

import os
import sys


def main() -> int:
    """Run the command line; returns the exit code.

    The current folder may be a stranger's. Python looks for modules there after ``python -m`` and
    wherever ``PYTHONPATH`` has an empty part, so it is left out before anything is imported.
    """
    _leave_out_current_folder()
    try:
        from netc.cli.main import main as run

        return run()
    except KeyboardInterrupt:  # also while modules are imported
        return 130


def _leave_out_current_folder() -> None:
    """Take the current folder from the module path, unless it is there by its full name."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    wanted = {package, sys.prefix, *os.environ.get("PYTHONPATH", "").split(os.pathsep)} - {"."}
    wanted = {os.path.normpath(path) for path in wanted if os.path.isabs(path)}
    try:
        here = os.getcwd()
    except OSError:  # it is gone
        here = ""
    sys.path[:] = [
        path
        for path in sys.path
        if path in wanted or os.path.realpath(path or ".") != os.path.realpath(here)
    ]


if __name__ == "__main__":
    sys.exit(main())
