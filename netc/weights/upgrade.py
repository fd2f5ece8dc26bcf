"""Upgrading old weights files to the current format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.migrate.change import Change
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.weights.definitions import copied_definitions, read_definition, wire_definitions
from netc.weights.load import load_weights, write_weights
from netc.weights.model import LayerWeights, Weights
from netc.weights.modern import modernised
from netc.weights.write import Definitions


class UpgradedWeights(NamedTuple):
    """What an upgrade changed, and the warnings and notes about the old file."""

    changes: tuple[Change, ...]
    diagnostics: tuple[Diagnostic, ...]


def upgrade_weights(
    path_in: str | os.PathLike[str], path_out: str | os.PathLike[str], net: Message | None = None
) -> UpgradedWeights:
    """Rewrite weights in the current format: V2 layers, `shape`, 32-bit `data`.

    A ``.caffemodel`` stores layer definitions beside its blobs. They are taken from ``net``, else
    from the old caffemodel. Where that has fields which the schema does not know, a V2 file keeps
    its definitions byte by byte, and an older file keeps only the layers' names and types, which
    is reported as a change.

    Args:
        path_in: weights of any format that ``load_weights`` reads.
        path_out: the file to write; its suffix selects the format.
        net: a bound NetParameter, upgraded or not.

    Raises:
        NetcError: what ``load_weights`` and ``save_weights`` raise.
    """
    weights = load_weights(path_in)
    changes = list(_changes(weights))
    definitions = wire_definitions(net) if net else None
    if net is None and weights.format == "caffemodel" and Path(path_out).suffix == ".caffemodel":
        definitions = _own_definitions(path_in, weights, changes)
    write_weights(path_out, weights, definitions)
    return UpgradedWeights(tuple(changes), weights.diagnostics)


def _own_definitions(
    path: str | os.PathLike[str], weights: Weights, changes: list[Change]
) -> Definitions | None:
    try:
        net, found = read_definition(path, load_schema().message("NetParameter"))
        definitions = wire_definitions(net)
    except (NetcError, UnicodeDecodeError) as error:
        if weights.generation == "V2":
            return copied_definitions(path)
        reason = "a text in the old file is not UTF-8"
        if isinstance(error, NetcError):
            reason = error.diagnostics[0].message
        text = f"only the layers' names, types and blobs were kept: {reason}"
        changes.append(Change("weights", text, lossy=True))
        return None
    changes += found
    return definitions


def _changes(weights: Weights) -> Iterator[Change]:
    if weights.generation in ("V0", "V1"):
        text = f"{len(weights.layers)} layers of the {weights.generation} format became `layer`"
        yield Change("weights", f"{weights.path}: {text}")
    for layer in weights.layers.values():
        for text in (*_shape_changes(layer), *_kind_changes(layer)):
            yield Change("weights", f"layer `{layer.name}`: {text}")


def _shape_changes(layer: LayerWeights) -> Iterator[str]:
    new = modernised(layer)
    for index, before, after, was, still in zip(
        layer.indices, layer.arrays, new.arrays, layer.legacy, new.legacy, strict=True
    ):
        dims = "num {}, channels {}, height {}, width {}".format(*before.shape) if was else ""
        if still:
            yield f"blob {index} keeps {dims}: type `{layer.type}` does not tell its axes"
        elif was:
            yield f"{dims} of blob {index} became `shape` {after.shape}"


def _kind_changes(layer: LayerWeights) -> Iterator[str]:
    for index, kind in zip(layer.indices, layer.kinds, strict=False):
        if kind != "float32":
            yield f"blob {index} of {kind} became float32"
