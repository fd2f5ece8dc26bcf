"""Gradient of the loss of YOLO's first version."""

from __future__ import annotations

from netc.ops.array import AnyArray, Arrays
from netc.ops.detection.yolo_first import FIRST_YOLO_LOSS, FirstYoloParams, yolo_cells
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _loss(params: FirstYoloParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """The scaled differences over the batch."""
    difference = yolo_cells(params, saved.inputs).difference
    scale = (tops[0] / max(1, len(difference))).astype(difference.dtype)
    result: AnyArray = difference * scale
    return result


def _inexact(graph: object, node: object) -> str:
    return "the fork divides by the batch alone, and an object's score is to be its box's overlap"


GRADIENTS = gradients(
    of(
        FIRST_YOLO_LOSS,
        Gradient(_loss, Reads(inputs=(0, 1)), stops=(1,), inexact=_inexact, host=True),
    ),
)
