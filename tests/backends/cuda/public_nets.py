"""Nets that come with netc, and the public ones, as graphs whose weights are zeros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from netc.data import prototxt_dir
from netc.frontend import build, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape


def zero_graph(path: Path, inputs: Mapping[str, Shape] | None = None) -> Graph:
    """A net as it runs in the TEST phase; its arrays are all zero."""
    graph = runnable(build(read_net(path).message, inputs=inputs))
    parameters = {
        name: replace(p, array=np.zeros(p.shape or (), np.float32)) if p.owner is None else p
        for name, p in graph.parameters.items()
    }
    return graph.replace(parameters=parameters)


def bundled() -> Iterator[Path]:
    """The nets that come with netc."""
    yield from sorted(prototxt_dir().glob("*.netc"))
    yield from sorted(prototxt_dir().glob("*/deploy.prototxt"))


def public(folder: Path) -> Iterator[Path]:
    """The public benchmark nets."""
    yield from sorted(folder.glob("*.prototxt"))
