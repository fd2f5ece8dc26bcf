"""FlowWarp beyond the numbers that forks computed; Synopsys's Round and Proposal."""

from __future__ import annotations

import numpy as np

import netc
from netc.ops.detection.proposal import _partly_sorted


def run(layer: str, **arrays: np.ndarray) -> np.ndarray:
    inputs = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {size}" for size in a.shape)} }}\n'
        for name, a in arrays.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in arrays)
    text = f'{inputs}layer {{ name: "l" {bottoms} top: "y" {layer} }}'
    return netc.compile(text=text, backend="reference")(arrays)["y"]


def test_places_outside_may_be_no_numbers() -> None:
    image = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    flow = np.zeros((1, 2, 2, 3), np.float32)
    flow[0, 0, 0] = [0.5, 5, -2]
    fill = 'type: "FlowWarp" flow_warp_param { fill_value: NOT_A_NUMBER }'
    wanted = [[0.5, np.nan, 0], [3, 4, 5]]
    np.testing.assert_array_equal(run(fill, x=image, flow=flow)[0, 0], wanted)
    wanted[0][1] = 0
    np.testing.assert_array_equal(run('type: "FlowWarp"', x=image, flow=flow)[0, 0], wanted)


def test_round_takes_the_even_neighbour_of_a_half() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.4, 0.5, 1.5], np.float32)
    assert run('type: "Round"', x=x).tolist() == [-2, -2, 0, 0, 0, 2]


def test_log_softmax_takes_its_axis_from_either_message() -> None:
    x = np.random.default_rng(0).random((2, 3, 4), dtype=np.float32)
    wanted = x - np.log(np.exp(x).sum(axis=2, keepdims=True))
    for own in ("log_softmax_param", "softmax_param"):
        made = run(f'type: "LogSoftmax" {own} {{ axis: -1 }}', x=x)
        np.testing.assert_allclose(made, wanted, atol=1e-6)


def plain_partial_sort(values: list[float], first: int) -> list[int]:
    """The selection of std::partial_sort with falling pairs, by a search in place of a heap."""
    keys = [(value, at) for at, value in enumerate(values)]
    for at in range(first, len(keys)):
        worst = min(range(first), key=lambda index: keys[index])
        if keys[at] > keys[worst]:
            keys[at], keys[worst] = keys[worst], keys[at]
    return [at for _, at in sorted(keys[:first], reverse=True) + keys[first:]]


def test_boxes_behind_the_best_stay_as_the_selection_leaves_them() -> None:
    rng = np.random.default_rng(0)
    for first in (1, 3, 9, 40):
        scores = rng.integers(0, 9, 30).astype(np.float32)
        wanted = plain_partial_sort(scores.tolist(), min(first, 30))
        assert _partly_sorted(scores, first).tolist() == wanted


def test_synopsys_proposal_with_fields_that_pvanet_has_too() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "p": rng.random((1, 18, 3, 3), dtype=np.float32),
        "d": rng.random((1, 36, 3, 3), dtype=np.float32),
        "info": np.array([[48, 48, 1]], np.float32),
    }
    layer = 'type: "Proposal" proposal_param { feat_stride: 16 pre_nms_topn: 5 }'
    assert run(layer, **arrays).shape[1] == 5
