"""The loss of YOLO's first version against the loops of detection_loss_layer.cpp."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from tests.ops.test_fork_parts import close, inputs_of, run, text_of

SIDE, CLASSES, BOXES, CELLS = 2, 3, 2, 4
RNG = np.random.default_rng(6)
DATA = RNG.random((2, (CLASSES + 5 * BOXES) * CELLS)).astype(np.float32)
FIELDS = f"side: {SIDE} num_class: {CLASSES} num_object: {BOXES} class_scale: 2 object_scale: 3"


def labels() -> np.ndarray:
    label = np.zeros((2, 7 * CELLS), np.float32)
    label[:, CELLS : 2 * CELLS] = [[1, 0, 0, 1], [0, 1, 0, 0]]
    label[:, 2 * CELLS : 3 * CELLS] = RNG.integers(0, CLASSES, (2, CELLS))
    label[:, 3 * CELLS :] = RNG.random((2, 4 * CELLS)) * 0.5 + 0.25
    return label


LABEL = labels()


def overlap(a: list[float], b: list[float]) -> float:
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return 0.0 if w < 0 or h < 0 else w * h / (a[2] * a[3] + b[2] * b[3] - w * h)


def chosen(row: np.ndarray, j: int, truth: list[float], root: bool, in_cell: bool):
    """The box of a cell that its object is given to, and its overlap."""
    best, best_overlap, best_far = 0, 0.0, 20.0
    for k in range(BOXES):
        first = (CLASSES + BOXES + 4 * k) * CELLS + j
        box = [row[first + o * CELLS] for o in range(4)]
        if in_cell:
            box[:2] = (j % SIDE + box[0]) / SIDE, (j // SIDE + box[1]) / SIDE
        if root:
            box[2:] = box[2] ** 2, box[3] ** 2
        both, far = overlap(box, truth), math.dist(box, truth)
        if best_overlap > 0 or both > 0:
            if both > best_overlap:
                best, best_overlap = k, both
        elif far < best_far:
            best, best_far = k, far
    return best, best_overlap


def by_loops(data: np.ndarray, root: bool, in_cell: bool) -> tuple[float, np.ndarray]:
    """The loss, and diff_ there."""
    diff, number = np.zeros_like(data, dtype=np.float64), 0
    of_class = of_object = of_none = of_box = 0.0
    for i, row in enumerate(data.astype(np.float64)):
        for j in range(CELLS):
            at = [(CLASSES + k) * CELLS + j for k in range(BOXES)]
            for place in at:
                of_none += 0.5 * row[place] ** 2
                diff[i, place] = 0.5 * row[place]
            if not LABEL[i, CELLS + j]:
                continue
            number += 1
            for c in range(CLASSES):
                off = row[c * CELLS + j] - (c == LABEL[i, 2 * CELLS + j])
                of_class += 2 * off**2
                diff[i, c * CELLS + j] = 2 * off
            start = 3 * CELLS + 4 * j
            truth = [float(v) for v in LABEL[i, start : start + 4]]
            best, best_overlap = chosen(row, j, truth, root, in_cell)
            of_none -= 0.5 * row[at[best]] ** 2
            of_object += 3 * (row[at[best]] - 1) ** 2
            diff[i, at[best]] = 3 * (row[at[best]] - best_overlap)
            if in_cell:
                truth[:2] = truth[0] * SIDE - j % SIDE, truth[1] * SIDE - j // SIDE
            if root:
                truth[2:] = math.sqrt(truth[2]), math.sqrt(truth[3])
            for o in range(4):
                place = (CLASSES + BOXES + 4 * best + o) * CELLS + j
                of_box += 5 * (row[place] - truth[o]) ** 2
                diff[i, place] = 5 * (row[place] - truth[o])
    rest = CELLS * BOXES * len(data) - number
    return (of_class + of_object + of_box) / number + of_none / rest, diff


@pytest.mark.parametrize(("root", "in_cell"), ((True, True), (False, False), (True, False)))
@pytest.mark.parametrize("far", (False, True))
def test_the_loss_and_its_slopes(root: bool, in_cell: bool, far: bool) -> None:
    data = DATA.copy()
    if far:  # no box overlaps one: the nearest is taken
        data[:, (CLASSES + BOXES) * CELLS :] += 4
    flags = f"sqrt: {root} constriant: {in_cell}".lower()
    fields = f"detection_loss_param {{ {FIELDS} {flags} }}"
    loss, diff = by_loops(data, root, in_cell)
    close(run("DetectionLoss", fields, data, LABEL), loss)
    text = inputs_of([data.shape, LABEL.shape]) + "force_backward: true\n"
    net = netc.compile(text=text + text_of("DetectionLoss", fields, 2, 1), backend="reference")
    close(net.gradients({"x0": data, "x1": LABEL}).blobs["x0"], diff / 2)


def test_sizes_and_classes_that_do_not_fit() -> None:
    fields = f"detection_loss_param {{ {FIELDS} }}"
    with pytest.raises(NetcError, match="the label is 2x5"):
        run("DetectionLoss", fields, DATA, np.zeros((2, 5)))
    wrong = LABEL.copy()
    wrong[:, 2 * CELLS : 3 * CELLS] = CLASSES
    with pytest.raises(NetcError, match="a class is 3"):
        run("DetectionLoss", fields, DATA, wrong)


def test_boxes_that_find_objects() -> None:
    """Two objects of class 1, the first difficult, and one of class 2, in cells 0, 1 and 3."""
    cells = 4
    label = np.zeros((1, 7 * cells), np.float32)
    label[0, 0] = 1
    label[0, cells : 2 * cells] = [1, 1, 0, 1]
    label[0, 2 * cells : 3 * cells] = [1, 1, 0, 2]
    truth = [[0.2, 0.2, 0.2, 0.2], [0.8, 0.2, 0.2, 0.2], [0, 0, 0, 0], [0.7, 0.7, 0.4, 0.4]]
    label[0, 3 * cells :] = np.ravel(truth)
    shares = np.zeros((3, cells))
    shares[[1, 1, 0, 1], np.arange(cells)] = [0.9, 0.8, 0.7, 0.6]
    objects = np.array([[0.5, 0.9, 0.3, 0.2]])
    boxes = np.array([truth[0], truth[1], [0.2, 0.8, 0.1, 0.1], truth[1]]).T
    data = np.concatenate([shares, objects, boxes]).reshape(1, -1)
    fields = "side: 2 num_class: 3 num_object: 1 sqrt: false constriant: false"
    text = f"eval_detection_param {{ {fields} %s }}"
    got = run("EvalDetection", text % "", data, label)[0]
    close(got[:3], [0, 1, 1])  # not difficult
    rows = got[3:].reshape(4, 4)
    # A miss; a hit; the difficult one; the hit's object again.
    close(rows, [[0, 0.21, 0, 1], [1, 0.72, 1, 0], [1, 0.45, 0, 0], [1, 0.12, 0, 1]])
    thin = run("EvalDetection", text % "nms: 0.5 score_type: OBJ", data, label)[0]
    close(thin[3:].reshape(4, 4), [[0, 0.3, 0, 1], [1, 0.9, 1, 0], [1, 0.5, 0, 0], [0] * 4])
