"""Rows of DetectionOutput as boxes."""

from __future__ import annotations

import numpy as np

from netc.predict.boxes import boxes_of

ROWS = np.array([[[[0, 1, 0.5, 0, 0, 1, 1], [1, -1, -1, -1, -1, -1, -1]]]], np.float32)


def test_an_item_in_which_nothing_was_found_has_no_box() -> None:
    """SSD writes the item's number, or -1, and -1 in all that follows."""
    (box,) = boxes_of(ROWS, ["background", "cat"], [])
    assert (box.item, box.label, box.score) == (0, "cat", 0.5)
    assert boxes_of(np.full((1, 1, 1, 7), -1, np.float32), [], []) == []
