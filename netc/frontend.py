"""The front end: from a net's text to its graph with shapes, what every reader of a net needs.

    text -> Document -> Message -> Message (current format) -> Graph

Checking, lints and summaries end here; :mod:`netc.driver` goes on to weights and a runnable net.
What is imported here is imported by every start of ``netc check``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from netc import arguments
from netc.analysis.expected import unexpected_shapes
from netc.diagnostics import (
    Diagnostic,
    NetcError,
    NetcWarning,
    Source,
    did_you_mean,
    first_of,
    render,
)
from netc.infer import RUN_TIME_NEEDS, Inferred, infer
from netc.ir.edit import only_for
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ir.verify import verify
from netc.language.read import read_document
from netc.lower import LoweredNet, lower
from netc.migrate.data_fields import bind_data_fields
from netc.migrate.generations import bind_net
from netc.migrate.upgrade import Change, upgrade_net
from netc.ops.catalog import CATALOG, LAYERS, has_role
from netc.ops.define import ErasedOp
from netc.ops.role import Role
from netc.schema.guess import check_kind
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.schema.tolerant import bind_known
from netc.syntax.parser import collection_paused
from netc.syntax.reader import read_source

Schemas = str | PathLike[str] | Sequence[str | PathLike[str]] | None

PHASES = ("TEST", "TRAIN")

# Warnings that a script must see, not only one that looks at a net's diagnostics: what another
# Caffe would compute from the same text.
OTHER_READINGS = frozenset({"fork-reading"})


class NetText(NamedTuple):
    """A net's definition in the current format, and what was done to bring it there.

    ``folder`` is that of its file, which paths in it start from; None for a text from no file.
    """

    message: Message
    changes: tuple[Change, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    folder: Path | None = None


Text = str | PathLike[str] | Source | NetText
"""A net's path or text; or what ``read_net`` made of one, which is read once then."""


class Built(NamedTuple):
    """A net's graph in one NetState, with the diagnostics of building it.

    ``layers`` are the LayerParameters of that state as written; ``messages``: node name -> its own.
    """

    graph: Graph
    layers: tuple[Message, ...]
    diagnostics: tuple[Diagnostic, ...]
    messages: Mapping[str, Message]


def folder_of(net: Text | None) -> Path | None:
    """The folder that relative paths in a net's text start from; None for a text from no file."""
    if isinstance(net, NetText):
        return net.folder
    return Path(net).parent if isinstance(net, (str, PathLike)) else None


def read_net(
    net: Text | None = None,
    *,
    text: str | None = None,
    define: Mapping[str, str] | None = None,
    schema: Schemas = None,
    tolerant: bool = False,
) -> NetText:
    """Text -> NetParameter in the current format.

    ``net`` is a path or a :class:`netc.Source`; or ``text`` is the text itself. With ``tolerant``
    fields that no schema has are passed over, with a warning in the result.

    Raises:
        NetcError: the text cannot be read, parsed, bound or upgraded.
    """
    if isinstance(net, NetText):
        return net
    given_text = arguments.checked_text(net, text)
    source = given_text if isinstance(given_text, Source) else read_source(Path(given_text))
    folder = folder_of(given_text)
    given = [schema] if isinstance(schema, (str, PathLike)) else schema or []
    known = load_schema([Path(path) for path in given])
    type = known.message("NetParameter")
    with collection_paused():
        document = read_document(source, known, arguments.definitions(define), folder)
        check_kind(document, known)
        if not tolerant:
            bound = bind_data_fields(document, lambda text: bind_net(text, type))
            return NetText(*upgrade_net(bound), folder=folder)
        bound, found = bind_known(document, lambda text: bind_net(text, type))
        return NetText(*upgrade_net(bound), found, folder)


def build(
    message: Message,
    *,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Shape] | None = None,
    layers: Mapping[str, ErasedOp] = LAYERS,
) -> Built:
    """NetParameter -> graph with inferred shapes; mistakes are in the result, not raised.

    Raises:
        NetcError: unknown-phase, bad-argument.
    """
    if phase not in PHASES:
        raise NetcError(
            Diagnostic(
                "unknown-phase",
                f"there is no phase `{phase}`; there are `TEST` and `TRAIN`",
                help=did_you_mean(str(phase).upper(), PHASES),
            )
        )
    level, stages = arguments.number(level, "level"), arguments.names(stages, "stages")
    with collection_paused():
        lowered = lower(
            message, phase=phase, level=level, stages=stages, inputs=inputs, catalog=layers
        )
        result = _inferred(lowered)
        graph, crops = _aligned(result.graph, lowered.messages)
    expected = unexpected_shapes(graph, message)
    diagnostics = (*lowered.diagnostics, *result.diagnostics, *crops, *expected)
    return Built(graph, lowered.layers, diagnostics, lowered.messages)


def _inferred(lowered: LoweredNet) -> Inferred:
    """The graph with shapes; embeddings as another fork has them where no other reading fits."""
    result = infer(lowered.graph, messages=lowered.messages)
    graph = lowered.graph
    if not any(d.severity == "error" for d in result.diagnostics) or not any(
        has_role(node.op, Role.EMBEDDING) for node in graph.nodes
    ):
        return result
    from netc.analysis.embeddings import other_embeddings

    return other_embeddings(graph, result, lowered.messages) or result


def _aligned(graph: Graph, messages: Mapping[str, Message]) -> tuple[Graph, tuple[Diagnostic, ...]]:
    """The graph with the offsets of crops; few nets have any, and fractions take long to import."""
    if not any(has_role(node.op, Role.CROP) for node in graph.nodes):
        return graph, ()
    from netc.analysis.alignment import align_crops

    return align_crops(graph, messages)


def runnable(built: Built) -> Graph:
    """The graph, if it can be run; fields that forks read differently give a Python warning.

    Raises:
        NetcError: with every diagnostic that stops a run: an error, or an input of unknown shape.
    """
    needs = RUN_TIME_NEEDS
    if all(built.graph.values[name].shape is not None for name in built.graph.inputs):
        needs = needs - {"unknown-input-shape"}  # of a top that nothing asked for reads
    found = [d for d in built.diagnostics if d.code in needs or d.code not in RUN_TIME_NEEDS]
    stopping = [replace(d, severity="error") if d.code in needs else d for d in found]
    if any(d.severity == "error" for d in stopping):
        raise NetcError(first_of(stopping))
    verify(built.graph, "inferred", CATALOG)
    for diagnostic in built.diagnostics:
        if diagnostic.code in OTHER_READINGS:
            warnings.warn(render(diagnostic), NetcWarning, stacklevel=3)
    return built.graph


def with_outputs(graph: Graph, outputs: str | Sequence[str]) -> Graph:
    """The graph with further outputs after its own; ``outputs`` are names of values.

    Raises:
        NetcError: unknown-output, for a name that is no value of the graph.
    """
    names = _values(graph, outputs)
    return graph.replace(outputs=tuple(dict.fromkeys((*graph.outputs, *names))))


def only_outputs(graph: Graph, outputs: str | Sequence[str]) -> Graph:
    """The graph with exactly these outputs, and without the nodes they do not depend on.

    Without names the graph is returned unchanged.

    Raises:
        NetcError: unknown-output, for a name that is no value of the graph.
    """
    names = _values(graph, outputs)
    return only_for(graph, names) if names else graph


def _values(graph: Graph, outputs: str | Sequence[str]) -> tuple[str, ...]:
    names = arguments.names(outputs, "outputs")
    for name in names:
        if name not in graph.values:
            raise NetcError(
                Diagnostic(
                    "unknown-output",
                    f"the net has no blob `{name}` in phase {graph.phase}",
                    help=did_you_mean(name, graph.values),
                )
            )
    return names
