from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps.deconv import deconv_steps
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.shared.geometry import Geometry
from tests.backends.cpu.arena import close

CASES = [
    ((1, 6, 5, 4), 7, Geometry((4, 4), (2, 2), (1, 1))),
    ((2, 8, 3, 5), 6, Geometry((3, 2), (2, 3), (1, 0), (1, 1), groups=2)),
    ((1, 4, 4, 4), 4, Geometry((3, 3), (1, 1), (1, 1), (2, 2))),
    ((1, 3, 4, 3), 20, Geometry((2, 2), (3, 3))),
    ((1, 5, 3, 3), 5, Geometry((4, 4), (2, 2), (1, 1), (1, 1), groups=5)),
    ((1, 2, 4, 4), 3, Geometry((3, 5), (2, 2), (1, 2), (3, 2))),
]


def plain_deconv(x, w, g):
    """Each input element spread over the output, in float64."""
    n, c, height, width = x.shape
    (kh, kw), (sy, sx), (py, px), (dy, dx) = g.kernel, g.stride, g.pad, g.dilation
    outs, per = w.shape[1], c // g.groups
    full = np.zeros(
        (
            n,
            outs * g.groups,
            sy * (height - 1) + dy * (kh - 1) + 1,
            sx * (width - 1) + dx * (kw - 1) + 1,
        )
    )
    for k in range(g.groups):
        xs, ws = x[:, k * per : (k + 1) * per].astype(np.float64), w[k * per : (k + 1) * per]
        for i in range(kh):
            for j in range(kw):
                part = np.einsum("nchw,co->nohw", xs, ws[:, :, i, j])
                rows = slice(i * dy, i * dy + sy * (height - 1) + 1, sy)
                columns = slice(j * dx, j * dx + sx * (width - 1) + 1, sx)
                full[:, k * outs : (k + 1) * outs, rows, columns] += part
    return full[:, :, py : full.shape[2] - py, px : full.shape[3] - px]


@pytest.mark.parametrize("shape, outputs, g", CASES)
def test_deconvolution_agrees_with_numpy(bench, shape, outputs, g):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((shape[1], outputs // g.groups, *g.kernel)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    expected = plain_deconv(x, w, g) + bias[:, None, None]
    extra = rng.standard_normal(expected.shape).astype(np.float32)
    v, r, y = bench.value(x), bench.value(extra), bench.view(*expected.shape)
    epilogue = Epilogue(bias, r, Activation("relu"))
    got = bench.run(*deconv_steps("d", v, y, w, g, bench.target, epilogue), outputs=[y])[0]
    close(got, np.maximum(expected + extra, 0))
