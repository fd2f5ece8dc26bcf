"""CTPN's Python layer: strips of text, 16 pixels wide (Tian et al. 2016, arXiv:1609.03605).

text_proposal_layer.py and anchor.py of tianzhi0549/CTPN. All strips are given, cut at the image's
edge; joining them to lines is left to the caller.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.contents import Contents, ImageSizes
from netc.ops.define import ShapeError
from netc.ops.detection.anchors import placed
from netc.ops.detection.proposal import foreground
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

# First and last row of the anchors of heights 11, 16, 23 ... 283, in whole pixels as there.
_ROWS = (
    (2, 12), (0, 15), (-3, 18), (-8, 23), (-16, 31), (-26, 41), (-40, 55), (-61, 76), (-91, 106),
    (-133, 148),
)  # fmt: skip


def _stride(param_str: str) -> int:
    return int(parse_param_str(param_str, "ProposalLayer", {"feat_stride": None})["feat_stride"])


def _strip_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, Shape]:
    _stride(param_str)
    each = 2 * len(_ROWS)
    fits = len(inputs) == 3 and len(inputs[0]) == 4 and inputs[0][:2] == (1, each)
    if not fits or inputs[1] != inputs[0] or count(inputs[2]) < 2:
        raise ShapeError(
            f"CTPN's `ProposalLayer` takes {each} channels of scores of one image, as many of "
            f"changes, and the image's size; the bottoms are {', '.join(map(show, inputs))}"
        )
    strips = len(_ROWS) * count(inputs[0], 2)
    return (strips, 4), (strips, 1)


@quietly
def _strips(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """x_min, y_min, x_max, y_max of every strip, and its score."""
    (scores,), (changes,) = np.asarray(inputs[0]), np.asarray(inputs[1])
    height, width = np.asarray(inputs[2]).reshape(-1)[:2]
    own = np.array([(0, low, 15, high) for low, high in _ROWS], np.float32)
    anchors = placed(own, scores.shape[1:], _stride(param_str))
    pairs = changes.reshape(-1, 2, *changes.shape[1:]).transpose(2, 3, 0, 1).reshape(-1, 2)
    side = anchors[:, 3] - anchors[:, 1] + 1
    high = np.exp(pairs[:, 1]) * side
    top = pairs[:, 0] * side + (anchors[:, 1] + anchors[:, 3]) / 2 - high / 2
    strips = np.stack([anchors[:, 0], top, anchors[:, 2], top + high], axis=1)
    edges = np.array([width - 1, height - 1] * 2, np.float32)
    return np.maximum(np.minimum(strips, edges), 0), foreground(scores)[:, None]


def _strip_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    high, wide = (size * _stride(param_str) for size in inputs[0][2:])
    return None, None, ImageSizes(high, wide)


register_built_in(
    "layers.text_proposal_layer", "ProposalLayer", _strips, _strip_shape, contents=_strip_contents
)
