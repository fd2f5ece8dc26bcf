"""Solvers of text and of files, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from netc.diagnostics import Source
from netc.language.read import read_document
from netc.migrate.generations import bind_net
from netc.migrate.solver import upgrade_solver
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.solver.settings import Settings, read_settings

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "train"


def message(text: str, name: str = "solver.prototxt") -> Message:
    schema = load_schema([])
    document = read_document(Source(name, text), schema, {}, None)
    return upgrade_solver(bind_net(document, schema.message("SolverParameter"))).message


def settings(text: str) -> Settings:
    return read_settings(message(text))


def golden_settings(case: str) -> Settings:
    return settings((GOLDEN / f"{case}_solver.prototxt").read_text())
