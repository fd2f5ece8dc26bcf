"""Reading `.caffemodel`, a binary NetParameter, in each of its three generations.

V2 keeps its layers in `layer` (field 100), V1 in `layers` (field 2), and V0 in a `layer` inside
each of those (caffe.proto). Only names, types and blobs are read; other fields are skipped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

from netc.diagnostics import Diagnostic
from netc.memory import check_memory
from netc.weights.blob import BlobOrigin, BlobRecord, read_blob, scan_blob
from netc.weights.bytefile import ByteFile, open_bytes
from netc.weights.faults import fault
from netc.weights.layer_types import V0_TYPES, V1_TYPES
from netc.weights.model import Generation, LayerWeights, Weights
from netc.weights.sniff import check_binary, explain_message
from netc.weights.wire import LENGTH, VARINT, Scanner, WireField

MAX_BLOBS = 262_144  # of one file


class _Numbers(NamedTuple):
    """Field numbers of a layer message."""

    name: int
    type: int
    blobs: int


_NUMBERS: dict[Generation, _Numbers] = {
    "V2": _Numbers(1, 2, 7),
    "V1": _Numbers(4, 5, 6),
    "V0": _Numbers(1, 2, 50),
}
_V0_IN_V1 = 1


@dataclass(slots=True)
class LayerRecord:
    """A layer as found in the file, its blobs not yet read; ``at`` is its byte offset."""

    at: int
    generation: Generation
    name: str = ""
    type: str = ""
    blobs: list[BlobRecord] = field(default_factory=list)


@dataclass(slots=True)
class NetRecord:
    """A NetParameter as found in the file, its blobs not yet read."""

    name: str = ""
    layers: list[LayerRecord] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)

    @property
    def generation(self) -> Generation:
        """The net's generation: V0 if any layer is (upgrade_proto.cpp, NetNeedsV0ToV1Upgrade)."""
        kinds = {layer.generation for layer in self.layers}
        return "V0" if "V0" in kinds else "V1" if "V1" in kinds else "V2"


def load_caffemodel(path: str | os.PathLike[str]) -> Weights:
    """The weights of a ``.caffemodel``.

    Each array is read directly into its own memory, so that the peak is the arrays' size. Of layers
    with the same name the last one counts, as in CopyTrainedLayersFrom (net.cpp).

    Raises:
        NetcError: the file cannot be read, is something else, is truncated or malformed, or holds
            a blob whose numbers and shape disagree.
    """
    with open_bytes(path) as file:
        check_binary(file)
        net = scan_net(file)
        check_memory(_bytes(net), f"{file.path}: the blobs")
        layers: dict[str, LayerWeights] = {}
        for record in _last_of_each_name(net, file.path):
            layers[record.name] = _read_layer(file, record)
    return Weights(layers, file.path, "caffemodel", net.generation, net.name, tuple(net.notes))


def _bytes(net: NetRecord) -> int:
    """Of all blobs as float32."""
    return 4 * sum(
        chunk.count
        for layer in net.layers
        for blob in layer.blobs
        for chunk in (*blob.floats, *blob.doubles)
    )


def scan_net(file: ByteFile) -> NetRecord:
    """Scan a file for the layers and blobs of a NetParameter, without reading any numbers.

    Raises:
        NetcError: malformed-weights, truncated-weights, no-layers, mixed-layers, or what
            the file is instead.
    """
    scan, net = Scanner(file), NetRecord()
    blobs = 0
    for entry in scan.fields(0, file.size):
        if entry.number in (1, 2, 100) and entry.wire != LENGTH:
            explain_message(file)
            scan.expect(entry, LENGTH)
        if entry.number == 1:
            net.name = scan.text(entry)
        elif entry.number in (2, 100):
            net.layers.append(_scan_layer(scan, entry, net))
            blobs += len(net.layers[-1].blobs)
            _check_blobs(file.path, blobs, entry.at)
    _check_layers(file, net)
    return net


def _check_blobs(path: str, blobs: int, at: int) -> None:
    if blobs > MAX_BLOBS:
        raise fault(
            "too-many-fields",
            path,
            f"the file has more than {MAX_BLOBS:,} blobs, the limit",
            "no real caffemodel comes near it; the file is damaged",
            at=at,
        )


def _check_layers(file: ByteFile, net: NetRecord) -> None:
    if not net.layers:
        explain_message(file)
        raise fault(
            "no-layers",
            file.path,
            "this file has no layers",
            "it is an empty net or no caffemodel",
        )
    new = [layer for layer in net.layers if layer.generation == "V2"]
    old = [layer for layer in net.layers if layer.generation != "V2"]
    if new and old:
        raise fault(
            "mixed-layers",
            file.path,
            f"layer `{old[0].name}` is in the old `layers` and layer `{new[0].name}` in the new "
            f"`layer` (byte {new[0].at:,})",
            "Caffe refuses such a file; write it again in one format",
            at=old[0].at,
        )


def _scan_layer(scan: Scanner, entry: WireField, net: NetRecord) -> LayerRecord:
    generation: Generation = "V2" if entry.number == 100 else "V1"
    layer = LayerRecord(entry.at, generation)
    inner = None
    for part in scan.fields(entry.start, entry.end):
        if generation == "V1" and part.number == _V0_IN_V1:
            scan.expect(part, LENGTH)
            inner = part
        else:
            _take(scan, layer, part, net)
    if inner is None:
        return layer
    oldest = LayerRecord(entry.at, "V0")
    for part in scan.fields(inner.start, inner.end):
        _take(scan, oldest, part, net)
    return oldest


def _take(scan: Scanner, layer: LayerRecord, part: WireField, net: NetRecord) -> None:
    numbers = _NUMBERS[layer.generation]
    if part.number == numbers.name:
        layer.name = scan.text(part)
    elif part.number == numbers.type:
        layer.type = _type(scan, layer, part, net)
    elif part.number == numbers.blobs:
        scan.expect(part, LENGTH)
        layer.blobs.append(scan_blob(scan, part.start, part.end))


def _type(scan: Scanner, layer: LayerRecord, part: WireField, net: NetRecord) -> str:
    if layer.generation == "V2":
        return scan.text(part)
    if layer.generation == "V0":
        word = scan.text(part)
        return V0_TYPES.get(word, word)
    scan.expect(part, VARINT)
    if part.value not in V1_TYPES:
        message = f"{scan.path}: at byte {part.at:,}: layer type {part.value} is a fork's own"
        net.notes.append(Diagnostic("unknown-layer-type", message, severity="note"))
    return V1_TYPES.get(part.value, "")


def _last_of_each_name(net: NetRecord, path: str) -> list[LayerRecord]:
    """The layers in file order, of equal names the last alone."""
    last = {layer.name: layer for layer in net.layers}
    for layer in net.layers:
        chosen = last[layer.name]
        if layer is not chosen and (layer.blobs or chosen.blobs):
            net.notes.append(_duplicate(path, layer, chosen))
    return [layer for layer in net.layers if layer is last[layer.name]]


def _duplicate(path: str, layer: LayerRecord, chosen: LayerRecord) -> Diagnostic:
    return Diagnostic(
        "duplicate-layer",
        f"{path}: layer `{layer.name}` stands at byte {layer.at:,} with {len(layer.blobs)} blobs "
        f"and again at byte {chosen.at:,} with {len(chosen.blobs)}; the last is taken",
        severity="warning",
    )


def _read_layer(file: ByteFile, record: LayerRecord) -> LayerWeights:
    return LayerWeights(
        record.name,
        tuple(
            read_blob(file, blob, BlobOrigin(file.path, record.name, index))
            for index, blob in enumerate(record.blobs)
        ),
        record.type,
        legacy=tuple(bool(blob.legacy) for blob in record.blobs),
        kinds=tuple(blob.kind for blob in record.blobs),
    )
