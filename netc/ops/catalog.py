"""The tables of all ops, by Caffe's type string: what the family modules of ``homes.py`` define.

A family is imported when one of its ops is first looked up. Names are known without that: whoever
lists them, or looks for near ones, imports nothing; whoever walks over the ops imports all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from netc.ops.define import ErasedOp, OpDef, P, erased
from netc.ops.homes import MADE, OPS, OTHER_NAMES, READINGS
from netc.ops.role import Role

if TYPE_CHECKING:
    from netc.ops.gradients.define import Gradient

Lookup = Callable[[str], ErasedOp]


class LazyCatalog(Mapping[str, ErasedOp]):
    """Ops by name, each found when it is first asked for.

    Args:
        parts: name -> what finds the op of that name.
    """

    def __init__(self, *parts: Mapping[str, Lookup]) -> None:
        self._lookups = {name: look for part in parts for name, look in part.items()}
        self._found: dict[str, ErasedOp] = {}

    def __getitem__(self, name: str) -> ErasedOp:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._lookups[name](name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._lookups

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._lookups))

    def __len__(self) -> int:
        return len(self._lookups)

    def add(self, op: ErasedOp) -> None:
        """Add an op; one of that name is replaced."""
        self._found[op.name] = op
        self._lookups[op.name] = lambda name: op

    def remove(self, name: str) -> None:
        """Remove an op; nothing happens where there is none."""
        self._found.pop(name, None)
        self._lookups.pop(name, None)


def _family(name: str) -> ModuleType:
    return import_module(f"netc.ops.{name}")


@cache
def _ops_of(family: str) -> Mapping[str, ErasedOp]:
    """All that a family defines, by name."""
    module = _family(family)
    listed: tuple[OpDef[object], ...] = (
        *getattr(module, "OPS", ()),
        *getattr(module, "READINGS", ()),
    )
    return {**{op.name: op for op in listed}, **getattr(module, "OTHER_NAMES", {})}


def _part(homes: Mapping[str, str]) -> dict[str, Lookup]:
    """What finds the ops of a table of homes."""

    def lookup(family: str) -> Lookup:
        return lambda name: _ops_of(family)[name]

    return {name: lookup(home) for home, names in homes.items() for name in names.split()}


def _made_of(family: str, maker: str, ops: Mapping[str, ErasedOp]) -> Lookup:
    """What finds an op that is defined by the ops of a table, as its family's function makes it."""

    def look(name: str) -> ErasedOp:
        made: ErasedOp = getattr(_family(family), maker)(ops)
        return made

    return look


_OPS_PART, _READINGS_PART, _MADE_PART = _part(OPS), _part(READINGS), _part(MADE)
_REDUCED_PART = _part({"reduced": MADE["reduced"]})  # a fused chain may have them for its stages

_OPS = LazyCatalog(_OPS_PART)
_OPS_AND_READINGS = LazyCatalog(_OPS_PART, _READINGS_PART)
_STAGES = LazyCatalog(_OPS_PART, _REDUCED_PART)
_FUSED: Mapping[str, Lookup] = {"Fused": _made_of("fused", "fused_op", _STAGES)}
_CHAINS = LazyCatalog(_OPS_PART, _READINGS_PART, _REDUCED_PART, _FUSED)

# What a text may name; some names mean an op that has another.
_LAYERS = LazyCatalog(_OPS_PART, _part(OTHER_NAMES))
LAYERS: Mapping[str, ErasedOp] = _LAYERS

# What a graph may hold: the ops, and what passes and differentiation make besides.
_GRADIENT: Mapping[str, Lookup] = {
    "Gradient": _made_of("gradient", "gradient_op", _OPS_AND_READINGS)
}
_UPDATED = LazyCatalog(_MADE_PART, _GRADIENT)
_CATALOG = LazyCatalog(
    _OPS_PART,
    _READINGS_PART,
    _MADE_PART,
    _FUSED,
    _GRADIENT,
    {
        "Siblings": _made_of("siblings", "siblings_op", _CHAINS),
        "RunningState": _made_of("update", "running_op", _OPS),
        "GradientUpdate": _made_of("gradient_update", "gradient_update_op", _UPDATED),
    },
)
CATALOG: Mapping[str, ErasedOp] = _CATALOG


def has_role(op: str, role: Role) -> bool:
    """Whether an op, or a layer type of a text, has any of the roles; False for unknown names."""
    return bool(_roles(op) & role.value)


@cache
def _roles(op: str) -> int:
    found = _LAYERS.get(op) or _CATALOG.get(op)
    return found.role.value if found else 0


_OF_OTHERS = ("fused", "siblings", "gradient", "gradient_update")  # families defined by others' ops


def load_families() -> None:
    """Import every family, for what looks through their modules."""
    from netc.ops.python import BUILT_IN

    for home in (*OPS, *READINGS, *OTHER_NAMES, *MADE, *_OF_OTHERS):
        _family(home)
    for module in {*BUILT_IN.values()}:
        import_module(module)


def add_layer(op: OpDef[P], rule: Gradient[P] | None) -> None:
    """Add a layer type, and its gradient if it has one; one of that name is replaced.

    What ``netc.register_layer`` calls. Texts read and graphs differentiated afterwards know it.
    """
    from netc.ops.gradients.catalog import add_gradient
    from netc.ops.gradients.define import of

    for known in (_OPS, _OPS_AND_READINGS, _LAYERS, _STAGES, _CHAINS, _CATALOG):
        known.add(erased(op))
    _roles.cache_clear()
    add_gradient(op.name, None if rule is None else of(op, rule)[1])


def remove_layer(name: str) -> None:
    """Remove a layer type that :func:`add_layer` added; nothing happens where there is none."""
    from netc.ops.gradients.catalog import add_gradient

    for known in (_OPS, _OPS_AND_READINGS, _LAYERS, _STAGES, _CHAINS, _CATALOG):
        known.remove(name)
    _roles.cache_clear()
    add_gradient(name, None)
