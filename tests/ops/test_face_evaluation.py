"""FaceAttriEvaluate, face by face as its source has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

RNG = np.random.default_rng(4)
FACE = RNG.normal(size=(6, 18))
FACE[3, 13:15] = -1, -2  # no score above 0: the first class
TRUE = RNG.normal(size=(6, 17))
TRUE[:, 13:15] = [[1, 0], [0, 1], [0, 0], [0, 1], [1, 1], [1, 0]]
TRUE[:, 15:] = RNG.integers(50, 90, (6, 2))
FIELDS = "face_evaluate_param {{ facetype: FACEATTRIBUTE facepoints: {} }}"


def wanted() -> list[list[float]]:
    rows = []
    right = [0, 0]
    for face, true in zip(FACE, TRUE, strict=True):
        row = []
        for i in range(5):
            x, y = true[15] * (face[i] - true[i]), true[16] * (face[i + 5] - true[i + 5])
            row.append(math.hypot(x, y) / math.hypot(true[15], true[16]))
        for at in range(2):
            best, chosen = 0.0, 0
            for k in range(2):
                if best < face[13 + 2 * at + k]:
                    best, chosen = face[13 + 2 * at + k], k
            if int(true[13 + at]) == chosen:
                right[at] = 1
        row += right
        row += [math.cos((face[i] / 180 - true[i] / 180) * math.pi) for i in range(10, 13)]
        rows.append(row)
    return rows


def test_points_attributes_and_angles() -> None:
    got: Any = run("FaceAttriEvaluate", FIELDS.format(5), FACE, TRUE)
    assert got.shape == (1, 1, 6, 10)
    close(got[0, 0], np.array(wanted()))


@pytest.mark.parametrize(
    ("fields", "shapes", "message"),
    [
        ("", [(6, 17), (6, 17)], "facetype"),
        ("face_evaluate_param { facetype: FACE_ANGLE }", [(6, 17), (6, 17)], "facetype"),
        (FIELDS.format(21), [(6, 17), (6, 17)], "facepoints"),
        (FIELDS.format(5), [(6, 16), (6, 17)], "a face has 17 numbers"),
        (FIELDS.format(5), [(6, 17), (6, 15)], "17 numbers for each of 6 faces"),
    ],
)
def test_refusals(fields: str, shapes: Any, message: str) -> None:
    with pytest.raises(NetcError, match=message):
        netc.compile(text=inputs_of(shapes) + text_of("FaceAttriEvaluate", fields, 2, 1))
