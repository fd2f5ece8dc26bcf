"""LALR(1) tables that Lark computes for a grammar, in the form the parser's loop runs on.

Lark reads ``prototxt.lark``, checks it and computes its tables. They are cached by the text of the
grammar and the version of Lark, so that a start with a warm cache does not import Lark.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.cache import content_key, read_entry, write_entry

if TYPE_CHECKING:
    from lark import Lark

GRAMMAR = Path(__file__).with_name("prototxt.lark")
START = "document"
SKIPPED = "SKIPPED"
"""The one terminal that stands between tokens and is no token itself."""


@dataclass(frozen=True)
class ParserTables:
    """An LALR(1) automaton and the lexer that feeds it.

    Attributes:
        terminals: names; the place in this tuple is the terminal's number. Number 0 is no
            terminal; the last two are ``$END``, the end of the text, and ``$OTHER``, no token.
        patterns: a regular expression for each terminal between those, in the order
            in which they are tried.
        skipped: a regular expression for one piece of white space or one comment.
        actions: for each state and terminal: a state to shift to (> 0), a rule to reduce by
            (``~rule``, < 0), or 0: not legal here. State 0 is never used.
        gotos: for each state, the state after a nonterminal.
        rules: for each rule how many symbols it takes, its nonterminal, and its method in
            ``build.Builder``.
        start: the first state.
        accept: the state in which the end of the text may come.
    """

    terminals: tuple[str, ...]
    patterns: tuple[str, ...]
    skipped: str
    actions: tuple[tuple[int, ...], ...]
    gotos: tuple[dict[str, int], ...]
    rules: tuple[tuple[int, str, str], ...]
    start: int
    accept: int


@lru_cache(maxsize=1)
def load_tables() -> ParserTables:
    """The tables of the prototxt grammar, from the cache if they are in it."""
    grammar = GRAMMAR.read_bytes()
    name = f"prototxt-{content_key(grammar, Path(__file__).read_bytes(), _lark_text())}.json"
    entry = read_entry(name)
    tables = _from_json(entry) if entry else None
    if tables is None:
        tables = build_tables(grammar.decode())
        write_entry(name, json.dumps(asdict(tables)).encode())
    return tables


def lark_parser(grammar: str) -> Lark:
    """Lark's own parser of a grammar: slow, and the reference for what the fast one must accept."""
    from lark import Lark

    return Lark(grammar, parser="lalr", lexer="basic", start=START)


def build_tables(grammar: str) -> ParserTables:
    """The tables that Lark computes for a grammar."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    lark = lark_parser(grammar)
    data, memo = lark.memo_serialize([TerminalDef, Rule])
    table = data["parser"]["parser"]
    lexed = sorted(
        (t for t in lark.terminals if t.name != SKIPPED),
        key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
    )
    terminals = ("", *(t.name for t in lexed), "$END", "$OTHER")
    rules = [number for number, entry in memo.items() if entry["__type__"] == "Rule"]
    start = table["start_states"][START]
    order = _in_order(table, start)
    return ParserTables(
        terminals=terminals,
        patterns=tuple(t.pattern.to_regexp() for t in lexed),
        skipped=next(t.pattern.to_regexp() for t in lark.terminals if t.name == SKIPPED),
        rules=tuple(_rule(memo[number]) for number in rules),
        start=order[start],
        accept=order[table["end_states"][START]],
        **_automaton(table, order, terminals, {number: i for i, number in enumerate(rules)}),
    )


def _rule(entry: dict[str, Any]) -> tuple[int, str, str]:
    origin = entry["origin"]["name"]
    return len(entry["expansion"]), origin, entry["alias"] or origin


def _in_order(table: dict[str, Any], start: int) -> dict[int, int]:
    """Numbers from 1 for Lark's states, whose own change from run to run: as they are reached."""
    order = {start: 1}
    for state in (waiting := [start]):
        steps = [(table["tokens"][token], step) for token, step in table["states"][state].items()]
        for _, (reduce, target) in sorted(steps, key=lambda s: s[0]):
            if not reduce and target not in order:
                order[target] = len(order) + 1
                waiting.append(target)
    return order


def _automaton(
    table: dict[str, Any],
    order: dict[int, int],
    terminals: tuple[str, ...],
    rules: dict[int, int],
) -> dict[str, Any]:
    """Lark's table as rows of numbers."""
    numbers = {name: i for i, name in enumerate(terminals)}
    actions = [[0] * len(terminals) for _ in range(len(order) + 1)]
    gotos: list[dict[str, int]] = [{} for _ in range(len(order) + 1)]
    for state, number in order.items():
        for token, (reduce, target) in table["states"][state].items():
            symbol = table["tokens"][token]
            if symbol not in numbers:
                gotos[number][symbol] = order[target]
            else:
                act = ~rules[target["@"]] if reduce else order[target]
                actions[number][numbers[symbol]] = act
    gotos = [dict(sorted(row.items())) for row in gotos]
    return {"actions": tuple(map(tuple, actions)), "gotos": tuple(gotos)}


def _lark_text() -> bytes:
    """The file that names Lark's version, found without importing Lark."""
    spec = importlib.util.find_spec("lark")
    return Path(spec.origin).read_bytes() if spec and spec.origin else b""


def _from_json(entry: bytes) -> ParserTables | None:
    """The tables of a cache entry; None where somebody has spoilt it."""
    try:
        data = json.loads(entry)
        return ParserTables(
            terminals=tuple(data["terminals"]),
            patterns=tuple(data["patterns"]),
            skipped=data["skipped"],
            actions=tuple(map(tuple, data["actions"])),
            gotos=tuple(data["gotos"]),
            rules=tuple((n, origin, method) for n, origin, method in data["rules"]),
            start=data["start"],
            accept=data["accept"],
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
