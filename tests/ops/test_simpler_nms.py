"""SimplerNMS, against a loop written from its definition."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from tests.ops.test_rcnn_layers import iou

TEXT = """
input: "s" input_shape { dim: [1, 12, 5, 6] } input: "d" input_shape { dim: [1, 24, 5, 6] }
input: "info" input_shape { dim: [1, 3] }
layer { name: "p" type: "SimplerNMS" bottom: "s" bottom: "d" bottom: "info" top: "rois"
  simpler_nms_param { max_num_proposals: 3 pre_nms_topn: 60 post_nms_topn: 20 scale: 1 scale: 2
    min_bbox_size: 12 } }
"""


def test_boxes_are_chosen_by_their_scores_the_later_of_equals_first() -> None:
    rng = np.random.default_rng(0)
    s = np.round(rng.uniform(-0.2, 1, (1, 12, 5, 6)), 1).astype(np.float32)
    d = rng.uniform(-0.4, 0.4, (1, 24, 5, 6)).astype(np.float32)
    out = netc.compile(text=TEXT)(s=s, d=d, info=np.array([[80, 96, 1.9]], np.float32))["rois"]
    found = []
    for place, (y, x, a) in enumerate(np.ndindex(5, 6, 6)):
        w = round(np.sqrt(256 / (0.5, 1, 2)[a // 2]))
        sides = np.array([w, int(w * (0.5, 1, 2)[a // 2] + 0.5)]) * (1, 2)[a % 2]
        centre = 8 + 16 * np.array([x, y]) + d[0, 4 * a : 4 * a + 2, y, x] * sides
        half = np.exp(d[0, 4 * a + 2 : 4 * a + 4, y, x]) * sides / 2
        box = np.clip([*(centre - half), *(centre + half)], 0, [95, 79, 95, 79])
        if int(box[2] - box[0] + 1) >= 12 and int(box[3] - box[1] + 1) >= 12:
            found.append((s[0, 6 + a, y, x], place, box))
    kept: list[tuple[float, int, list[float]]] = []
    for score, place, box in sorted(found, key=lambda f: f[:2], reverse=True)[:60]:
        if score > 0 and all(iou(box, better) <= 0.7 for _, _, better in kept):
            kept.append((score, place, box))
    assert len(kept) > 20
    np.testing.assert_allclose(out[:, 1:], [box for *_, box in kept[:20]], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [("scale: 1 scale: 2", "", "`scale` is not given"), ("min_bbox_size: 12", "feat_stride: 8",
     "`feat_stride` must be 16, it is 8"), ("1, 12, 5, 6", "2, 12, 5, 6", "one image")],
)  # fmt: skip
def test_what_it_does_not_do_is_told(old: str, new: str, fault: str) -> None:
    text = TEXT.replace(old, new)
    if "2, 12" in new:
        text = text.replace("1, 24", "2, 24")
    with pytest.raises(netc.NetcError, match=fault):
        netc.compile(text=text)
