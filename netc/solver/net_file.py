"""A net with its trained arrays as a file that has the layout of Caffe's own (net.cpp, ToProto)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from netc.ir.graph import Array
from netc.lower.rules import NetState
from netc.lower.set_up import set_up
from netc.schema.message import Entry, Message
from netc.weights.definitions import current_definitions
from netc.weights.load import as_weights, write_weights
from netc.weights.model import LayerWeights, Weights


def save_net(
    path: str | os.PathLike[str],
    net: Message,
    state: NetState,
    params: Mapping[str, Sequence[Array]],
    *,
    diffs: Mapping[str, Sequence[Array]] | None = None,
    kind: str | None = None,
) -> None:
    """Write the layers of a net in a state with their arrays.

    A ``.caffemodel`` has the definition of every layer, those of Split layers too, and shared
    arrays under each layer that has them. HDF5 has a group for every layer, and shared arrays under
    their owner only (Net::ToHDF5); diffs stand under each.

    Args:
        path: the file.
        net: an upgraded NetParameter.
        state: phase, level and stages.
        params: layer -> its trained arrays.
        diffs: layer -> what is stored beside each of them; None for nothing.
        kind: the suffix that selects the format; None for the path's own.

    Raises:
        NetcError: as :func:`netc.weights.load.write_weights`.
    """
    layers = set_up(net, state)
    kind = Path(path).suffix.lower() if kind is None else kind
    weights = as_weights(params)
    if kind != ".caffemodel":
        weights = _owned(layers, weights)
    own = {"name": net.entries["name"]} if net.has("name") else {}
    written = Message(net.type, {**own, "layer": tuple(map(Entry, layers))}, net.span)
    if diffs is not None:
        weights = weights.with_diffs(diffs)
    write_weights(path, weights, current_definitions(written), kind)


def _owned(layers: Sequence[Message], weights: Weights) -> Weights:
    """All layers of a net, and the arrays of each that no layer before it has (AppendParam)."""
    owned, found = set[str](), dict[str, LayerWeights]()
    for layer in layers:
        name, arrays = layer.get("name"), weights.get(layer.get("name"), ())
        shared = [spec.get("name") for spec in layer.get("param")][: len(arrays)]
        shared += [""] * (len(arrays) - len(shared))
        kept = tuple(i for i, own in enumerate(shared) if not own or own not in owned)
        owned.update(own for own in shared if own)
        found[name] = LayerWeights(name, tuple(arrays[i] for i in kept), indices=kept)
    more = {name: layer for name, layer in weights.layers.items() if name not in found}
    return Weights({**found, **more})
