"""Text to Document.

The grammar is Lark's (``prototxt.lark``), and so are the LALR(1) tables; the loop that runs them
is here, because a net is parsed on every start. It knows two answers: a tree, or "not so". What
is not so is read a second time, slowly, by ``repair``, which finds every fault and says it well.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.syntax.ast import Document, Field
from netc.syntax.build import Builder, PlaceholderFoundError, Stack
from netc.syntax.lexer import tokens
from netc.syntax.literals import BadEscapeError
from netc.syntax.tables import load_tables


def parse_document(source: Source, define: Mapping[str, str] | None = None) -> Document:
    """Read a prototxt text.

    Args:
        source: the text and its name.
        define: values of placeholders (``$NAME``, ``${NAME}``, ``{{ NAME }}``, ``$#NAME#$``),
            put in their place as text, inside strings as well.

    Raises:
        NetcError: with every fault of the text, in order.
    """
    fields = _fields(source)
    if fields is None:
        raise NetcError(Diagnostic("syntax", "this is no prototxt", Document(source, ()).span))
    return Document(source, tuple(fields))


def _fields(source: Source) -> list[Field] | None:
    """The fields of a text without fault; None where anything at all is unusual."""
    with _collection_paused():
        try:
            return _run(source)
        except (BadEscapeError, PlaceholderFoundError):
            return None


def _run(source: Source) -> list[Field] | None:
    tables = load_tables()
    builder = Builder(source)
    rules = [(n, origin, builder.method(method)) for n, origin, method in tables.rules]
    actions, gotos = tables.actions, tables.gotos
    states = [tables.start]
    row = actions[tables.start]
    values: Stack = []
    for token in tokens(source.text):
        terminal = token.lastindex or 0
        act = row[terminal]
        while act < 0:
            length, origin, make = rules[~act]
            make(values)
            if length:
                del states[-length:]
            state = gotos[states[-1]][origin]
            states.append(state)
            row = actions[state]
            act = row[terminal]
        if not act:
            break
        states.append(act)
        values.append(token)
        row = actions[act]
    return values[0] if states[-1] == tables.accept else None


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Hold back the cyclic garbage collector: a tree of tuples has no cycles, and it costs half."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
