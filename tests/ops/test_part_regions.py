"""PSROIAlign and DeformablePSROIPooling against loops over bins and samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.diagnostics import NetcError, NetcWarning
from tests.ops.test_fork_parts import close, run

REGIONS = np.array([[0, 1, 2, 9, 7], [1, 0, 0, 15, 15], [0, -6, 3, 2, 30], [1, 5, 5, 5, 5]])


def between(plane: np.ndarray, y: float, x: float) -> float:
    y0, x0 = math.floor(y), math.floor(x)
    y1, x1 = min(y0 + 1, plane.shape[0] - 1), min(x0 + 1, plane.shape[1] - 1)
    a, b = y - y0, x - x0
    upper = plane[y0, x0] * (1 - b) + plane[y0, x1] * b
    return float(upper * (1 - a) + (plane[y1, x0] * (1 - b) + plane[y1, x1] * b) * a)


def test_psroi_align() -> None:
    data = np.random.default_rng(2).normal(size=(2, 12, 8, 9)).astype(np.float32)
    got = run("PSROIAlign", "psroi_align_param { spatial_scale: 0.5 output_dim: 3 group_size: 2 "
              "sample_num: 3 }", data, REGIONS)  # fmt: skip
    wanted = np.zeros((4, 3, 2, 2))
    for n, (image, *box) in enumerate(REGIONS):
        x0, y0, x1, y1 = box[0] / 2, box[1] / 2, (box[2] + 1) / 2, (box[3] + 1) / 2
        high, wide = max(y1 - y0, 0.1) / 2, max(x1 - x0, 0.1) / 2
        for c in range(3):
            for i in range(2):
                for j in range(2):
                    top, bottom = (min(max(y0 + (i + k) * high, 0), 7) for k in (0, 1))
                    left, right = (min(max(x0 + (j + k) * wide, 0), 8) for k in (0, 1))
                    for a in range(1, 4):
                        for b in range(1, 4):
                            y, x = top + a * high / 4, left + b * wide / 4
                            if y < bottom and x < right:
                                plane = data[image, (c * 2 + i) * 2 + j]
                                wanted[n, c, i, j] += between(plane, y, x) / 9
    close(got, wanted)


@pytest.mark.parametrize("classes", [0, 1, 2])
def test_deformable_psroi_pooling(classes: int) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(2, 16, 8, 9)).astype(np.float32)
    moves = rng.normal(size=(4, 2 * max(classes, 1), 2, 2)).astype(np.float32)
    fields = ("spatial_scale: 0.5 output_dim: 4 group_size: 2 pooled_size: 2 sample_per_part: 3 "
              "trans_std: 0.2 part_size: 2")  # fmt: skip
    more = [moves] if classes else []
    text = f"deformable_psroi_pooling_param {{ {fields} {'' if classes else 'no_trans: true'} }}"
    got = run("DeformablePSROIPooling", text, data, REGIONS, *more)
    wanted = np.zeros((4, 4, 2, 2))
    for n, (image, *box) in enumerate(REGIONS):
        x0, y0 = box[0] / 2 - 0.5, box[1] / 2 - 0.5
        wide = max((box[2] + 1) / 2 - 0.5 - x0, 0.1)
        high = max((box[3] + 1) / 2 - 0.5 - y0, 0.1)
        for c, i, j in np.ndindex(4, 2, 2):
            dx = dy = 0.0
            if classes:
                own = c // (4 // classes)
                dx, dy = 0.2 * moves[n, 2 * own, i, j], 0.2 * moves[n, 2 * own + 1, i, j]
            found = []
            for a, b in np.ndindex(3, 3):
                y = y0 + i * high / 2 + dy * high + a * high / 6
                x = x0 + j * wide / 2 + dx * wide + b * wide / 6
                if -0.5 <= y <= 7.5 and -0.5 <= x <= 8.5:
                    y, x = min(max(y, 0), 7), min(max(x, 0), 8)
                    found.append(between(data[image, (c * 2 + i) * 2 + j], y, x))
            wanted[n, c, i, j] = np.mean(found) if found else 0
    close(got, wanted)


def test_a_pooled_size_that_nobody_reads_is_told() -> None:
    text = ("deformable_psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 1 "
            "pooled_size: 7 no_trans: true }")  # fmt: skip
    with pytest.warns(NetcWarning, match="pooled_size"):
        got = run("DeformablePSROIPooling", text, np.ones((2, 2, 8, 9)), REGIONS)
    assert got.shape == (4, 2, 1, 1)


@pytest.mark.parametrize(
    ("kind", "text", "shapes", "code"),
    [
        ("PSROIAlign", "psroi_align_param { spatial_scale: 1 output_dim: 3 group_size: 2 }",
         [(1, 13, 4, 4), (2, 5)], "shape-mismatch"),
        ("PSROIAlign", "psroi_align_param { output_dim: 3 group_size: 2 }",
         [(1, 12, 4, 4), (2, 5)], "out-of-range"),
        ("DeformablePSROIPooling", "deformable_psroi_pooling_param { spatial_scale: 1 output_dim: "
         "3 group_size: 2 part_size: 2 }", [(1, 12, 4, 4), (2, 5)], "missing-field"),
        ("DeformablePSROIPooling", "deformable_psroi_pooling_param { spatial_scale: 1 output_dim: "
         "3 group_size: 2 part_size: 2 }", [(1, 12, 4, 4), (2, 5), (2, 4, 2, 2)],
         "shape-mismatch"),  # two classes do not share three channels
    ],
)  # fmt: skip
def test_refusals(kind: str, text: str, shapes: list[tuple[int, ...]], code: str) -> None:
    with pytest.raises(NetcError) as caught:
        run(kind, text, *(np.zeros(shape) for shape in shapes))
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_region_of_no_image() -> None:
    text = "psroi_align_param { spatial_scale: 1 output_dim: 3 group_size: 2 }"
    with pytest.raises(NetcError, match="region is of image 2"):
        run("PSROIAlign", text, np.zeros((2, 12, 4, 4)), [[2, 0, 0, 3, 3]])
