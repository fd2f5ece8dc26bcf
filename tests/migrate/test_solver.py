from __future__ import annotations

import pytest

from netc.diagnostics import NetcError
from netc.migrate.solver import upgrade_solver
from netc.schema.load import load_schema
from tests.migrate.texts import net_of, place, plain

TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


@pytest.mark.parametrize("old", TYPES)
def test_solver_type(old: str) -> None:
    solver = net_of(f"base_lr: 0.5 solver_type: {old}", "SolverParameter")
    new, changes = upgrade_solver(solver)
    assert plain(new) == plain(net_of(f'base_lr: 0.5 type: "{TYPES[old]}"', "SolverParameter"))
    assert [c.message for c in changes] == [f'`solver_type: {old}` became `type: "{TYPES[old]}"`']
    assert upgrade_solver(new) == (new, ())


def test_table_has_every_bvlc_type() -> None:
    kinds = load_schema().message("SolverParameter").fields["solver_type"].enum
    assert kinds is not None
    assert {name for name, number in kinds.numbers.items() if number < 6} == set(TYPES)


def test_current_solver_stays() -> None:
    solver = net_of('net: "n" type: "Adam"', "SolverParameter")
    assert upgrade_solver(solver) == (solver, ())


def test_nets_inside_are_upgraded() -> None:
    old = "solver_type: SGD net_param { layers { name: 'r' type: RELU } } test_net_param { }"
    new, changes = upgrade_solver(net_of(old, "SolverParameter"))
    assert [c.step for c in changes] == ["solver", "v1"]
    assert new.get("net_param").get("layer")[0].get("type") == "ReLU"


def test_both_types() -> None:
    with pytest.raises(NetcError) as caught:
        upgrade_solver(net_of('type: "SGD"\nsolver_type: SGD', "SolverParameter"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "conflicting-fields"
    assert place(diagnostic) == (2, 1)
