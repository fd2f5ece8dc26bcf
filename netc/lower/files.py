"""The files that layers name (InfogainLoss's matrix, images' sizes), found and read."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError, NetcWarning, render
from netc.ir.graph import Array, Graph, Node, Parameter
from netc.numeric import np
from netc.ops.catalog import CATALOG
from netc.ops.define import BlobFile, ShapeError
from netc.ops.filler import Filler
from netc.paths import named_file
from netc.weights.hdf5 import load_data_set
from netc.weights.mean import load_blob

_LARGEST_FILE = 64 << 20  # bytes of a list; a few million images


def with_files(graph: Graph, folder: Path | None, *, outside: bool) -> Graph:
    """The graph with the arrays of the files that its layers name, as parameters of their ops.

    Args:
        graph: with inferred shapes.
        folder: of the net's text; None where it is from no file.
        outside: whether files may lie outside of the folder.

    Raises:
        NetcError: outside-file, missing-file, what ``load_blob`` or ``load_sizes`` raises, and the
            code of a layer whose shapes the array does not fit.
    """
    return graph.replace(nodes=tuple(_with_file(graph, n, folder, outside) for n in graph.nodes))


def with_filler_files(graph: Graph, folder: Path | None, *, outside: bool) -> Graph:
    """The graph with the numbers of the files that fillers name, before parameters are filled.

    Args:
        graph: with inferred shapes.
        folder, outside: as of :func:`with_files`.
    """
    if not any(_names_file(p) for p in graph.parameters.values()):
        return graph
    known = graph.parameters.items()
    return graph.replace(parameters={n: _with_numbers(p, folder, outside) for n, p in known})


def _names_file(parameter: Parameter) -> bool:
    return isinstance(parameter.filler, Filler) and bool(parameter.filler.file)


def _with_numbers(parameter: Parameter, folder: Path | None, outside: bool) -> Parameter:
    """The parameter with the numbers of its filler's file; as it was where there is no such file.

    A net whose weights are given does not need it: who fills the array tells that it is not there.
    """
    if not _names_file(parameter) or parameter.array is not None:
        return parameter
    try:
        path = named_file(parameter.filler.file, folder, parameter.span, outside=outside)
    except NetcError:
        return parameter
    if not path.is_file():
        return parameter
    numbers = tuple(map(float, load_numbers(str(path))))
    return replace(parameter, filler=replace(parameter.filler, numbers=numbers))


def _with_file(graph: Graph, node: Node, folder: Path | None, outside: bool) -> Node:
    rule = CATALOG[node.op].blob_file
    name = rule.named(node.params) if rule is not None else None
    if rule is None or name is None:
        return node
    try:
        path = str(named_file(name, folder, node.span, outside=outside))
    except NetcError as error:
        if not rule.optional:
            raise
        warnings.warn(render(_without(node, error.diagnostics[0])), NetcWarning, stacklevel=3)
        return node
    shapes = [graph.shape(value) for value in node.inputs]
    try:
        return replace(node, params=rule.given(node.params, shapes, path, _read(rule, path)))
    except ShapeError as fault:
        raise NetcError(Diagnostic(fault.code, fault.message, node.span)) from None


def _read(rule: BlobFile[object], path: str) -> Array:
    """The array of a file of the rule's format."""
    if rule.data_set:
        return load_data_set(path, rule.data_set)
    read = load_sizes if rule.sizes else load_numbers if rule.numbers else load_blob
    return read(path)


def _without(node: Node, why: Diagnostic) -> Diagnostic:
    message = f"layer `{node.name}`: {why.message}; it does without the images' sizes"
    return replace(why, message=message, severity="warning")


def load_sizes(path: str) -> Array:
    """Heights and widths, float32 (images, 2), of a text with `name height width` on each line.

    At most 64 MiB are read.

    Raises:
        NetcError: bad-record, where a number is missing or not a number.
    """

    def bad(error: Exception) -> NetcError:
        return NetcError(Diagnostic("bad-record", f"`{path}` cannot be read: {reason(error)}"))

    with strangers_bytes(bad):
        with Path(path).open("rb") as file:
            words = file.read(_LARGEST_FILE).split()
        pairs = [(float(h), float(w)) for h, w in zip(words[1::3], words[2::3], strict=True)]
    return np.array(pairs, np.float32).reshape(-1, 2)


def load_numbers(path: str) -> Array:
    """The numbers of a text, float32 (n,), up to the first word that is none, as C++ reads them.

    At most 64 MiB are read.

    Raises:
        NetcError: bad-record, where the file cannot be read.
    """

    def bad(error: Exception) -> NetcError:
        return NetcError(Diagnostic("bad-record", f"`{path}` cannot be read: {reason(error)}"))

    found: list[float] = []
    with strangers_bytes(bad):
        with Path(path).open("rb") as file:
            words = file.read(_LARGEST_FILE).split()
        for word in words:
            try:
                found.append(float(word))
            except ValueError:
                break
    return np.array(found, np.float32)
