"""Renames layers and blobs, in a net and in its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.migrate.change import Change
from netc.schema.message import Message
from netc.surgery.build import with_layers, with_scalar, with_texts
from netc.weights.model import Weights


class Renamed(NamedTuple):
    """A net and its weights after renaming; ``changes`` lists each name that changed."""

    message: Message
    weights: Weights | None
    changes: tuple[Change, ...]


Pairs = Sequence[tuple[str, str]]
"""Old and new names; a ``*`` in the old stands for any text, which a ``*`` in the new repeats."""


def rename(
    net: Message, weights: Weights | None = None, *, layers: Pairs = (), blobs: Pairs = ()
) -> Renamed:
    """Rename layers and blobs in a net, in all phases, wherever their names occur.

    Args:
        net: a NetParameter in the current format.
        weights: trained arrays, whose layers are renamed too.
        layers: (pattern, new name) pairs for layers; the first pair that matches is used.
        blobs: the same for blobs.

    Raises:
        NetcError: unknown-name, for a pair that matches nothing; name-taken, where two layers or
            blobs would get the same name.
    """
    written = net.get("layer")
    every = [layer.get("name") for layer in written]
    stored = [] if weights is None else list(weights.layers)
    new_layers = _renaming("layer", layers, [*every, *stored])
    tops = [blob for layer in written for f in ("bottom", "top") for blob in layer.get(f)]
    new_blobs = _renaming("blob", blobs, tops)
    changes = _changes("layer", new_layers) + _changes("blob", new_blobs)
    made = with_layers(net, (_layer(layer, new_layers, new_blobs) for layer in written))
    return Renamed(made, None if weights is None else _weights(weights, new_layers), changes)


def _renaming(what: str, pairs: Pairs, names: Sequence[str]) -> dict[str, str]:
    """Old -> new name, of those that change.

    Raises:
        NetcError: unknown-name, name-taken.
    """
    found: dict[str, str] = {}
    for old, new in pairs:
        fitting = [name for name in dict.fromkeys(names) if _rest(old, name) is not None]
        if not fitting:
            message = f"the net has no {what} `{old}`"
            raise NetcError(Diagnostic("unknown-name", message, help=did_you_mean(old, names)))
        for name in fitting:
            found.setdefault(name, new.replace("*", _rest(old, name) or ""))
    _check_apart(what, found, names)
    return {old: new for old, new in found.items() if old != new}


def _rest(pattern: str, name: str) -> str | None:
    """What the star stands for, None where the pattern does not fit."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if pattern == name else None
    long = len(name) >= len(head) + len(tail)
    fits = long and name.startswith(head) and name.endswith(tail)
    return name[len(head) : len(name) - len(tail)] if fits else None


def _check_apart(what: str, found: Mapping[str, str], names: Iterable[str]) -> None:
    taken: dict[str, str] = {}
    for name in dict.fromkeys(names):
        new = found.get(name, name)
        if not new:
            raise NetcError(Diagnostic("name-taken", f"{what} `{name}` would have no name"))
        if new in taken:
            message = f"{what}s `{taken[new]}` and `{name}` would both be called `{new}`"
            raise NetcError(Diagnostic("name-taken", message))
        taken[new] = name


def _changes(what: str, renaming: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change("rename", f"{what} `{old}` became `{new}`") for old, new in renaming.items()
    )


def _layer(layer: Message, layers: Mapping[str, str], blobs: Mapping[str, str]) -> Message:
    name = layer.get("name")
    if name in layers:
        layer = with_scalar(layer, ("name",), layers[name])
    for field in ("bottom", "top"):
        old = layer.get(field)
        if any(blob in blobs for blob in old):
            layer = with_texts(layer, field, [blobs.get(blob, blob) for blob in old])
    return layer


def _weights(weights: Weights, names: Mapping[str, str]) -> Weights:
    layers = {
        names.get(name, name): replace(layer, name=names.get(name, name))
        for name, layer in weights.layers.items()
    }
    return replace(weights, layers=layers)
