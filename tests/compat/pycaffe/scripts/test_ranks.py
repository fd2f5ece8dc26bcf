"""BVLC's python/train.py with one GPU: a solver with NCCL, timers around layers, and its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netc.diagnostics import NetcError

NET = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 2 dim: 3 }
  shape { dim: 2 dim: 1 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1
  weight_filler { type: "xavier" } } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" }
"""


def test_one_rank_trains_as_alone(tmp_path: Path, capfd: Any) -> None:
    import caffe

    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 4 display: 2 '
        "layer_wise_reduce: true"
    )
    uid = caffe.NCCL.new_uid()
    caffe.init_log()
    caffe.log("Using devices [0]")
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    total, forth = caffe.Timer(), [caffe.Timer() for _ in solver.net.layers]
    seen = []
    solver.net.before_forward(lambda layer: forth[layer].start())
    solver.net.after_forward(lambda layer: forth[layer].stop())
    solver.add_callback(lambda: total.start(), lambda: total.stop())
    solver.add_callback(nccl)
    solver.add_callback(lambda: "", lambda: seen.append(solver.net._layer_names[1]))
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    assert solver.iter == 4
    assert seen == ["ip"] * 4
    assert total.ms > 0
    assert "Using devices" in capfd.readouterr().err


def test_several_are_told_where_to_go(monkeypatch: Any) -> None:
    import caffe

    caffe.set_solver_count(2)
    try:
        with pytest.raises(NetcError, match="one solver here, and 2 are set") as caught:
            caffe.NCCL(None, caffe.NCCL.new_uid())
    finally:
        caffe.set_solver_count(1)
    assert "--distributed nccl" in str(caught.value)
    with pytest.raises(TypeError, match="two functions"):
        caffe.Solver.add_callback(None, lambda: None)
