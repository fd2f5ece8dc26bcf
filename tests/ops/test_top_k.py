"""TopK against a sort of each item."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, run


def test_the_greatest_elements_of_an_item_stay() -> None:
    x = np.random.default_rng(2).normal(size=(3, 2, 2, 2))
    wanted = np.zeros_like(x)
    for item, row in zip(x.reshape(3, 8), wanted.reshape(3, 8), strict=True):
        for at in sorted(range(8), key=lambda i: -item[i])[:3]:
            row[at] = item[at]
    close(run("TopK", "topk_param { k: 3 }", x, phase="TRAIN"), wanted)
    close(run("TopK", "topk_param { k: 1 a: 3.5 }", x, phase="TEST"), wanted)


def test_of_equal_elements_the_first_stays() -> None:
    x = np.array([[1.0, 2, 2, 2]])
    close(run("TopK", "topk_param { k: 2 }", x, phase="TRAIN"), [[0, 2, 2, 0]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("k: 2", "`k` times `a` elements are kept, which are 0"),
        ("a: 1", "`k` is not given"),
        ("k: 9 a: 1", "9 elements are to be kept of the 8"),
        ("k: 1 a: 1 across_channels: true", "undefined for the 4 places"),
    ],
)
def test_refusals(fields: str, message: str) -> None:
    with pytest.raises(NetcError, match=message):
        run("TopK", f"topk_param {{ {fields} }}", np.ones((1, 2, 2, 2)), phase="TEST")
