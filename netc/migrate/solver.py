"""Solvers: the enum ``solver_type`` to the string ``type``, and nets written inside a solver."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from netc.diagnostics import Diagnostic, NetcError, Note
from netc.migrate.change import Change, Upgraded, each
from netc.migrate.upgrade import upgrade_net
from netc.schema.message import Message

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "SGD": "SGD",
        "NESTEROV": "Nesterov",
        "ADAGRAD": "AdaGrad",
        "RMSPROP": "RMSProp",
        "ADADELTA": "AdaDelta",
        "ADAM": "Adam",
    }
)
_NETS = ("net_param", "train_net_param", "test_net_param")


def upgrade_solver(solver: Message) -> Upgraded:
    """A SolverParameter in the current format.

    Nets written inside it are upgraded too, which Caffe itself leaves undone and then fails on.

    Raises:
        NetcError: ``conflicting-fields`` where ``solver_type`` and ``type`` are both given,
            ``unknown-solver-type`` for a fork's value, and all that ``upgrade_net`` raises.
    """
    upgraded = solver_type_to_string(solver)
    for name in _NETS:
        inner = each(upgraded.message, name, lambda net: Upgraded(*upgrade_net(net)))
        upgraded = Upgraded(inner.message, upgraded.changes + inner.changes)
    return upgraded


def solver_type_to_string(solver: Message) -> Upgraded:
    """``solver_type: ADAM`` becomes ``type: "Adam"`` (UpgradeSolverType).

    Raises:
        NetcError: see ``upgrade_solver``.
    """
    if not solver.has("solver_type"):
        return Upgraded(solver)
    entry = solver.entries["solver_type"][-1]
    if solver.has("type"):
        raise _twice(solver)
    if entry.value not in _TYPES:
        raise solver.error(
            "solver_type",
            "unknown-solver-type",
            f"`solver_type: {entry.value}` is not one of Caffe's",
            "solver types are " + ", ".join(f"`{name}`" for name in _TYPES),
        )
    name = _TYPES[entry.value]
    change = Change("solver", f'`solver_type: {entry.value}` became `type: "{name}"`', entry.span)
    renamed = solver.without("solver_type").with_entries(type=(entry._replace(value=name),))
    return Upgraded(renamed, (change,))


def _twice(solver: Message) -> NetcError:
    note = Note(f'`type: "{solver.get("type")}"` is given here', solver.name_span_of("type"))
    return NetcError(
        Diagnostic(
            "conflicting-fields",
            f"`solver_type: {solver.get('solver_type')}` and `type` are both given",
            solver.name_span_of("solver_type"),
            notes=(note,),
            help=("remove `solver_type`, the older form",),
        )
    )
