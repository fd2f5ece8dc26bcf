"""ActionsDetectionOutputLayer: what detected people do (opencv/training_toolbox_caffe).

custom_layers/actions_detection_output_layer.py. DetectionOutputExtended tells of each box the
anchor and the cell that it comes from; the action is read there.
"""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import Contents, Whole
from netc.ops.define import ShapeError
from netc.ops.param_str import param_str_fields
from netc.ops.python import PythonContext, register_built_in

_FOUND, _GIVEN = 10, 8  # numbers of a box before and behind
_UNUSED = ("min_iou", "use_nms")


def _anchors(param_str: str) -> int:
    """How many anchors there are; ``use_nms`` would let boxes vote, whose number then varies."""
    try:
        given = param_str_fields(param_str)
        voting, anchors = bool(given.get("use_nms")), int(given.pop("num_anchors"))
    except Exception:  # whatever a text can drive Python's parser into
        given, voting, anchors = {"": ""}, False, 0
    if voting or anchors < 1 or given.keys() - set(_UNUSED):
        raise ShapeError(
            "`ActionsDetectionOutputLayer` takes `num_anchors`, and no `use_nms`; its `param_str` "
            f"is {param_str[:60]!r}",
            "python_param.param_str",
            ("register another implementation with netc.register_python_layer",),
            code="python-layer",
        )
    return anchors


def _actions_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    anchors = _anchors(param_str)
    if len(inputs) != anchors + 1 or count(inputs[0]) % _FOUND:
        raise ShapeError(
            f"boxes of {_FOUND} numbers and the scores of {anchors} anchors are needed; the "
            f"bottoms are {', '.join(map(show, inputs))}"
        )
    if any(len(shape) != 4 or not shape[3] for shape in inputs[1:]):
        raise ShapeError(
            "an anchor's scores must be images x rows x columns x actions; the bottoms are "
            f"{', '.join(map(show, inputs[1:]))}"
        )
    return ((1, 1, count(inputs[0]) // _FOUND, _GIVEN),)


def _actions(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    """Image, action, score of the box, score of the action, and box, of each box."""
    rows = np.asarray(inputs[0]).reshape(-1, _FOUND)
    made = np.zeros((1, 1, len(rows), _GIVEN), np.float32)
    for row, (image, _, score, *box, anchor, x, y) in enumerate(rows):
        scores = _scores_at(inputs[1:], int(anchor), (int(image), int(y), int(x)))
        made[0, 0, row] = (int(image), scores.argmax(), score, scores.max(), *box)
    return (made,)


def _scores_at(anchors: Arrays, number: int, at: tuple[int, int, int]) -> AnyArray:
    """The scores of an anchor at an image, a row and a column; below 0 they count from the end.

    Raises:
        NetcError: region-out-of-range, where there are none.
    """
    try:
        scores: AnyArray = np.asarray(anchors[number])[at]
    except IndexError:
        place = ", ".join(map(str, at))
        raise NetcError(
            Diagnostic(
                "region-out-of-range",
                f"a box is of anchor {number} and image, row and column {place}, which no scores "
                "are of",
            )
        ) from None
    return scores


def _actions_contents(param_str: str, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    return (Whole(1),)


register_built_in(
    "caffe.custom_layers.actions_detection_output_layer",
    "ActionsDetectionOutputLayer",
    _actions,
    _actions_shape,
    contents=_actions_contents,
)
