"""A net's layers in a tree, for drawings and tables: chains within blocks within modules.

A chain is a layer and those that only finish its work (Convolution, BatchNorm, Scale, ReLU). A
module is what the layers' names say (``inception_3a/1x1`` is in ``inception_3a``), or, in nets
whose names say nothing, the layers between two places where a single value is alive (a residual
block).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from netc.analysis.chain import LayerChain
from netc.analysis.profile import LayerProfile, NetProfile
from netc.analysis.regions import common_name, groups
from netc.ops.catalog import has_role
from netc.ops.role import Role

MAX_DEPTH = 12  # of modules in modules; more slashes in a name are part of it


@dataclass(frozen=True, slots=True)
class ModuleGroup:
    """Chains and modules under one name.

    Args:
        name: as shown, without the names of the modules around it.
        path: with them, unique in the net; empty for the net itself.
        parts: in the net's order.
    """

    name: str
    path: str
    parts: tuple[LayerChain | ModuleGroup, ...]

    def chains(self) -> Iterator[LayerChain]:
        """All chains in it, in the net's order."""
        for part in self.parts:
            yield from part.chains() if isinstance(part, ModuleGroup) else (part,)

    def layers(self) -> Iterator[LayerProfile]:
        """All layers in it, in the net's order."""
        for chain in self.chains():
            yield from chain.layers


def own_name(name: str, path: str) -> str:
    """A layer's name without the path of the module it is in."""
    if not path or not name.startswith(path):
        return name
    rest = name[len(path) :]
    return rest.lstrip("/_-.") or name if rest[:1] in tuple("/_-.") else name


def structure(profile: NetProfile) -> ModuleGroup:
    """The net as a tree of modules; the root's name is empty."""
    chains = chains_of(profile)
    root = _scoped(chains, 0, "")
    if any(isinstance(part, ModuleGroup) for part in root.parts):
        return root
    return ModuleGroup("", "", tuple(_blocks(chains, profile.source)))


# Chains


def chains_of(profile: NetProfile) -> tuple[LayerChain, ...]:
    """The layers in chains, in the order of the chains' first layers."""
    readers = _reader_counts(profile.layers)
    chains: list[list[LayerProfile]] = []
    ends: dict[str, int] = {}
    for layer in profile.layers:
        at = ends.get(layer.inputs[0]) if _finishes(layer, readers) else None
        if at is None:
            at = len(chains)
            chains.append([])
        else:
            del ends[layer.inputs[0]]
        chains[at].append(layer)
        if len(layer.outputs) == 1 and not layer.source:
            ends[layer.outputs[0]] = at
    return tuple(LayerChain(tuple(layers)) for layers in chains)


def _reader_counts(layers: Sequence[LayerProfile]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for layer in layers:
        for name in layer.inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _finishes(layer: LayerProfile, readers: Mapping[str, int]) -> bool:
    """True if a layer alone reads its one input and is no work of its own."""
    if len(layer.inputs) != 1 or len(layer.outputs) != 1 or readers[layer.inputs[0]] != 1:
        return False
    return layer.in_place or has_role(layer.type, Role.FINISHING)


# Modules by name


def _scoped(chains: Sequence[LayerChain], depth: int, path: str) -> ModuleGroup:
    """Neighbouring chains whose heads' names agree so far make a module where they are several."""
    parts: list[LayerChain | ModuleGroup] = []
    taken: dict[str, int] = {}
    for scope, group in groupby(chains, key=lambda chain: _scope(chain, depth)):
        members = list(group)
        if scope is None or len(members) == 1:
            parts += members
            continue
        inner = _scoped(members, depth + 1, _unique(f"{path}{scope}/", taken))
        parts.append(ModuleGroup(scope, inner.path[:-1], inner.parts))
    return ModuleGroup("", path, tuple(parts))


def _scope(chain: LayerChain, depth: int) -> str | None:
    scopes = chain.head.name.split("/", MAX_DEPTH)[:-1]
    return scopes[depth] if depth < len(scopes) and not chain.head.source else None


def _unique(path: str, taken: dict[str, int]) -> str:
    """The path, numbered from its second use on."""
    taken[path] = taken.get(path, 0) + 1
    return path if taken[path] == 1 else f"{path[:-1]}#{taken[path]}/"


# Modules by shape


def _blocks(chains: Sequence[LayerChain], source: str | None) -> Iterator[LayerChain | ModuleGroup]:
    """Chains between two places where one value alone goes on make a module."""
    taken: dict[str, int] = {}
    block: list[LayerChain] = []
    for chain, narrow in zip(chains, _narrow(chains, source), strict=True):
        block.append(chain)
        if narrow:
            yield from _block(block, taken)
            block = []
    yield from _block(block, taken)


def _block(block: list[LayerChain], taken: dict[str, int]) -> Iterator[LayerChain | ModuleGroup]:
    for name, chains in groups(block):
        if len(chains) < 2:
            yield from chains
            continue
        name = name or common_name([chain.head.name for chain in chains])
        yield ModuleGroup(name, _unique(f"{name}/", taken)[:-1], tuple(chains))


def _narrow(chains: Sequence[LayerChain], source: str | None) -> list[bool]:
    """Of each place after a chain, whether one value alone is still needed there.

    What data layers bring besides the ``source`` (labels) may go past; a value that is never read
    is not needed.
    """
    last = {name: at for at, chain in enumerate(chains) for name in chain.inputs}
    alive: set[str] = set()
    found = []
    for at, chain in enumerate(chains):
        made = (n for n in chain.outputs if n == source or not chain.head.source)
        alive.update(name for name in made if name in last)
        alive -= {name for name in alive if last[name] <= at}
        found.append(chain.head.source or len(alive) <= 1)
    return found
