"""Overriding fields of a solver: ``--set base_lr=0.01``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from netc.diagnostics import Diagnostic, NetcError, Source, did_you_mean
from netc.language.read import read_document
from netc.migrate.generations import bind_net
from netc.schema.load import Schema
from netc.schema.message import Message

_OTHER = {"type": "solver_type", "solver_type": "type"}


def overridden(solver: Message, schema: Schema, fields: Mapping[str, str]) -> Message:
    """The solver with these fields in place of its own.

    Args:
        solver: a SolverParameter as written.
        schema: the schema that binds the values.
        fields: name -> value as in a prototxt, but strings without quotes; the values of a
            repeated field are separated by commas.

    Raises:
        NetcError: unknown-field, and what binding a value raises.
    """
    for name, value in fields.items():
        field = solver.type.fields.get(name)
        if field is None:
            message = f"a solver has no field `{name}`"
            hints = did_you_mean(name, solver.type.fields)
            raise NetcError(Diagnostic("unknown-field", message, help=hints))
        values = _values(value) if field.repeated else [value]
        quote = field.kind == "string"
        text = "\n".join(f"{name}: {json.dumps(_unquoted(v)) if quote else v}" for v in values)
        document = read_document(Source(f"--set {name}", text), schema, {}, None)
        given = bind_net(document, solver.type).entries
        if set(given) != {name}:
            message = f"`--set {name}` gives other fields too: `{value}`"
            raise NetcError(Diagnostic("wrong-kind", message, help=("give --set for each field",)))
        solver = solver.without(_OTHER.get(name, name)).with_entries(**given)
    return solver


def _values(value: str) -> list[str]:
    """Several values with commas between, in brackets as prototxt has them or without."""
    inside = value.strip()
    if inside.startswith("[") and inside.endswith("]"):
        inside = inside[1:-1]
    return [part.strip() for part in inside.split(",")]


def _unquoted(value: str) -> str:
    """A string as it is meant: quotes around it that reached us from a shell are prototxt's."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
