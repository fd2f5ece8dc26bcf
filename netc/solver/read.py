"""Reads a solver's text, and the nets that it names."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from netc import arguments
from netc.diagnostics import Source
from netc.frontend import Schemas, read_net
from netc.language.read import read_document
from netc.lower.rules import NetState, solver_state
from netc.migrate.generations import bind_net
from netc.migrate.solver import upgrade_solver
from netc.schema.guess import check_kind
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.solver.overrides import overridden
from netc.sources.paths import find
from netc.syntax.reader import read_source

Text = str | PathLike[str] | Source

_TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")


class SolverText(NamedTuple):
    """A SolverParameter in the current format.

    ``path`` is the file's; None where the text came from none.
    """

    message: Message
    path: Path | None = None


class NetChoice(NamedTuple):
    """A net of a solver: its definition, its NetState, and its file.

    ``path`` is None for a net written inside the solver's text; ``folder`` is where its relative
    paths start from.
    """

    message: Message
    state: NetState
    path: Path | None
    folder: Path | None


class SolverReadOptions(NamedTuple):
    """How texts are read: values of placeholders, further schemas, overridden solver fields."""

    define: Mapping[str, str] | None = None
    schema: Schemas = None
    fields: Mapping[str, str] | None = None


def read_solver(text: Text, reading: SolverReadOptions) -> SolverText:
    """Read a solver from a path, a text or a Source.

    Raises:
        NetcError: it cannot be read, parsed, bound or upgraded; wrong-file, for another message.
    """
    if isinstance(text, str) and _is_text(text):
        text = Source("<solver>", text)
    text = arguments.checked_text(text)
    path = None if isinstance(text, Source) else Path(text)
    source = text if isinstance(text, Source) else read_source(Path(text))
    given = [reading.schema] if isinstance(reading.schema, (str, PathLike)) else reading.schema
    schema = load_schema([Path(p) for p in given or []])
    folder = path.parent if path else None
    document = read_document(source, schema, arguments.definitions(reading.define), folder)
    check_kind(document, schema, "SolverParameter")
    message = bind_net(document, schema.message("SolverParameter"))
    message = overridden(message, schema, reading.fields or {})
    return SolverText(upgrade_solver(message).message, path)


def _is_text(given: str) -> bool:
    """Whether a string is a solver's text and not a path; a path has no field in it."""
    several = "\n" in given or "{" in given
    return several or (":" in given and not Path(given).exists() and '"' in given)


def train_choice(
    solver: SolverText, reading: SolverReadOptions, state: NetState | None = None
) -> NetChoice:
    """The TRAIN net (solver.cpp:78-114).

    Args:
        solver: the text.
        reading: how the net's own text is read.
        state: level and stages that take the place of `train_state`'s level and come after its
            stages, as `caffe train` has it (tools/caffe.cpp:176); None leaves it as it is.

    Raises:
        NetcError: bad-solver-field, where there is no net or more than one; what reading raises.
    """
    message = solver.message
    given = [name for name in _TRAIN_NETS if message.has(name)]
    if len(given) != 1:
        listed = ", ".join(f"`{name}`" for name in _TRAIN_NETS)
        found = "more than one train net" if given else "no train net"
        raise message.error(
            given[1] if given else None,
            "bad-solver-field",
            f"the solver names {found}",
            f"give one of {listed}",
        )
    choice = _choice(solver, given[0], 0, reading, "the train net")
    own = solver_state("TRAIN", choice.message.get("state"), message.get("train_state"))
    if state is not None:
        own = NetState(own.phase, state.level, (*own.stages, *state.stages))
    return choice._replace(state=own)


def test_choices(solver: SolverText, reading: SolverReadOptions) -> tuple[NetChoice, ...]:
    """The TEST nets in Caffe's order (solver.cpp:120-196).

    First those of `test_net_param`, then of `test_net`, then the train net's own text in phase
    TEST once for each `test_iter` that is left.

    Raises:
        NetcError: bad-solver-field, where counts do not fit; what reading raises.
    """
    message = solver.message
    places = _test_places(message)
    states = message.get("test_state")
    if states and len(states) != len(places):
        raise message.error(
            "test_state",
            "bad-solver-field",
            f"{_count(len(places), 'test net')} and {len(states)} `test_state`",
            "give one for each test net, or none",
        )
    if places and message.get("test_interval") < 1:  # solver.cpp:150
        raise message.error(
            "test_interval" if message.has("test_interval") else "test_iter",
            "bad-solver-field",
            "a solver with test nets needs `test_interval` of at least 1, and it is "
            f"{message.get('test_interval')}",
        )
    found = []
    for number, (name, index) in enumerate(places):
        choice = _choice(solver, name, index, reading, f"test net {number}")
        own = solver_state("TEST", choice.message.get("state"), *states[number : number + 1])
        found.append(choice._replace(state=own))
    return tuple(found)


def _test_places(message: Message) -> list[tuple[str, int]]:
    """The field and the index in it of each TEST net."""
    own = [("test_net_param", i) for i in range(len(message.get("test_net_param")))]
    own += [("test_net", i) for i in range(len(message.get("test_net")))]
    generic = next((name for name in ("net_param", "net") if message.has(name)), None)
    counts = len(message.get("test_iter"))
    if counts < len(own) or (generic is None and counts != len(own)):
        raise message.error(
            "test_iter" if counts else (own[0][0] if own else None),
            "bad-solver-field",
            f"{_count(len(own), 'test net')} and {counts} `test_iter`",
            "give `test_iter` once for each test net",
        )
    return own + [(generic, 0)] * (counts - len(own)) if generic else own


def _count(number: int, what: str) -> str:
    return f"there is 1 {what}" if number == 1 else f"there are {number} {what}s"


def _choice(
    solver: SolverText, field: str, index: int, reading: SolverReadOptions, what: str
) -> NetChoice:
    """A net that a solver names, in a state that is still to be found."""
    state = NetState()
    value = solver.message.entries[field][index].value
    if isinstance(value, Message):
        return NetChoice(value, state, None, solver.path.parent if solver.path else None)
    folder = solver.path.parent if solver.path else None
    path = find(value, folder, what, solver.message.span_of(field, index))
    net = read_net(path, define=reading.define, schema=reading.schema)
    return NetChoice(net.message, state, path, path.parent)
