"""What an upgrade step is and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, NetcError, Span
from netc.schema.message import Entry, FieldType, Message


class Change(NamedTuple):
    """One thing that a step changed.

    Args:
        step: the step's name ("v0", "v1", "data-transform", "inputs", "batch-norm",
            "statistics", "axes", "dilation", "priors", "bottoms", "fused", "solver").
        message: what became what; lower case, no full stop, identifiers in backticks.
        span: where the old form stands.
        lossy: whether something written in the file was left out, as Caffe leaves it out.
    """

    step: str
    message: str
    span: Span | None = None
    lossy: bool = False


class Upgraded(NamedTuple):
    """A message after a step, and what the step changed; the same object if it changed nothing."""

    message: Message
    changes: tuple[Change, ...] = ()


Step = Callable[[Message], Upgraded]


def each(message: Message, field: str, step: Step) -> Upgraded:
    """Apply a step to every message of a repeated field.

    Raises:
        NetcError: with the mistakes of all of them.
    """
    entries = message.entries.get(field, ())
    collector = Collector()
    after: list[Entry] = []
    changes: list[Change] = []
    for entry in entries:
        try:
            upgraded, found = step(entry.value)
        except NetcError as error:
            collector.extend(error.diagnostics)
            continue
        after.append(entry if upgraded is entry.value else entry._replace(value=upgraded))
        changes += found
    collector.check()
    if all(new is old for new, old in zip(after, entries, strict=True)):
        return Upgraded(message, tuple(changes))
    return Upgraded(message.with_entries(**{field: tuple(after)}), tuple(changes))


def submessage(message: Message, field: str) -> Message:
    """The message in a singular field, an empty one at the message's place if it is absent."""
    value = message.get(field)
    assert isinstance(value, Message)
    return value


def put(message: Message, path: tuple[str, str], entries: Iterable[Entry]) -> Message:
    """A copy with ``message.<outer>.<inner>`` replaced; the outer message is made if need be.

    A new outer message stands where the first of the entries stands.
    """
    outer, inner = path
    moved = tuple(entries)
    child = submessage(message, outer).with_entries(**{inner: moved})
    if message.has(outer):
        entry = message.entries[outer][-1]._replace(value=child)
    else:
        place = moved[0].name_span or moved[0].span or message.span
        child = Message(child.type, child.entries, place)
        entry = Entry(child, place, place)
    return message.with_entries(**{outer: (entry,)})


def carry(result: Message, old: Message, name: str) -> Message:
    """A copy of ``result`` with a field of ``old`` that has the same name and type in both.

    Raises:
        NetcError: ``no-counterpart`` where the new format has no such field. Nothing that is
            written in a file is dropped because netc does not know it.
    """
    before, after = old.type.fields[name], result.type.fields.get(name)
    if after is None or not _same_type(before, after):
        has = "has no such field" if after is None else "has one of another type"
        raise NetcError(
            Diagnostic(
                "no-counterpart",
                f"`{name}` of {old.type.name} cannot be upgraded: {result.type.name} {has}",
                old.name_span_of(name),
                help=(
                    "if it has no effect remove it; if your Caffe has it in LayerParameter, give "
                    "its schema with `--schema caffe.proto`",
                ),
            )
        )
    return result.with_entries(**{name: old.entries[name]})


def _same_type(before: FieldType, after: FieldType) -> bool:
    return (
        before.kind == after.kind
        and before.message is after.message
        and (before.enum.name if before.enum else None) == (after.enum.name if after.enum else None)
        and (after.repeated or not before.repeated)
    )
