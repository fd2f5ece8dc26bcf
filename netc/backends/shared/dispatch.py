"""Which entry of a backend's table makes a node's steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from netc.ir.graph import Node
from netc.passes.epilogue import first_op

Emitter = TypeVar("Emitter")


def emitter_of(emitters: Mapping[str, Emitter], node: Node) -> Emitter | None:
    """A node's entry: by its op, or by that of the first stage of a chain; None without one."""
    return emitters.get(first_op(node))
