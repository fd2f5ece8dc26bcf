"""Errors about a single layer: an unknown type, a wrong number of bottoms or tops."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netc.diagnostics import (
    Diagnostic,
    NetcError,
    counted,
    did_you_mean,
)
from netc.migrate.data_fields import PASSED_OVER
from netc.migrate.names import current_type
from netc.ops.define import ErasedOp
from netc.schema.hints import OWN_SCHEMA
from netc.schema.message import Message


def unlisted(layer: Message, kind: str, known: Collection[str]) -> Diagnostic:
    """The note fork-data-layer: a layer of unknown type, without bottoms, becomes an input."""
    return Diagnostic(
        "fork-data-layer",
        f"layer `{layer.get('name')}` has type `{kind}`, which netc does not know; it has no "
        "bottoms, so its tops are taken as inputs",
        layer.span_of("type"),
        "note",
        help=did_you_mean(kind, known),
    )


def passed_over(layer: Message) -> Iterator[Diagnostic]:
    """The warning unknown-data-field for each field of a data layer that no schema has."""
    for index, name in enumerate(layer.get(PASSED_OVER)):
        yield Diagnostic(
            "unknown-data-field",
            f"layer `{layer.get('name')}` ({layer.get('type')}): no schema has the field `{name}`; "
            "it says how data are read, and is passed over",
            layer.span_of(PASSED_OVER, index),
            "warning",
            help=("feed this layer's tops: its data are not read", OWN_SCHEMA),
        )


def unknown_type(layer: Message, kind: str, known: Collection[str]) -> Diagnostic:
    """The error missing-layer-type or unknown-layer-type; ``known`` are types for near names."""
    name = layer.get("name")
    if not layer.has("type"):
        return Diagnostic(
            "missing-layer-type",
            f"layer `{name}` has no `type`",
            layer.span_of("name"),
            help=('say what it is, as in `type: "Convolution"`',),
        )
    today = current_type(kind)
    return Diagnostic(
        "unknown-layer-type",
        f"layer `{name}` has type `{kind}`, which netc does not know",
        layer.span_of("type"),
        help=((f'an older format calls `{today}` so: write `type: "{today}"`',) if today else ())
        or did_you_mean(kind, known)
        or ("a layer of a fork needs a definition in netc: see docs/adding-a-layer.md",),
    )


def check_arity(op: ErasedOp, layer: Message) -> None:
    """Check that the layer type takes the layer's numbers of bottoms and tops.

    Raises:
        NetcError: bottom-count or top-count.
    """
    bottoms, tops = layer.count("bottom"), layer.count("top")
    arity = op.arity
    if arity.optional_top and tops == 0:
        tops = 1
    if not _within(bottoms, arity.bottoms):
        raise _wrong_count(op, layer, "bottom", bottoms, arity.bottoms)
    if not _within(tops, arity.tops):
        raise _wrong_count(op, layer, "top", tops, arity.tops)
    if arity.same and bottoms != tops:
        raise NetcError(
            Diagnostic(
                "top-count",
                f"layer `{layer.get('name')}` has {counted(bottoms, 'bottom')} and "
                f"{counted(tops, 'top')}, and {op.name} makes one top of each bottom",
                layer.span_of("type"),
            )
        )


def _within(number: int, limits: tuple[int, int | None]) -> bool:
    minimum, maximum = limits
    return number >= minimum and (maximum is None or number <= maximum)


def _wrong_count(
    op: ErasedOp, layer: Message, what: str, number: int, limits: tuple[int, int | None]
) -> NetcError:
    return NetcError(
        Diagnostic(
            f"{what}-count",
            f"layer `{layer.get('name')}` has {counted(number, what)}, and {op.name} takes "
            f"{_range(*limits)}",
            layer.name_span_of(what) if layer.has(what) else layer.span_of("type"),
        )
    )


def check_each(op: ErasedOp, layer: Message) -> None:
    """Check that ``loss_weight`` is given once for each top and ``propagate_down`` for each bottom.

    Either may be left out altogether (layer.hpp, net.cpp).

    Raises:
        NetcError: value-count, at the field.
    """
    if "loss_weight" not in layer.entries and "propagate_down" not in layer.entries:
        return
    tops = max(len(layer.get("top")), int(op.arity.optional_top))
    for name, what, number in (
        ("loss_weight", "top", tops),
        ("propagate_down", "bottom", len(layer.get("bottom"))),
    ):
        written = len(layer.get(name))
        if written not in (0, number):
            raise layer.error(
                name,
                "value-count",
                f"`{name}` is given {counted(written, 'time')} for {counted(number, what)}",
                f"give one for each {what}, or none",
            )


def _range(minimum: int, maximum: int | None) -> str:
    if maximum is None:
        return f"at least {minimum}"
    return f"exactly {minimum}" if minimum == maximum else f"{minimum} to {maximum}"
