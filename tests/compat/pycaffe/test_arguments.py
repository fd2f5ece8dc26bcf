"""Arguments that pycaffe refuses, and what it has done by then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc.compat.pycaffe as caffe

pytestmark = pytest.mark.filterwarnings("ignore")  # nets without weights are filled

NET = """
layer { name: "x" type: "DummyData" top: "x" top: "t"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 }
          data_filler { type: "constant" value: 1 } data_filler { type: "constant" } } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "f"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "l" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "l" }
"""


@pytest.fixture
def solver(tmp_path: Path) -> caffe.SGDSolver:
    (tmp_path / "net.prototxt").write_text(NET, "utf-8")
    path = tmp_path / "solver.prototxt"
    path.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed"', "utf-8")
    return caffe.SGDSolver(str(path))


@pytest.mark.parametrize("given", [1.5, "1", None])
def test_a_step_is_a_whole_number_of_iterations(solver: caffe.SGDSolver, given: object) -> None:
    with pytest.raises(TypeError, match="must be an int"):
        solver.step(given)
    assert solver.iter == 0


def test_backward_runs_before_diffs_that_are_asked_for_are_looked_up(
    solver: caffe.SGDSolver,
) -> None:
    net = solver.net
    net.forward()
    net.backward()
    once = net.params["f"][0].diff.copy()
    with pytest.raises(KeyError):
        net.backward(diffs=["nowhere"])
    np.testing.assert_allclose(net.params["f"][0].diff, 2 * once, rtol=1e-5)


def test_a_layer_is_named_by_its_text(solver: caffe.SGDSolver) -> None:
    with pytest.raises(ValueError, match="no layer `1`"):
        solver.net.forward(start=1)
