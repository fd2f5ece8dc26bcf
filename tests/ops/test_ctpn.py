"""CTPN's strips, against a loop written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc

TEXT = """
input: "s" input_shape { dim: [1, 20, 3, 4] } input: "d" input_shape { dim: [1, 20, 3, 4] }
input: "info" input_shape { dim: [1, 3] }
layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "info" top: "rois" top: "scores"
  python_param { module: "layers.text_proposal_layer" layer: "ProposalLayer"
    param_str: "'feat_stride': 16" } }
"""
HEIGHTS = (11, 16, 23, 33, 48, 68, 97, 139, 198, 283)


def test_every_strip_is_given_cut_at_the_edge() -> None:
    rng = np.random.default_rng(0)
    s = rng.random((1, 20, 3, 4), np.float32)
    d = rng.uniform(-0.3, 0.3, (1, 20, 3, 4)).astype(np.float32)
    info = np.array([[45, 62, 1]], np.float32)
    out = netc.compile(text=TEXT)(s=s, d=d, info=info)
    for row, (y, x, k) in enumerate(np.ndindex(3, 4, 10)):
        half = HEIGHTS[k] // 2  # Python 2's division, and its conversion to whole numbers
        low, high = math.trunc(7.5 - half) + 16 * y, math.trunc(7.5 + half) + 16 * y
        tall = np.exp(d[0, 2 * k + 1, y, x]) * (high - low + 1)
        top = d[0, 2 * k, y, x] * (high - low + 1) + (low + high) / 2 - tall / 2
        wanted = np.clip([16 * x, top, 16 * x + 15, top + tall], 0, [61, 44, 61, 44])
        np.testing.assert_allclose(out["rois"][row], wanted, rtol=1e-4, atol=1e-3)
        assert out["scores"][row, 0] == s[0, 10 + k, y, x]


def test_other_channels_are_refused() -> None:
    with pytest.raises(netc.NetcError, match="20 channels of scores"):
        netc.compile(text=TEXT.replace("1, 20, 3, 4", "1, 18, 3, 4"))
