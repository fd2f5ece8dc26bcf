"""Fields of a solver set from outside: ``--set base_lr=0.01``."""

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
        solver: a SolverParameter as it was written.
        schema: to read the values by.
        fields: name -> value as a prototxt has it, strings without quotes; several values of a
            repeated field have commas between them.

    Raises:
        NetcError: unknown-field, and what binding a value raises.
    """
    for name, value in fields.items():
        field = solver.type.fields.get(name)
        if field is None:
            message = f"a solver has no field `{name}`"
            hints = did_you_mean(name, solver.type.fields)
            raise NetcError(Diagnostic("unknown-field", message, help=hints))
        values = value.split(",") if field.repeated else [value]
        quote = field.kind == "string"
        text = "\n".join(f"{name}: {json.dumps(v) if quote else v}" for v in values)
        document = read_document(Source(f"--set {name}", text), schema, {}, None)
        given = bind_net(document, solver.type).entries
        solver = solver.without(_OTHER.get(name, name)).with_entries(**given)
    return solver
