"""A text and the files it includes, as one sequence of statements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from netc.diagnostics import Diagnostic, NetcError, Note, Span
from netc.language.limits import MAX_INCLUDES
from netc.language.operators import FUNCTIONS
from netc.language.parser import parse_program
from netc.language.tree import (
    Include,
    ModuleDefinition,
    ParameterDeclaration,
    SourceProgram,
    Statement,
)
from netc.paths import OutsideError, within
from netc.syntax.reader import read_source


@dataclass
class Gathered:
    """The statements, each with the ``include`` it came in by, and what they define."""

    statements: list[tuple[Statement, Span | None]] = field(default_factory=list)
    modules: dict[str, ModuleDefinition] = field(default_factory=dict)
    parameters: dict[str, ParameterDeclaration] = field(default_factory=dict)


def gather(program: SourceProgram, folder: Path | None) -> Gathered:
    """All statements of a text and of the files it includes, in order.

    Args:
        program: the net's own text.
        folder: that every included file must be in; None where the text is from no file.

    Raises:
        NetcError: bad-include; too-deep; duplicate-name, for two definitions of one name; or the
            errors of an included file.
    """
    found = Gathered()
    root = folder.resolve() if folder else None
    seen = {(root / Path(program.source.name).name).resolve()} if root else set()
    for statement, used_at in _flat(program, _IncludeScope(root, root, seen), None):
        if isinstance(statement, ModuleDefinition):
            _define_module(found, statement)
        elif isinstance(statement, ParameterDeclaration):
            _define_parameter(found, statement)
        found.statements.append((statement, used_at))
    return found


@dataclass
class _IncludeScope:
    """Where paths start, what they must stay in, and the files that were included."""

    root: Path | None
    folder: Path | None
    seen: set[Path]
    depth: int = 0


def _flat(
    program: SourceProgram, place: _IncludeScope, used_at: Span | None
) -> Iterator[tuple[Statement, Span | None]]:
    for statement in program.statements:
        if not isinstance(statement, Include):
            yield statement, used_at
            continue
        span = statement.span._replace(used_at=used_at)
        path = _path(statement.path, span, place)
        if path not in place.seen:
            place.seen.add(path)
            inner = _IncludeScope(place.root, path.parent, place.seen, place.depth + 1)
            yield from _flat(_read(statement, path, span, place), inner, span)


def _read(statement: Include, path: Path, span: Span, place: _IncludeScope) -> SourceProgram:
    if place.depth >= MAX_INCLUDES:
        message = f"files include each other deeper than {MAX_INCLUDES}"
        raise NetcError(Diagnostic("too-deep", message, span))
    assert place.root is not None
    source = read_source(path)
    shown = Path(span.source.name).parent / statement.path
    source.name = str(shown)
    return parse_program(source)


def _path(text: str, span: Span, place: _IncludeScope) -> Path:
    """The file that an ``include`` names.

    Raises:
        NetcError: bad-include, if it is not a file within the net's folder.
    """
    if place.root is None or place.folder is None:
        why = "this text is from no file, so that there is no folder to include from"
        raise _refused(why, span)
    try:
        return within(text, place.folder, place.root, "include")
    except OutsideError as error:
        up = ".." in PurePosixPath(text).parts
        help = ("the net's own file can include it: all files see each other's modules",)
        raise _refused(str(error), span, *(help if up else ())) from None


def _refused(message: str, span: Span, *help: str) -> NetcError:
    return NetcError(Diagnostic("bad-include", message, span, help=help))


def _define_module(found: Gathered, module: ModuleDefinition) -> None:
    first = found.modules.get(module.name)
    if first:
        raise _twice("module", module.name, module.span, first.span)
    if module.name in FUNCTIONS:
        message = f"`{module.name}` is a function, and cannot be a module"
        raise NetcError(Diagnostic("duplicate-name", message, module.span))
    found.modules[module.name] = module


def _define_parameter(found: Gathered, parameter: ParameterDeclaration) -> None:
    first = found.parameters.get(parameter.name)
    if first:
        raise _twice("parameter", parameter.name, parameter.span, first.span)
    found.parameters[parameter.name] = parameter


def _twice(what: str, name: str, span: Span, first: Span) -> NetcError:
    message = f"there are two {what}s `{name}`"
    notes = (Note("the first is here", first),)
    return NetcError(Diagnostic("duplicate-name", message, span, notes=notes))
