"""The SSD layers against plain loops and, where it is installed, against OpenCV's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError
from netc.ops.define import ShapeError
from netc.ops.detection.boxes import areas, nms_keep, overlaps
from netc.ops.detection.detection_output import DETECTION_OUTPUT
from netc.ops.detection.priors import PRIOR_BOX
from tests.ops.cases import bind_layer, context_of, run_layer


def layer(kind: str, text: str, bottoms: int = 2):
    named = " ".join(f'bottom: "b{i}"' for i in range(bottoms))
    return bind_layer(f'name: "op" type: "{kind}" {named} top: "y" {text}')


def opencv(folder: Path, message_text: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The output of OpenCV's importer for a layer with these inputs."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe nets")
    lines = []
    for name, array in inputs.items():
        dims = " ".join(f"dim: {size}" for size in array.shape)
        lines.append(f'input: "{name}" input_shape {{ {dims} }}')
    path = folder / "net.prototxt"
    path.write_text("\n".join([*lines, f"layer {{ {message_text} }}"]))
    net = cv2.dnn.readNetFromCaffe(str(path))
    for name, array in inputs.items():
        net.setInput(array, name)
    return net.forward("y")


# Boxes


def plain_overlap(a, b, border=0) -> float:
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + border for i in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    area = [(c[2] - c[0] + border) * (c[3] - c[1] + border) for c in (a, b)]
    return common / (area[0] + area[1] - common) if common else 0.0


def drawn_boxes(rng: np.random.Generator, number: int) -> np.ndarray:
    corners = rng.random((number, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 12) | st.sampled_from([32, 33, 80]),  # 32 are compared at a time
    threshold=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    eta=st.sampled_from([1.0, 0.7]),
    border=st.sampled_from([0, 1]),
    most=st.sampled_from([None, 0, 3]),
    seed=st.integers(0, 9999),
)
def test_suppression_one_by_one(number, threshold, eta, border, most, seed) -> None:
    boxes = drawn_boxes(np.random.default_rng(seed), number)
    wanted: list[int] = []
    limit = threshold
    for i in range(number):
        if most is not None and len(wanted) >= most:
            break
        if all(plain_overlap(boxes[i], boxes[j], border) <= limit for j in wanted):
            wanted.append(i)
            limit *= eta if eta < 1 and limit > 0.5 else 1
    assert nms_keep(boxes, threshold, eta=eta, border=border, limit=most) == wanted


def test_boxes_turned_inside_out_have_no_area() -> None:
    boxes = np.array([[0, 0, 2, 3], [2, 0, 0, 3]], np.float32)
    np.testing.assert_array_equal(areas(boxes), [6, 0])
    np.testing.assert_array_equal(areas(boxes, 1), [12, 0])
    np.testing.assert_array_equal(overlaps(boxes.T, areas(boxes), np.array([0])), [[1, 0]])


# PriorBox

PRIOR = "min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 3"


def plain_priors(cells, image, text_sizes, step, offset) -> np.ndarray:
    rows = []
    for y in range(cells[0]):
        for x in range(cells[1]):
            centre = (x + offset) * step[1], (y + offset) * step[0]
            for width, height in text_sizes:
                rows.append(
                    [
                        (centre[0] - width / 2) / image[1],
                        (centre[1] - height / 2) / image[0],
                        (centre[0] + width / 2) / image[1],
                        (centre[1] + height / 2) / image[0],
                    ]
                )
    return np.array(rows)


def sides(size: float, ratio: float) -> tuple[float, float]:
    return size * math.sqrt(ratio), size / math.sqrt(ratio)


def priors(text: str, cells=(5, 6), image=(40, 48)) -> np.ndarray:
    message = layer("PriorBox", f"prior_box_param {{ {text} }}")
    inputs = [np.ones((2, 4, *cells), "f4"), np.ones((2, 3, *image), "f4")]
    (output,) = run_layer(PRIOR_BOX, message, inputs, [])
    return output[0].reshape(2, -1, 4)


def test_priors_one_by_one() -> None:
    boxes, variances = priors(PRIOR)
    six = [
        (30, 30), (math.sqrt(1800),) * 2,
        sides(30, 2), sides(30, 0.5), sides(30, 3), sides(30, 1 / 3),
    ]  # fmt: skip
    np.testing.assert_allclose(boxes, plain_priors((5, 6), (40, 48), six, (8, 8), 0.5), atol=1e-6)
    assert (variances == np.float32(0.1)).all()


def test_step_offset_image_and_variances() -> None:
    text = (
        "min_size: 20 min_size: 35.84 aspect_ratio: 2 flip: false step_h: 7 step_w: 9 offset: 0"
        " img_h: 100 img_w: 200 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.3"
    )
    boxes, variances = priors(text)
    four = [(20, 20), sides(20, 2), (35, 35), sides(35, 2)]  # sizes are whole pixels
    wanted = plain_priors((5, 6), (100, 200), four, (7, 9), 0)
    np.testing.assert_allclose(boxes, wanted, atol=1e-6)
    np.testing.assert_array_equal(variances, np.tile(np.float32([0.1, 0.1, 0.2, 0.3]), (120, 1)))


def test_clip_and_repeated_ratios() -> None:
    boxes, _ = priors("min_size: 30 clip: true aspect_ratio: 1 aspect_ratio: 2 aspect_ratio: 0.5")
    assert boxes.min() == 0 and boxes.max() == 1
    assert len(boxes) == 5 * 6 * 3


@pytest.mark.parametrize(
    "text",
    [
        PRIOR + " step: 8 clip: true",
        PRIOR + " flip: false clip: false",
        "min_size: 20 min_size: 40 max_size: 40 max_size: 60 aspect_ratio: 2 step: 16 clip: false",
    ],
)
def test_priors_are_opencvs(text: str, tmp_path: Path) -> None:
    inputs = {"b0": np.ones((1, 4, 5, 6), "f4"), "b1": np.ones((1, 3, 40, 48), "f4")}
    body = f'bottom: "b0" bottom: "b1" top: "y" prior_box_param {{ {text} variance: 0.1 }}'
    wanted = opencv(tmp_path, f'name: "y" type: "PriorBox" {body}', inputs)
    message = layer("PriorBox", f"prior_box_param {{ {text} variance: 0.1 }}")
    (got,) = run_layer(PRIOR_BOX, message, list(inputs.values()), [])
    np.testing.assert_allclose(got.reshape(-1), wanted.reshape(-1), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("", "missing-field", None),
        ("min_size: 0", "out-of-range", "0"),
        ("min_size: 30 max_size: 30", "out-of-range", "30"),
        ("min_size: 3 max_size: 9 max_size: 8", "value-count", "8"),
        ("min_size: 3 aspect_ratio: 0", "out-of-range", "0"),
        ("min_size: 3 variance: 1 variance: 2", "value-count", "2"),
        ("min_size: 3 variance: 0", "out-of-range", "0"),
        ("min_size: 3 img_size: 9 img_h: 7", "conflicting-fields", "9"),
        ("min_size: 3 step_h: 7", "out-of-range", None),
        ("min_size: 3 step: 0", "out-of-range", "0"),
        ("min_size: 3 faceboxes: true", "unsupported-field", "true"),
    ],
)
def test_mistakes_in_priors(text, code, at) -> None:
    message = layer("PriorBox", f"prior_box_param {{ {text} }}")
    with pytest.raises(NetcError) as caught:
        PRIOR_BOX.params(message, context_of(message))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert at is None or diagnostic.span.text == at


def test_priors_need_cells() -> None:
    message = layer("PriorBox", f"prior_box_param {{ {PRIOR} }}")
    params = PRIOR_BOX.params(message, context_of(message))
    with pytest.raises(ShapeError, match="must have cells, it is 1x3x0x4"):
        PRIOR_BOX.shape(params, [(1, 3, 0, 4), (1, 3, 8, 8)])
    with pytest.raises(ShapeError, match="at most 4 axes"):
        PRIOR_BOX.shape(params, [(1, 3, 2, 4, 4), (1, 3, 8, 8)])


# DetectionOutput


def detections(text: str, location, confidence, prior) -> np.ndarray:
    message = layer("DetectionOutput", f"detection_output_param {{ {text} }}", 3)
    params = DETECTION_OUTPUT.params(message, context_of(message))
    inputs = [np.asarray(array, np.float32) for array in (location, confidence, prior)]
    ((*ones, most, seven),) = DETECTION_OUTPUT.shape(params, [a.shape for a in inputs])
    (output,) = DETECTION_OUTPUT.reference(params, inputs, [])
    assert output.shape[:2] == tuple(ones) == (1, 1) and output.dtype == np.float32
    assert output.shape[2] <= most and output.shape[3] == seven
    return output[0, 0]


def drawn(seed: int, images: int, number: int, classes: int, each: int):
    rng = np.random.default_rng(seed)
    location = rng.normal(size=(images, number * each * 4)).astype(np.float32)
    confidence = rng.random((images, number * classes)).astype(np.float32)
    variance = np.full((number, 4), [0.1, 0.1, 0.2, 0.2], np.float32)
    prior = np.stack([drawn_boxes(rng, number), variance]).reshape(1, 2, -1)
    return location, confidence, prior


def plain_decode(code: str, coded, prior, variance, in_target: bool) -> np.ndarray:
    t = coded if in_target else coded * variance
    w, h = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return prior + t
    if code == "CORNER_SIZE":
        return prior + t * np.array([w, h, w, h])
    x, y = t[0] * w + (prior[0] + prior[2]) / 2, t[1] * h + (prior[1] + prior[3]) / 2
    w, h = math.exp(t[2]) * w, math.exp(t[3]) * h
    return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 2),
    number=st.integers(1, 7),
    classes=st.integers(2, 4),
    shared=st.booleans(),
    code=st.sampled_from(["CORNER", "CENTER_SIZE", "CORNER_SIZE"]),
    in_target=st.booleans(),
    background=st.sampled_from([-1, 0, 1]),
    keep=st.sampled_from([-1, 2]),
    top=st.sampled_from([None, 3]),
    confidence=st.sampled_from([None, 0.4]),
    seed=st.integers(0, 9999),
)
def test_detections_one_by_one(
    images, number, classes, shared, code, in_target, background, keep, top, confidence, seed
) -> None:
    each = 1 if shared else classes
    location, scores, prior = drawn(seed, images, number, classes, each)
    top_text = f" top_k: {top}" if top else ""
    score_text = f"confidence_threshold: {confidence}" if confidence else ""
    got = detections(
        f"num_classes: {classes} share_location: {str(shared).lower()} code_type: {code}"
        f" background_label_id: {background} keep_top_k: {keep} {score_text}"
        f" variance_encoded_in_target: {str(in_target).lower()}"
        f" nms_param {{ nms_threshold: 0.4{top_text} }}",
        location, scores, prior,
    )  # fmt: skip
    boxes, variance = prior.reshape(2, number, 4)
    wanted = []
    for image in range(images):
        rows = []
        for label in set(range(classes)) - {background}:
            s = scores[image].reshape(number, classes)[:, label]
            own = location[image].reshape(number, each, 4)[:, 0 if shared else label]
            decoded = [
                plain_decode(code, own[p], boxes[p], variance[p], in_target) for p in range(number)
            ]
            order = [p for p in np.argsort(-s) if confidence is None or s[p] > confidence]
            chosen: list[int] = []
            for p in order[:top]:
                if all(_overlap(decoded[p], decoded[q]) <= 0.4 for q in chosen):
                    chosen.append(p)
            rows += [[image, label, s[p], *decoded[p]] for p in chosen]
        if keep > -1 and len(rows) > keep:
            best = sorted(row[2] for row in rows)[-keep:]
            rows = [row for row in rows if row[2] in best]
        wanted += rows
    if not wanted:
        wanted = [[image, *[-1] * 6] for image in range(images)]
    np.testing.assert_allclose(got, np.array(wanted), rtol=1e-4, atol=1e-5)


def _overlap(a, b) -> float:
    if (a[2:] < a[:2]).any() or (b[2:] < b[:2]).any():
        return 0.0
    return plain_overlap(a, b)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 2 * 3 * 5),
        ("background_label_id: -1", 2 * 4 * 5),
        ("nms_param { top_k: 2 }", 2 * 3 * 2),
        ("keep_top_k: 4", 2 * 4),
        ("keep_top_k: 0", 2),
    ],
)
def test_the_shape_is_the_most_boxes_there_can_be(text: str, most: int) -> None:
    message = layer("DetectionOutput", f"detection_output_param {{ num_classes: 4 {text} }}", 3)
    params = DETECTION_OUTPUT.params(message, context_of(message))
    assert DETECTION_OUTPUT.shape(params, [(2, 20), (2, 20), (1, 2, 20)]) == ((1, 1, most, 7),)


def test_nothing_found_is_a_row_for_each_image() -> None:
    location, scores, prior = drawn(0, 2, 3, 2, 1)
    got = detections("num_classes: 2 confidence_threshold: 2", location, scores, prior)
    np.testing.assert_array_equal(got, [[0, *[-1] * 6], [1, *[-1] * 6]])


def test_detections_are_opencvs(tmp_path: Path) -> None:
    location, scores, prior = drawn(3, 1, 40, 3, 1)
    text = (
        "num_classes: 3 share_location: true background_label_id: 0 code_type: CENTER_SIZE"
        " keep_top_k: 20 confidence_threshold: 0.2 nms_param { nms_threshold: 0.45 top_k: 30 }"
    )
    body = f'bottom: "l" bottom: "c" bottom: "p" top: "y" detection_output_param {{ {text} }}'
    inputs = {"l": location, "c": scores, "p": prior}
    wanted = opencv(tmp_path, f'name: "y" type: "DetectionOutput" {body}', inputs)
    got = detections(text, location, scores, prior)
    wanted = wanted.reshape(-1, 7)
    assert got.shape == wanted.shape
    order = [np.lexsort((rows[:, 2], rows[:, 1])) for rows in (got, wanted)]
    np.testing.assert_allclose(got[order[0]], wanted[order[1]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        ("", "missing-field", None),
        ("num_classes: 3 nms_param { eta: 0 }", "out-of-range", "0"),
        ("num_classes: 3 nms_param { nms_threshold: -1 }", "out-of-range", "-1"),
        ("num_classes: 9 biases: 0.7", "unsupported-field", "0.7"),
        ("num_classes: 3 nms_param { soft_nms: true }", "unsupported-field", "true"),
    ],
)
def test_mistakes_in_detection_output(text, code, at) -> None:
    message = layer("DetectionOutput", f"detection_output_param {{ {text} }}", 3)
    with pytest.raises(NetcError) as caught:
        DETECTION_OUTPUT.params(message, context_of(message))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert at is None or diagnostic.span.text == at


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        (((1, 12), (1, 6), (1, 2, 13)), "1x2x(4 * priors), it is 1x2x13"),
        (((1, 12), (2, 6), (1, 2, 12)), "1x12 and 2x6"),
        (((1, 16), (1, 6), (1, 2, 12)), "3 priors with 4 locations each need 12 of them"),
        (((1, 12), (1, 9), (1, 2, 12)), "3 priors with 2 confidences each need 6 of them"),
    ],
)
def test_shapes_that_do_not_fit(shapes, wanted) -> None:
    message = layer("DetectionOutput", "detection_output_param { num_classes: 2 }", 3)
    params = DETECTION_OUTPUT.params(message, context_of(message))
    with pytest.raises(ShapeError) as caught:
        DETECTION_OUTPUT.shape(params, shapes)
    assert wanted in caught.value.message
