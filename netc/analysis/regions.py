"""Large blocks of a net without a single-value cut, divided into groups for a drawing.

A detection net's heads keep values of its backbone alive to its end, as a segmentation net's skip
connections do, and the towers of a siamese net run side by side. The block between two places where
a single value is alive is then most of the net. It is divided into towers, which are the same
sequence of layers more than once, or into neighbours whose names begin alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from netc.analysis.chain import LayerChain
from netc.ops.catalog import has_role
from netc.ops.role import Role

LARGE = 14  # chains; a larger block is more than a person takes in as one
_TOWER = 3  # chains, at least

Group = tuple[str, list[LayerChain]]


def groups(block: Sequence[LayerChain]) -> list[Group]:
    """A block's chains in groups, each with its name; empty for a group that needs none."""
    towers = _towers(block)
    if towers:
        return towers
    if len(block) <= LARGE:
        return [("", list(block))]
    found = _by_names(block)
    return found if len(found) > 1 else [("", list(block))]


# Towers


def _towers(block: Sequence[LayerChain]) -> list[Group]:
    """The block cut at its towers; nothing where they are not most of it."""
    runs = list(_runs(block))
    kinds = Counter(map(_types, runs))
    alike = [run for run in runs if len(run) >= _TOWER and kinds[_types(run)] > 1]
    if 2 * sum(map(len, alike)) <= len(block):
        return []
    found: list[Group] = []
    for run in runs:
        if run in alike:
            found.append((run[-1].head.name, run))
        else:
            found += [("", [chain]) for chain in run]
    return found


def _runs(block: Sequence[LayerChain]) -> Iterator[list[LayerChain]]:
    """Chains in rows: each reads the one before it and nothing else, and alone reads it."""
    readers = Counter(name for chain in block for name in chain.inputs)
    run: list[LayerChain] = []
    for chain in block:
        follows = run and chain.inputs == run[-1].outputs and readers[chain.inputs[0]] == 1
        if run and not follows:
            yield run
            run = []
        run.append(chain)
    if run:
        yield run


def _types(run: Sequence[LayerChain]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(layer.type for layer in chain.layers) for chain in run)


# Names


def _by_names(block: Sequence[LayerChain]) -> list[Group]:
    """Neighbours whose names have the first word in common, with a pooling of their number."""
    found: list[Group] = []
    before = ""
    for stem, members in groupby(block, key=_stem):
        chains = list(members)
        if found and len(chains) == 1 and _joins(chains[0], stem, before):
            found[-1][1].append(chains[0])
            continue
        name = common_name([chain.head.name for chain in chains])
        found.append((name if name.startswith(stem) else stem, chains))
        before = stem
    return found


def _stem(chain: LayerChain) -> str:
    """A name's first word: ``conv4`` of ``conv4_3_norm_mbox_loc``."""
    return re.split(r"[/_.\- ]", chain.head.name.lstrip("/_.- "), maxsplit=1)[0]


def _joins(chain: LayerChain, stem: str, before: str) -> bool:
    """True if a pooling or normalisation finishes the group before it: ``pool1`` of ``conv1``."""
    numbers = [re.search(r"[0-9]+\Z", text) for text in (stem, before)]
    ours, theirs = (found[0] if found else "" for found in numbers)
    return ours == theirs != "" and has_role(chain.head.type, Role.POOLING | Role.RESPONSE_NORM)


def common_name(names: Sequence[str]) -> str:
    """The common prefix of names, up to the end of a word; the last name if there is none."""
    low, high = min(names), max(names)
    same = (at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    prefix = low[: next(same, min(len(low), len(high)))]
    if any(name[len(prefix) :][:1].isalnum() for name in names) and prefix[-1:].isalnum():
        prefix = re.sub(r"[A-Za-z0-9]+\Z", "", prefix)
    prefix = prefix.rstrip("_-/. ")
    return prefix if len(prefix) > 1 else names[-1]
