from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.steps.pooling import average_pool_step, max_pool_step
from netc.backends.shared.geometry import Geometry
from tests.backends.cpu.arena import close

CASES = [
    ((2, 19, 7, 8), (4, 4), Geometry((3, 3), (2, 2), (1, 1))),
    ((1, 64, 6, 5), (6, 5), Geometry((3, 3), (1, 1), (1, 1))),
    ((1, 5, 9, 7), (1, 1), Geometry((9, 7))),
    ((1, 33, 8, 8), (4, 3), Geometry((3, 2), (2, 3), (1, 0))),
]


def caffe_pool(x, out, window, average):
    """Caffe's pooling_layer.cpp, element by element."""
    n, c, height, width = x.shape
    y, mask = np.zeros((n, c, *out), np.float32), np.full((n, c, *out), -1.0)
    for i in range(out[0]):
        for j in range(out[1]):
            y0, x0 = i * window.stride[0] - window.pad[0], j * window.stride[1] - window.pad[1]
            y1 = min(y0 + window.kernel[0], height + (window.pad[0] if average else 0))
            x1 = min(x0 + window.kernel[1], width + (window.pad[1] if average else 0))
            size = (y1 - y0) * (x1 - x0)
            y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
            part = x[:, :, y0:y1, x0:x1].reshape(n, c, -1)
            if average:
                y[:, :, i, j] = part.sum(-1, dtype=np.float64) / size
            else:
                y[:, :, i, j] = part.max(-1)
                at = part.argmax(-1)
                mask[:, :, i, j] = (y0 + at // (x1 - x0)) * width + x0 + at % (x1 - x0)
    return y, mask


@pytest.mark.parametrize("shape, out, window", CASES)
def test_max_pooling(bench, shape, out, window):
    x = np.random.default_rng(1).standard_normal(shape, np.float32).round(1)
    expected, mask = caffe_pool(x, out, window, False)
    v = bench.value(x)
    y, m = bench.view(*shape[:2], *out), bench.view(*shape[:2], *out)
    got, where = bench.run(max_pool_step("p", v, y, window, m), outputs=[y, m])
    assert (got == expected).all() and (where == mask).all()
    (alone,) = bench.run(max_pool_step("p", v, y, window), outputs=[y])
    assert (alone == expected).all()


@pytest.mark.parametrize("shape, out, window", CASES)
def test_average_pooling(bench, shape, out, window):
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    expected, _ = caffe_pool(x, out, window, True)
    v, y = bench.value(x), bench.view(*shape[:2], *out)
    close(bench.run(average_pool_step("p", v, y, window), outputs=[y])[0], expected)
