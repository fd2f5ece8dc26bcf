"""Reads nets for commands that inspect them: as much as can be understood, despite mistakes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from netc.analysis.batch import with_batch
from netc.analysis.profile import NetProfile, profile
from netc.cli.arguments import (
    add_shape_argument,
    add_state_arguments,
    add_text_arguments,
    chosen_state,
)
from netc.cli.numbers import positive
from netc.cli.texts import read_text
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import Built, build
from netc.ir.types import Shape
from netc.schema.message import Message


def add_net_arguments(parser: argparse.ArgumentParser, name: str = "net") -> None:
    """The net, its state, its inputs' shapes, and how its text is read."""
    parser.add_argument(name, metavar=name.upper(), help="prototxt; - is standard input")
    add_state_arguments(parser)
    add_shape_argument(parser)
    parser.add_argument(
        "--batch", metavar="N", type=positive, help="of the inputs, instead of what the text says"
    )
    add_text_arguments(parser)


class Inspection(NamedTuple):
    """A net as far as it can be understood, and what was found wrong with it."""

    profile: NetProfile
    built: Built
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing found is an error."""
        return not any(d.severity == "error" for d in self.diagnostics)


def inspect_net(path: str, args: argparse.Namespace) -> Inspection:
    """Read a net, whatever can be told of it.

    Layers of unknown type, which stop a net from running, are warnings here.

    Raises:
        NetcError: the text cannot be read, or is no net.
    """
    message = net_message(path, args)
    given = dict(args.input_shape)
    built = _build(message, args, given)
    if args.batch is not None:
        inputs = with_batch(built.graph, args.batch)
        blobs = {built.graph.values[name].blob: shape for name, shape in inputs.items()}
        built = _build(message, args, given | blobs)
    return inspection_of(built)


def inspection_of(built: Built) -> Inspection:
    """A net that was built, its mistakes softened."""
    softened = tuple(map(_softened, built.diagnostics))
    return Inspection(profile(built.graph, built.layers), built, softened)


def net_message(path: str, args: argparse.Namespace) -> Message:
    """The NetParameter of a text, in the current format.

    Raises:
        NetcError: the text cannot be read, or is no net.
    """
    text = read_text(path, args)
    if text.kind != "net":
        name = text.document.source.name
        raise NetcError(Diagnostic("wrong-file", f"`{name}` is a {text.kind}, not a net"))
    return text.message


def _build(message: Message, args: argparse.Namespace, inputs: Mapping[str, Shape]) -> Built:
    return build(message, **chosen_state(args), inputs=inputs)


def _softened(diagnostic: Diagnostic) -> Diagnostic:
    if diagnostic.code != "unknown-layer-type":
        return diagnostic
    note = "its figures, and those of the layers that depend on it, are left out"
    return replace(diagnostic, severity="warning", help=(*diagnostic.help, note))
