"""The parser: text to Document.

The grammar is Lark's (``prototxt.lark``), and so are the LALR(1) tables; the loop that runs them
is here, because a net is parsed on every start. It either gives a tree or fails without a message;
a text that fails is parsed a second time, slowly, by ``repair``, which finds every error.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

from netc.diagnostics import Diagnostic, InternalError, NetcError, Source, first_of
from netc.syntax.ast import Document, Field
from netc.syntax.build import Builder, Stack, Token, UnusualError
from netc.syntax.lexer import SIMPLE, tokens_and_fields
from netc.syntax.limits import MAX_BYTES, MAX_ERRORS, MAX_TOKENS
from netc.syntax.literals import BadEscapeError
from netc.syntax.placeholders import may_bind
from netc.syntax.tables import load_tables


def parse_document(source: Source, define: Mapping[str, str] | None = None) -> Document:
    """Parse a prototxt text.

    Args:
        source: the text and its name.
        define: values of placeholders (``$NAME``, ``${NAME}``, ``{{ NAME }}``, ``$#NAME#$``),
            inserted as text, inside strings as well.

    Raises:
        NetcError: with every error of the text, in order.
    """
    define, builder = define or {}, Builder(source)
    fields = None if may_bind(source.text, define) else _fields(builder)
    if fields is None:
        fields = _mended_fields(source, define, builder.cut_short)
    return Document(source, tuple(fields))


def parse_plain(source: Source) -> Document | None:
    """The tree of a correct text without placeholders outside of strings; None for other texts."""
    fields = _fields(Builder(source))
    return None if fields is None else Document(source, tuple(fields))


def _mended_fields(source: Source, define: Mapping[str, str], cut_short: bool) -> list[Field]:
    """The fields of a text in which placeholders are bound.

    Args:
        source: the text.
        define: what is bound.
        cut_short: whether all of its tokens are well, and its end alone cannot come.

    Raises:
        NetcError: when that leaves any fault.
    """
    # Texts without fault and placeholders, nearly all, have no use for these.
    from netc.syntax.braces import unclosed_block
    from netc.syntax.faults import legal_pieces
    from netc.syntax.repair import grammar_faults
    from netc.syntax.sniff import check_text

    check_text(source)
    with collection_paused():
        unclosed = unclosed_block(source) if cut_short else None
        if unclosed is not None:
            raise NetcError([unclosed])
        lexed = legal_pieces(source, define)
        found = sorted(lexed.faults + grammar_faults(lexed), key=_offset)
        fields = None if found else _run(Builder(source, sys.maxsize), lexed.pieces)
        if fields is not None:
            return fields
    if not found:
        raise InternalError(f"{source.name}: a text was refused for no reason that can be told")
    raise NetcError(first_of(found, MAX_ERRORS))


def _offset(fault: Diagnostic) -> int:
    return fault.span.start if fault.span else 0


def _fields(builder: Builder) -> list[Field] | None:
    """The fields of a text without fault; None where anything at all is unusual."""
    if len(builder.source.text) > MAX_BYTES:
        return None
    with collection_paused():
        try:
            stream = islice(tokens_and_fields(builder.source.text), MAX_TOKENS + 1)
            return _run(builder, stream, len(SIMPLE) - 1)
        except (BadEscapeError, UnusualError):
            return None


def _run(builder: Builder, stream: Iterable[Token], before: int = 0) -> list[Field] | None:
    """Run the tables over tokens; None where a token cannot come.

    A token's ``lastindex`` is its terminal's number and ``before``, up to which it is a simple
    field or the start of one: where an identifier can come and starts a field, it is taken at once.
    """
    tables = load_tables()
    rules = [(n, origin, builder.method(method)) for n, origin, method in tables.rules]
    actions, gotos = tables.actions, tables.gotos
    identifier, brace, end = map(tables.terminals.index, ("IDENTIFIER", "LBRACE", "$END"))
    states, count = [tables.start], 0
    row = actions[tables.start]
    values: Stack = []
    for token in stream:
        count += 1
        number = (token.lastindex or 0) - before
        terminal = number if number > 0 else identifier
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
            builder.cut_short = terminal == end and count <= MAX_TOKENS + 1
            break
        if number > 0:
            states.append(act)
            values.append(token)
            row = actions[act]
        elif "field" not in gotos[states[-1]] or count > MAX_TOKENS:
            return None
        elif token.lastindex == before:  # a block's name and brace
            values.append(builder.simple_name(token))
            values.append(token)
            states.append(gotos[states[-1]]["name"])
            states.append(actions[states[-1]][brace])
            row = actions[states[-1]]
            count += 1
        else:
            values[-1].append(builder.simple_field(token))
            count += 2
    whole = states[-1] == tables.accept and (not before or count <= MAX_TOKENS + 1)
    return values[0] if whole else None


@contextmanager
def collection_paused() -> Iterator[None]:
    """Hold back the cyclic garbage collector: a tree of tuples has no cycles, and it costs half.

    What was made meanwhile stays for long: it goes to the oldest generation, or the next few
    collections would look through all of it. Whoever has frozen objects of their own keeps them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
