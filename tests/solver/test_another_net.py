"""States and weights of another net than the solver's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import netc
from netc.diagnostics import NetcError
from netc.solver.solver import Solver
from tests.solver.small import BASE, NET, batches, solver


def test_a_state_whose_weights_have_other_layers_is_refused(tmp_path: Path) -> None:
    prefix = f'snapshot_prefix: "{tmp_path}/s" '
    run = solver(prefix)
    run.step(1)
    state = str(run.snapshot().state)
    renamed = NET.replace('"ip"', '"fc"')
    source = netc.Source("solver.prototxt", f"net_param {{ {renamed} }}\n{BASE}{prefix}")
    with pytest.raises(NetcError) as caught:
        Solver(source, snapshot=state, feeds=batches())
    assert caught.value.diagnostics[0].code == "missing-weights"
    assert "`fc`" in caught.value.diagnostics[0].message
    assert solver(prefix, snapshot=state).iteration == 1


def test_a_net_in_which_nothing_learns_is_told() -> None:
    def told(**more: Any) -> list[str]:
        return [d.message for d in solver(**more).diagnostics if d.code == "nothing-learns"]

    assert told(freeze=["*"]) == ["nothing learns: 2 parameters are frozen or have `lr_mult` 0"]
    assert told(freeze=["ip/0"]) == []
    assert told() == []
