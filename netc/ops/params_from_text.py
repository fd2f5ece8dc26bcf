"""Op parameters from the plain values in the text of a graph (:mod:`netc.ir.text`)."""

from __future__ import annotations

import dataclasses
import sys
from functools import cache

from netc.ops.catalog import load_families


@cache
def _types() -> dict[str, type]:
    """Every frozen dataclass of the op modules, by name."""
    load_families()
    found: dict[str, type] = {}
    modules = [module for name, module in sys.modules.items() if name.startswith("netc.ops.")]
    for key, item in (pair for module in modules for pair in vars(module).items()):
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            if found.setdefault(key, item) is not item:
                raise TypeError(f"two types of netc.ops are named {key}: texts could mean either")
    return found


def load_params(op: str, value: object) -> object:
    """The parameters that ``netc.ir.text.dump_params`` wrote; lists become tuples.

    Args:
        op: the op's name, for the message.
        value: what JSON gives.

    Raises:
        ValueError: a type that no op has.
    """
    if isinstance(value, list):
        return tuple(load_params(op, item) for item in value)
    if isinstance(value, dict) and "" in value:
        kind = _types().get(value[""])
        if kind is None:
            raise ValueError(f"{op}: no params type {value['']!r}")
        fields = {k: load_params(op, v) for k, v in value.items() if k}
        return kind(**fields)
    return value
