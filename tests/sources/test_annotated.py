"""AnnotatedData: pictures and their boxes go the same ways, as SSD's Caffe has them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.driver import read_net
from netc.lower.rules import NetState
from netc.schema.descriptors import message_class
from netc.schema.load import load_schema
from netc.solver.solver import Solver
from netc.sources.catalog import NetSources, open_sources
from netc.sources.interpolation import METHODS

lmdb = pytest.importorskip("lmdb")

Written = tuple[
    int, int, tuple[float, float, float, float], bool
]  # class, instance, box, difficult


def datum(pixels: Any, boxes: Sequence[Written] | None, label: int = 0) -> bytes:
    """A serialised AnnotatedDatum; without boxes it has no type."""
    made = message_class(load_schema([]).message("AnnotatedDatum"))()
    made.datum.channels, made.datum.height, made.datum.width = pixels.shape
    made.datum.data, made.datum.label = pixels.tobytes(), label
    if boxes is not None:
        made.type = 0
    for number, instance, sides, difficult in boxes or ():
        group = made.annotation_group.add(group_label=number)
        one = group.annotation.add(instance_id=instance)
        one.bbox.xmin, one.bbox.ymin, one.bbox.xmax, one.bbox.ymax = sides
        one.bbox.difficult = difficult
    return bytes(made.SerializeToString())


def write(folder: Path, records: Sequence[bytes]) -> None:
    with lmdb.open(str(folder / "db"), map_size=1 << 24) as database:
        with database.begin(write=True) as transaction:
            for number, record in enumerate(records):
                transaction.put(f"{number:03}".encode(), record)


def layer(transform: str = "", more: str = "", batch: int = 2) -> str:
    return f"""layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label"
        transform_param {{ {transform} }} annotated_data_param {{ {more} }}
        data_param {{ source: "db" backend: LMDB batch_size: {batch} }} }}"""


def sources(
    folder: Path, *text: Any, phase: str = "TRAIN", seed: int = 3, **how: Any
) -> NetSources:
    message = read_net(Source("n", layer(*text))).message
    found = open_sources(message, NetState(phase), folder, seed, **how)
    assert found is not None
    return found


def random_pictures(count: int, high: int = 12, wide: int = 16) -> list[Any]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (3, high, wide)).astype(np.uint8) for _ in range(count)]


BOXES: list[list[Written]] = [
    [(3, 0, (0.25, 0.125, 0.75, 0.5), False), (1, 2, (0.0, 0.5, 1.0, 1.0), True)],
    [],
    [(2, 0, (0.5, 0.5, 0.75, 0.625), False)],
]


def test_rows_of_a_batch(tmp_path: Path) -> None:
    pictures = random_pictures(3)
    write(tmp_path, [datum(p, b) for p, b in zip(pictures, BOXES, strict=True)])
    batches = sources(tmp_path, "scale: 0.5 mean_value: 10")
    first = batches(0)
    np.testing.assert_array_equal(
        first["data"], (np.stack(pictures[:2]).astype(np.float32) - 10) * np.float32(0.5)
    )
    assert first["label"].tolist() == [
        [[[0, 3, 0, 0.25, 0.125, 0.75, 0.5, 0], [0, 1, 2, 0, 0.5, 1, 1, 1]]]
    ]
    second = batches(1)["label"]  # the third picture and, again, the first
    assert second[0, 0, :, 0].tolist() == [0, 1, 1]
    assert second.dtype == np.float32


def test_pictures_that_are_encoded(tmp_path: Path) -> None:
    """As SSD's create_annoset.py stores them."""
    (picture,) = random_pictures(1)
    file = io.BytesIO()
    Image.fromarray(picture[::-1].transpose(1, 2, 0)).save(file, "PNG")
    made = message_class(load_schema([]).message("AnnotatedDatum"))()
    made.ParseFromString(datum(picture, BOXES[0]))
    made.datum.data, made.datum.encoded = file.getvalue(), True
    write(tmp_path, [bytes(made.SerializeToString())])
    batch = sources(tmp_path, "", "", 1)(0)
    np.testing.assert_array_equal(batch["data"][0], picture)
    assert batch["label"].shape == (1, 1, 2, 8)


def test_a_batch_without_boxes_is_one_row_of_minus_one(tmp_path: Path) -> None:
    write(tmp_path, [datum(p, []) for p in random_pictures(2)])
    assert sources(tmp_path)(0)["label"].tolist() == [[[[-1] * 8]]]


def test_records_without_a_type_have_labels(tmp_path: Path) -> None:
    write(tmp_path, [datum(p, None, 4 + i) for i, p in enumerate(random_pictures(2))])
    assert sources(tmp_path)(0)["label"].tolist() == [4, 5]


def test_boxes_are_mirrored_with_their_picture(tmp_path: Path) -> None:
    (picture,) = random_pictures(1)
    write(tmp_path, [datum(picture, [(1, 0, (0.125, 0.25, 0.5, 0.75), False)])])
    seen = set()
    for position in range(12):
        batch = sources(tmp_path, "mirror: true", "", 1)(position)
        box = batch["label"][0, 0, 0, 3:7].tolist()
        plain = (batch["data"][0] == picture).all()
        assert plain or (batch["data"][0] == picture[:, :, ::-1]).all()
        assert box == ([0.125, 0.25, 0.5, 0.75] if plain else [0.5, 0.25, 0.875, 0.75])
        seen.add(bool(plain))
    assert seen == {True, False}


def test_the_crop_in_test_is_the_middle(tmp_path: Path) -> None:
    (picture,) = random_pictures(1, 12, 16)
    boxes: list[Written] = [
        (1, 0, (0.25, 0.0, 0.75, 1.0), False),  # columns 4 to 12, of 4 to 12
        (2, 0, (0.0, 0.5, 0.5, 1.0), False),
        (3, 0, (0.0, 0.0, 0.25, 1.0), False),  # ends where the crop begins
    ]
    write(tmp_path, [datum(picture, boxes)])
    batch = sources(tmp_path, "crop_size: 8", "", 1, phase="TEST")(0)
    np.testing.assert_array_equal(batch["data"][0], picture[:, 2:10, 4:12])
    # Rows 2 to 10 of 12: 0.5 is row 6, half of the crop.
    assert batch["label"][0, 0].tolist() == [
        [0, 1, 0, 0, 0, 1, 1, 0], [0, 2, 0, 0, 0.5, 0.5, 1, 0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("emit", "kept"),
    [("emit_type: CENTER", [1]), ("emit_type: MIN_OVERLAP emit_overlap: 0.19", [1, 2]),
     ("emit_type: MIN_OVERLAP emit_overlap: 0.25", [1])],
)  # fmt: skip
def test_which_boxes_are_left_after_a_crop(emit: str, kept: list[int], tmp_path: Path) -> None:
    (picture,) = random_pictures(1, 16, 16)
    boxes: list[Written] = [
        (1, 0, (0.25, 0.25, 0.75, 0.75), False),
        (2, 0, (0.0, 0.25, 0.3125, 0.75), False),  # a fifth of it is within, its middle is not
    ]
    write(tmp_path, [datum(picture, boxes)])
    more = f"crop_size: 8 emit_constraint {{ {emit} }}"
    rows = sources(tmp_path, more, "", 1, phase="TEST")(0)["label"][0, 0]
    assert rows[:, 1].tolist() == kept


@pytest.mark.parametrize("method", ["LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4"])
def test_warping(method: str, tmp_path: Path) -> None:
    (picture,) = random_pictures(1)
    write(tmp_path, [datum(picture, [(1, 0, (0.25, 0.5, 0.75, 1.25), False)])])
    resize = f"resize_param {{ height: 6 width: 10 interp_mode: {method} }}"
    batch = sources(tmp_path, resize, "", 1)(0)
    np.testing.assert_array_equal(batch["data"][0], METHODS[method](picture, 6, 10))
    np.testing.assert_allclose(batch["label"][0, 0, 0, 3:7], [0.25, 0.5, 0.75, 1], rtol=1e-6)


def test_the_interpolation_is_drawn(tmp_path: Path) -> None:
    (picture,) = random_pictures(1)
    write(tmp_path, [datum(picture, [])])
    listed = " ".join(f"interp_mode: {name}" for name in METHODS)
    wanted = {name: method(picture, 5, 7) for name, method in METHODS.items()}
    for phase in ("TRAIN", "TEST"):
        found = [
            sources(
                tmp_path, f"resize_param {{ height: 5 width: 7 {listed} }}", "", 1, phase=phase
            )(i)
            for i in range(40)
        ]
        seen = {n for b in found for n, w in wanted.items() if (b["data"][0] == w).all()}
        assert seen == set(METHODS)


def test_padding_to_a_size(tmp_path: Path) -> None:
    """16 x 12 into 8 x 8: 6 rows of picture between one row above and one below."""
    (picture,) = random_pictures(1, 12, 16)
    write(tmp_path, [datum(picture, [(1, 0, (0.5, 0.0, 1.0, 0.5), False)])])
    resize = """resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 8 width: 8
                               pad_value: 1 pad_value: 2 pad_value: 3 }"""
    batch = sources(tmp_path, resize, "", 1)(0)
    np.testing.assert_array_equal(batch["data"][0][:, 1:7], METHODS["LINEAR"](picture, 6, 8))
    assert (batch["data"][0][:, [0, 7]] == np.array([1, 2, 3]).reshape(3, 1, 1)).all()
    assert batch["label"][0, 0, 0, 3:7].tolist() == [0.5, 1 / 8, 1, 4 / 8]


def test_the_smaller_side_to_a_size(tmp_path: Path) -> None:
    (picture,) = random_pictures(1, 12, 16)
    write(tmp_path, [datum(picture, [(1, 0, (0.5, 0.0, 1.0, 0.5), False)])])
    resize = "resize_param { resize_mode: FIT_SMALL_SIZE height: 6 width: 6 %s }"
    batch = sources(tmp_path, resize % "", "", 1)(0)
    assert batch["data"].shape == (1, 3, 6, 8)
    assert batch["label"][0, 0, 0, 3:7].tolist() == [0.5, 0, 1, 0.5]
    scaled = sources(tmp_path, resize % "height_scale: 3 width_scale: 4", "", 1)(0)
    assert scaled["label"][0, 0, 0, 3:7].tolist() == [0.5 * 8 / 4, 0, 8 / 4, 0.5 * 6 / 3]


def test_several_sizes_are_drawn_for_ten_passes_each(tmp_path: Path) -> None:
    (picture,) = random_pictures(1)
    write(tmp_path, [datum(picture, [(1, 0, (0.25, 0.5, 0.75, 1.0), False)])])
    text = """resize_param { height: 6 width: 8 prob: 0.25 }
              resize_param { height: 9 width: 12 prob: 0 }
              resize_param { height: 12 width: 16 prob: 0.75 }"""
    batches = sources(tmp_path, text, "", 1)
    sizes = [batches(position)["data"].shape[2:] for position in range(400)]
    tens = [set(sizes[first : first + 10]) for first in range(0, 400, 10)]
    assert all(len(ten) == 1 for ten in tens)
    drawn = [next(iter(ten)) for ten in tens]
    assert set(drawn) == {(6, 8), (12, 16)}
    assert 2 <= drawn.count((6, 8)) <= 20
    np.testing.assert_allclose(batches(0)["label"][0, 0, 0, 3:7], [0.25, 0.5, 0.75, 1])


# A black picture with one white thing: where it is after all that is drawn, its box must be.
SSD = """mirror: true mean_value: 0 resize_param { height: 40 width: 40 interp_mode: NEAREST }
expand_param { prob: 0.5 max_expand_ratio: 3 } emit_constraint { emit_type: CENTER }"""
SAMPLERS = """
batch_sampler { use_original_image: true max_sample: 1 max_trials: 1 }
batch_sampler { sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
                sample_constraint { min_jaccard_overlap: 0.1 } max_sample: 1 max_trials: 50 }
batch_sampler { sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 }
                sample_constraint { max_jaccard_overlap: 1.0 } max_sample: 1 max_trials: 50 }
"""


def thing(high: int = 60, wide: int = 80) -> tuple[Any, Written]:
    picture = np.zeros((3, high, wide), np.uint8)
    picture[:, 12:33, 20:60] = 255
    return picture, (1, 0, (20 / wide, 12 / high, 60 / wide, 33 / high), False)


def test_boxes_stay_around_their_things(tmp_path: Path) -> None:
    picture, box = thing()
    write(tmp_path, [datum(picture, [box])])
    batches = sources(tmp_path, SSD, SAMPLERS, 1)
    shapes, without = set(), 0
    for position in range(120):
        batch = batches(position)
        white = batch["data"][0, 0] > 0
        row = batch["label"][0, 0, 0]
        if row[0] < 0:
            without += 1
            continue
        rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
        want = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(row[3:7] * 40, want, atol=3)  # crops are of whole pixels
        shapes.add((len(rows), len(columns)))
    assert without < 60
    assert len(shapes) > 30


def test_an_expanded_picture_lies_on_the_mean(tmp_path: Path) -> None:
    picture = np.full((3, 10, 20), 7, np.uint8)
    write(tmp_path, [datum(picture, [(1, 0, (0.0, 0.0, 1.0, 1.0), False)])])
    text = (
        "mean_value: 3 mean_value: 4 mean_value: 5.6 expand_param { prob: 1 max_expand_ratio: 4 }"
    )
    sizes = set()
    for position in range(20):
        batch = sources(tmp_path, text, "", 1)(position)
        values, row = (
            batch["data"][0] + np.array([3, 4, 5.6], np.float32).reshape(3, 1, 1),
            batch["label"],
        )
        high, wide = values.shape[1:]
        left, top, right, bottom = np.rint(row[0, 0, 0, 3:7] * [wide, high, wide, high]).astype(int)
        assert (bottom - top, right - left) == (10, 20)
        np.testing.assert_allclose(values[:, top:bottom, left:right], 7, atol=1e-5)
        values[:, top:bottom, left:right] = np.array([3, 4, 6], np.float32).reshape(3, 1, 1)
        want = np.broadcast_to(np.array([3, 4, 6], np.float32).reshape(3, 1, 1), values.shape)
        np.testing.assert_allclose(values, want, atol=1e-5)
        sizes.add((high, wide))
        assert 10 <= high <= 40 and abs(wide - 2 * high) <= 1
    assert len(sizes) > 5


def test_distortion_leaves_boxes_alone_and_changes_pixels(tmp_path: Path) -> None:
    (picture,) = random_pictures(1)
    write(tmp_path, [datum(picture, BOXES[0])])
    text = "distort_param { brightness_prob: 1 brightness_delta: 32 }"
    moved = set()
    for position in range(8):
        batch = sources(tmp_path, text, "", 1)(position)
        np.testing.assert_array_equal(batch["label"][0, 0, :, 1:3], [[3, 0], [1, 2]])
        change = batch["data"][0] - picture
        whole = (batch["data"][0] > 0) & (batch["data"][0] < 255)
        assert len(np.unique(change[whole])) == 1
        assert abs(change[whole][0]) <= 32
        moved.add(float(change[whole][0]))
    assert len(moved) > 4


def test_a_batch_depends_on_its_number_and_the_seed_alone(tmp_path: Path) -> None:
    write(tmp_path, [datum(p, b) for p, b in zip(random_pictures(3, 30, 40), BOXES, strict=True)])
    text = (SSD + " distort_param { hue_prob: 1 hue_delta: 18 random_order_prob: 0.5 }", SAMPLERS)
    forward = [sources(tmp_path, *text)(i) for i in range(4)]
    batches, other = sources(tmp_path, *text), sources(tmp_path, *text, seed=4)
    for position in (2, 0, 3, 1):
        again = batches(position)
        for top, array in forward[position].items():
            np.testing.assert_array_equal(again[top], array)
    assert any((other(i)["data"] != forward[i]["data"]).any() for i in range(4))


def test_rows_are_filled_up_for_a_solver(tmp_path: Path) -> None:
    write(tmp_path, [datum(p, b) for p, b in zip(random_pictures(3), BOXES, strict=True)])
    plain, steady = sources(tmp_path)(0), sources(tmp_path, steady=True)(0)
    assert steady["label"].shape == (1, 1, 64, 8)
    np.testing.assert_array_equal(steady["label"][:, :, :2], plain["label"])
    assert (steady["label"][:, :, 2:] == -1).all()


def test_a_record_with_a_wrong_number_is_found(tmp_path: Path) -> None:
    write(tmp_path, [datum(p, b) for p, b in zip(random_pictures(3), BOXES, strict=True)])
    batches = sources(tmp_path, "", "", 3)
    (found,) = batches.records_where(0, lambda array: array[..., 1] == 2, labels=True)
    assert found.startswith("record `002`")
    assert len(batches.records_where(0, lambda array: array >= 0, labels=False)) == 3


WRONG = {
    "resize_param { height: 5 }": ("out-of-range", "resized to 5x0"),
    "expand_param { max_expand_ratio: 1 }": ("out-of-range", "`max_expand_ratio` is 1"),
    "distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 }": (
        "out-of-range", "`contrast` is changed by 2 to 1",
    ),
    "distort_param { hue_prob: 1 hue_delta: -1 }": ("out-of-range", "`hue_delta` is -1"),
    "distort_param { random_order: true }": ("unsupported-data-field", "`random_order`"),
    "max_scaling_factor: 2": ("unsupported-data-field", "`max_scaling_factor`"),
    "noise_param { convert_to_lab: true }": ("unsupported-data-field", "`convert_to_lab`"),
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, [datum(p, []) for p in random_pictures(1)])
    with pytest.raises(NetcError) as caught:
        sources(tmp_path, text)
    (found,) = caught.value.diagnostics
    code, words = WRONG[text]
    assert found.code == code and words in found.message
    assert found.span is not None and found.span.line == 2


@pytest.mark.parametrize(
    ("sampler", "words"),
    [("sampler { max_scale: 1.5 }", "scales are 1 to 1.5"),
     ("sampler { min_scale: 0 }", "scales are 0 to 1"),
     ("sampler { min_aspect_ratio: 2 }", "aspect ratios are 2 to 1"),
     ("max_trials: 4000000000", "`max_trials` is 4,000,000,000")],
)  # fmt: skip
def test_samplers_that_are_refused(sampler: str, words: str, tmp_path: Path) -> None:
    write(tmp_path, [datum(p, []) for p in random_pictures(1)])
    with pytest.raises(NetcError, match=words):
        sources(tmp_path, "", f"batch_sampler {{ {sampler} }}")


def test_pixels_that_cannot_be_distorted(tmp_path: Path) -> None:
    write(tmp_path, [datum(np.zeros((1, 4, 4), np.uint8), [])])
    with pytest.raises(NetcError, match="has 1 channel, and `distort_param` needs 3"):
        sources(tmp_path, "distort_param { hue_prob: 1 hue_delta: 5 }", "", 1)(0)


def test_a_record_of_something_else(tmp_path: Path) -> None:
    write(tmp_path, [datum(random_pictures(1)[0], []), b"\xff\xff\xff"])
    with pytest.raises(NetcError, match=r"record `001` of .* is no AnnotatedDatum message"):
        sources(tmp_path)(0)


def test_what_other_readers_make_of_such_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [datum(p, b) for p, b in zip(random_pictures(3), BOXES, strict=True)])
    assert main(["data", "show", str(tmp_path / "db"), "--pictures", "0"]) == 0
    said = capsys.readouterr().out
    assert "3 records" in said and "shape 3x12x16: 3" in said
    assert [line for line in said.splitlines() if "label" in line] == [
        "label 1: 1", "label 2: 1", "label 3: 1",
    ]  # fmt: skip
    plain = layer().replace("AnnotatedData", "Data").replace("annotated_data_param { }", "")
    plain = plain.replace("annotated_data_param {  }", "")
    message = read_net(Source("n", plain)).message
    found = open_sources(message, NetState("TRAIN"), tmp_path)
    assert found is not None
    with pytest.raises(NetcError, match="is a picture with boxes"):
        found(0)


DETECTOR = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 stride: 4
                            weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "l" type: "Convolution" bottom: "conv" top: "l"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "lp" type: "Permute" bottom: "l" top: "lp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "c" type: "Convolution" bottom: "conv" top: "c"
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "cp" type: "Permute" bottom: "c" top: "cp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "cf" type: "Flatten" bottom: "cp" top: "cf" }
layer { name: "p" type: "PriorBox" bottom: "conv" bottom: "data" top: "p"
        prior_box_param { min_size: 12 variance: 0.1 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "lf" bottom: "cf" bottom: "p" bottom: "label"
        top: "loss" multibox_loss_param { num_classes: 3 } }
"""


def test_a_detector_trains_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes = [(1, 0, (0.1, 0.1, 0.5, 0.5), False), (2, 0, (0.4, 0.3, 0.9, 0.8), False)]
    write(
        tmp_path, [datum(p, boxes[: 1 + i % 2]) for i, p in enumerate(random_pictures(5, 40, 50))]
    )
    text = f"""net_param {{ {layer(SSD, SAMPLERS, 4)} {DETECTOR} }} base_lr: 0.01 lr_policy: "fixed"
    momentum: 0.9 max_iter: 30 random_seed: 1 snapshot_prefix: "{tmp_path}/x"
    snapshot_after_train: false"""
    whole = Solver(text)
    losses = whole.step(8)
    assert np.isfinite(losses).all()
    state = whole.snapshot().state
    again = Solver(text, snapshot=str(state))
    np.testing.assert_array_equal(again.step(4), whole.step(4))
