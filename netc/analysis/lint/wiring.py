"""Lints about names and connections: blobs that nobody reads, names that two layers have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netc.analysis.lint.rule import LintedNet, LintRule
from netc.diagnostics import Diagnostic, Note
from netc.ir.graph import Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.define import no_weights
from netc.ops.role import Role

_ENDS = Role.RESULT | Role.SINK


def unused_blobs(subject: LintedNet) -> Iterator[Diagnostic]:
    """unused-blob: blobs that nobody reads, where that is probably a mistake.

    Every net has outputs. Reported are inputs, one of several tops of a layer, and, in training,
    whatever no loss depends on.
    """
    trains = subject.graph.phase == "TRAIN" and any(
        _is_loss(subject, node) for node in subject.graph.nodes
    )
    outputs = frozenset(subject.graph.outputs)
    read = Counter(
        node.name for node in subject.graph.nodes for v in node.outputs if subject.readers(v)
    )
    for name, value in subject.graph.values.items():
        if name not in outputs:
            continue
        node = subject.producer(name)
        others = read[node.name] - bool(subject.readers(name)) if node else 0
        why = _unused(subject, name, node, others > 0, trains)
        if why is not None:
            owner = f"layer `{node.name}` ({node.op}): " if node else ""
            yield Diagnostic(
                "unused-blob",
                f"{owner}blob `{value.blob}` {why} in phase {subject.graph.phase}",
                value.span or (node.span if node else None),
                "note",
                help=("remove it, or give it to a Silence layer where it cannot be left out",),
            )


def _unused(
    subject: LintedNet, name: str, node: Node | None, others: bool, trains: bool
) -> str | None:
    """Why a value that nobody reads should be; None where it need not be.

    ``others`` says whether another top of its layer is read.
    """
    if node is None:
        return "is an input that no layer reads" if name in subject.graph.inputs else None
    if _is_loss(subject, node) or has_role(node.op, _ENDS):
        return None
    if others:
        return "is read by no layer, and other tops of its layer are"
    return "is read by no layer, and no loss depends on it" if trains else None


def _is_loss(subject: LintedNet, node: Node) -> bool:
    """True if a layer is a loss by its type, or by a weight that the text gives it."""
    message = subject.messages.get(node.name)
    return CATALOG[node.op].loss or (message is not None and any(message.get("loss_weight")))


def shared_names(subject: LintedNet) -> Iterator[Diagnostic]:
    """duplicate-layer-name: layers with weights that have one name."""
    first: dict[str, Node] = {}
    for node in subject.graph.nodes:
        message = subject.messages.get(node.name)
        name = message.get("name") if message else node.name
        other = first.setdefault(name, node)
        if other is not node and (_has_weights(node) or _has_weights(other)):
            yield subject.note(
                "duplicate-layer-name",
                node,
                f"another layer is named `{name}` too, and trained weights are matched by name",
                "give it a name of its own",
                at=("name",),
                notes=(Note("the first one is here", other.span),),
            )


def _has_weights(node: Node) -> bool:
    return CATALOG[node.op].weights is not no_weights


RULES = (
    LintRule("unused-blob", "a blob that nobody reads", unused_blobs),
    LintRule("duplicate-layer-name", "two layers of one name", shared_names),
)
