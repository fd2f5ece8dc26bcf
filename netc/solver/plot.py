"""Plots of runs: losses, scores and learning rates over the iterations, by matplotlib."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.solver.rows import Value

FORMATS = ("svg", "png", "pdf")
_NO_SCORES = frozenset({"net", "iteration", "seconds"})
_CHDIR = os.chdir in os.supports_fd
_PANELS = ("loss", "score", "learning rate")

Runs = Mapping[str, Sequence[Mapping[str, Value]]]


class Curve(NamedTuple):
    """One curve of a plot; ``panel`` is "loss", "score" or "learning rate"."""

    panel: str
    name: str
    iterations: list[float]
    values: list[float]


def curves(runs: Runs) -> list[Curve]:
    """The curves of runs, in the order in which their columns first occur.

    The losses of a training iteration are left out where its smoothed loss is drawn.

    Args:
        runs: name -> rows; with several runs the name is a prefix of its curves' names.
    """
    found: dict[tuple[str, str], Curve] = {}
    for run, rows in runs.items():
        prefix = f"{run}: " if len(runs) > 1 else ""
        for row in rows:
            for name, value in _scores(row):
                panel = _panel(name)
                title = f"{prefix}{row['net']} {name}" if panel != _PANELS[2] else f"{prefix}rate"
                curve = found.setdefault((panel, title), Curve(panel, title, [], []))
                curve.iterations.append(float(row["iteration"]))
                curve.values.append(value)
    return list(found.values())


def _scores(row: Mapping[str, Value]) -> Iterator[tuple[str, float]]:
    smoothed = "smoothed_loss" in row
    for name, value in row.items():
        hidden = smoothed and name != "smoothed_loss" and _panel(name) == "loss"
        if name not in _NO_SCORES and not hidden and isinstance(value, (int, float)):
            yield name, float(value)


def _panel(name: str) -> str:
    if name == "rate":
        return "learning rate"
    return "loss" if "loss" in name or "error" in name else "score"


def check_plot(path: Path) -> None:
    """Check, before training, that a plot can be written to this path.

    Raises:
        NetcError: image-format; missing-package, without matplotlib.
    """
    if path.suffix[1:].lower() not in FORMATS:
        listed = ", ".join(f".{kind}" for kind in FORMATS)
        message, help = f"`{path}` ends in none of {listed}", ("name it run.svg, say",)
        raise NetcError(Diagnostic("image-format", message, help=help))
    _figure_class()


def write_plot(path: Path, runs: Runs) -> None:
    """Plot runs.

    Args:
        path: the file to write; its suffix, .svg, .png or .pdf, selects the format.
        runs: as for :func:`curves`.

    Raises:
        NetcError: image-format, missing-package, cannot-write.
    """
    check_plot(path)
    matplotlib = _matplotlib()
    drawn = curves(runs)
    panels = [panel for panel in _PANELS if any(curve.panel == panel for curve in drawn)]
    kind = path.suffix[1:].lower()
    with matplotlib.rc_context():
        matplotlib.style.use("default")  # rcdefaults imports a module that 3.11 deprecates
        matplotlib.rcParams.update({"svg.hashsalt": "netc", "svg.fonttype": "none"})
        figure = _figure(drawn, panels)
        with replacing(path) as temporary:
            date = "CreationDate" if kind == "pdf" else "Date"
            metadata = None if kind == "png" else {date: None}
            figure.savefig(temporary, format=kind, metadata=metadata)


def _figure(drawn: Sequence[Curve], panels: Sequence[str]) -> Any:
    figure = _figure_class()(figsize=(8, 1 + 2.6 * max(1, len(panels))), layout="constrained")
    axes = figure.subplots(max(1, len(panels)), 1, sharex=True, squeeze=False)[:, 0]
    for panel, axis in zip(panels, axes, strict=False):
        for curve in (curve for curve in drawn if curve.panel == panel):
            marker = "o" if len(curve.values) < 30 else ""
            name = curve.name.replace("$", r"\$")  # no formula of matplotlib's
            axis.plot(curve.iterations, curve.values, label=name, marker=marker, markersize=3)
        axis.set_ylabel(panel)
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize="small")
    axes[-1].set_xlabel("iteration")
    return figure


def _figure_class() -> Any:
    return _matplotlib().figure.Figure


def _matplotlib() -> ModuleType:
    """The package, imported in a folder of no stranger's.

    It reads a ``matplotlibrc`` of the current folder, which can name programs to run (LaTeX).
    """
    here = os.open(".", os.O_RDONLY) if "matplotlib" not in sys.modules and _CHDIR else None
    try:
        if here is not None:
            os.chdir(os.path.dirname(sys.executable) or os.sep)
        import matplotlib
        import matplotlib.figure
        import matplotlib.style
    except ImportError:
        message = "pictures of runs need the package `matplotlib`, which is not installed"
        help = ("pip install 'netc[plot]'",)
        raise NetcError(Diagnostic("missing-package", message, help=help)) from None
    finally:
        if here is not None:
            os.chdir(here)
            os.close(here)
    found: ModuleType = matplotlib
    return found
