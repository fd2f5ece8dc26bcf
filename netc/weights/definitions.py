"""Layer definitions in a caffemodel, in protobuf's wire format: encoding and decoding them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from netc.boundary import strangers_bytes
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.migrate.upgrade import Change, upgrade_net
from netc.schema.convert import from_protobuf, to_document, to_protobuf
from netc.schema.message import Message, MessageType
from netc.syntax.printer import print_document
from netc.weights.bytefile import open_bytes
from netc.weights.wire import LENGTH, Scanner
from netc.weights.write import Definitions, length_field

_DROP: Mapping[int, Any] = {100: {7: None}, 2: {6: None, 1: {50: None}}}
"""Where blobs stand in a NetParameter of each generation: layer, layers and layers { layer }."""


def wire_definitions(net: Message) -> Definitions:
    """The encoded fields of a bound NetParameter; one of an older format is upgraded first.

    Raises:
        NetcError: what upgrading raises; what a field's bytes cannot hold (see ``to_protobuf``).
    """
    net, _ = upgrade_net(net)
    return current_definitions(net)


def current_definitions(net: Message) -> Definitions:
    """The encoded fields of a bound NetParameter in the current format, as they are.

    Raises:
        NetcError: what a field's bytes cannot hold (see ``to_protobuf``).
    """
    layers = tuple(
        (layer.get("name"), _bytes(layer.without("blobs"))) for layer in net.get("layer")
    )
    return Definitions(_bytes(net.without("layer")), layers)


def _bytes(message: Message) -> bytes:
    return bytes(to_protobuf(message).SerializePartialToString(deterministic=True))


def read_definition(
    path: str | os.PathLike[str], type: MessageType
) -> tuple[Message, tuple[Change, ...]]:
    """The net definition stored in a caffemodel, without blobs, upgraded to the current format.

    Args:
        path: a ``.caffemodel`` of any generation.
        type: the schema's NetParameter.

    Raises:
        NetcError: unknown-field where the schema does not know all that is in the file, since
            forks give one number different meanings; what upgrading raises.
        UnicodeDecodeError: a text in the file is not UTF-8.
    """
    from netc.schema.descriptors import message_class

    with open_bytes(path) as file:
        data = _stripped(Scanner(file), 0, file.size, _DROP)
    with strangers_bytes(lambda error: _unknown()):
        net = message_class(type).FromString(data)
    size = net.ByteSize()
    net.DiscardUnknownFields()
    if net.ByteSize() != size:
        raise _unknown()
    return upgrade_net(from_protobuf(net, type))


def has_definition(path: str | os.PathLike[str]) -> bool:
    """Whether a caffemodel stores layer types, and not only layer names and blobs.

    Raises:
        NetcError: what opening the file raises; malformed-weights, truncated-weights.
    """
    with open_bytes(path) as file:
        scan = Scanner(file)
        return any(
            entry.number == 2 or _has_type(scan, entry.start, entry.end)
            for entry in scan.fields(0, file.size)
            if entry.number in _DROP and entry.wire == LENGTH
        )


def _has_type(scan: Scanner, start: int, end: int) -> bool:
    return any(part.number == 2 and part.end > part.start for part in scan.fields(start, end))


def definition_text(path: str | os.PathLike[str], type: MessageType) -> Source:
    """The net that a caffemodel was saved from, as a text in the current format.

    A caffemodel holds the layers of one phase only, so that ``include`` and ``exclude`` rules are
    removed.

    Args:
        path: a ``.caffemodel`` of any generation.
        type: the schema's NetParameter.

    Raises:
        NetcError: as :func:`read_definition`.
    """
    net, _ = read_definition(path, type)
    layers = tuple(
        entry._replace(value=entry.value.without("include", "exclude", "phase"))
        for entry in net.entries.get("layer", ())
    )
    net = net.with_entries(layer=layers).without("state", "debug_info")
    return Source(os.fspath(path), print_document(to_document(net)))


def copied_definitions(path: str | os.PathLike[str]) -> Definitions:
    """The encoded layer definitions of a V2 caffemodel, copied byte by byte without their blobs.

    Raises:
        NetcError: what opening the file raises; malformed-weights, truncated-weights.
    """
    with open_bytes(path) as file:
        scan, head, layers = Scanner(file), bytearray(), []
        for entry in scan.fields(0, file.size):
            if entry.number == 100:
                name = ""
                for part in scan.fields(entry.start, entry.end):
                    name = scan.text(part) if part.number == 1 else name
                layers.append((name, _stripped(scan, entry.start, entry.end, _DROP[100])))
            else:
                head += file.read(entry.at, entry.end - entry.at)
    return Definitions(bytes(head), tuple(layers))


def _unknown() -> NetcError:
    message = "the file's layers have fields that Caffe's schema does not know"
    return NetcError(Diagnostic("unknown-field", message))


def _stripped(scan: Scanner, start: int, end: int, drop: Mapping[int, Any]) -> bytes:
    """A message without the fields to drop: those that ``drop`` gives None, at any depth."""
    out = bytearray()
    for entry in scan.fields(start, end):
        if entry.number not in drop or entry.wire != LENGTH:
            out += scan.file.read(entry.at, entry.end - entry.at)
        elif drop[entry.number] is not None:
            inner = _stripped(scan, entry.start, entry.end, drop[entry.number])
            out += length_field(entry.number, inner)
    return bytes(out)
