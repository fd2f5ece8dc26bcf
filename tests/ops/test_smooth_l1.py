"""SmoothL1Loss's gradient with weights before the loss."""

from __future__ import annotations

import numpy as np
import pytest

import netc


@pytest.mark.parametrize(("fields", "power"), [("", 1), ("abssum: false", 1), ("abssum: true", 0)])
def test_abssum_leaves_the_inside_weights_out_of_the_slope(fields: str, power: int) -> None:
    """Backward_cpu of Synopsys's smooth_L1_loss_layer.cpp; Fast R-CNN has no `abssum`."""
    rng = np.random.default_rng(0)
    a, b, inside, outside = (rng.random((2, 3), dtype=np.float32) for _ in range(4))
    inputs = "".join(f'input: "{n}" input_shape {{ dim: 2 dim: 3 }}\n' for n in "abwv")
    text = f"""force_backward: true {inputs}
      layer {{ name: "l" type: "SmoothL1Loss" bottom: "a" bottom: "b" bottom: "w" bottom: "v"
        top: "y" smooth_l1_loss_param {{ {fields} }} }}"""
    net = netc.compile(text=text, backend="reference", phase="TRAIN")
    found = net.gradients({"a": a, "b": b, "w": inside, "v": outside})
    wanted = inside * (a - b) * outside / 2 * inside**power
    np.testing.assert_allclose(found.blobs["a"], wanted, rtol=1e-5)
    np.testing.assert_allclose(found.blobs["b"], -wanted, rtol=1e-5)
