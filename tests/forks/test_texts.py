"""Fields of forks in texts: read as what they mean there."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcWarning, Source
from netc.frontend import build, read_net
from netc.ops.window import Window
from tests.migrate.texts import check_upgrade, refusal

CONV = 'layer {{ name: "c" type: "Convolution" convolution_param {{ num_output: 4 {} }} }}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hole: 2", "dilation: 2"),
        ("hole_h: 2 hole_w: 3", "dilation: 2 dilation: 3"),
        ("hole_w: 3", "dilation: 1 dilation: 3"),
        ("hole_h: 2", "dilation: 2 dilation: 1"),
    ],
)
def test_deeplabs_hole_is_the_dilation(old: str, new: str) -> None:
    check_upgrade(CONV.format(old), CONV.format(new))


@pytest.mark.parametrize(
    "both", ["hole: 2 dilation: 2", "hole: 2 hole_h: 2", "hole_h: 1 dilation: 3"]
)
def test_two_ways_to_say_it_are_refused(both: str) -> None:
    assert refusal(CONV.format(both)).code == "conflicting-fields"


def test_hole_of_v1_texts() -> None:
    text = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 33 input_dim: 33\n'
        'layers { name: "fc6" type: CONVOLUTION bottom: "data" top: "fc6"\n'
        "  convolution_param { num_output: 4 pad: 12 kernel_size: 3 hole: 12 } }"
    )
    graph = build(read_net(Source("net.prototxt", text)).message).graph
    window: Window = graph.nodes[0].params.window
    assert window.dilation == (12,) and graph.values["fc6"].shape == (1, 4, 33, 33)


def test_crnns_continuation_indicator() -> None:
    text = (
        'layer { name: "i" type: "ContinuationIndicator" top: "i"\n'
        "  continuation_indicator_param { time_step: 3 batch_size: 2 } }"
    )
    out = netc.compile(Source("net.prototxt", text), backend="reference")()["i"]
    np.testing.assert_array_equal(out, [[0, 0], [1, 1], [1, 1]])


def test_v0_layers_that_hold_v1_messages() -> None:
    text = (
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9\n'
        'layers { layer { name: "c" type: "conv" conv_param { num_output: 2 kernel_size: 3 }\n'
        '    blobs_lr: 1 } bottom: "x" top: "c" }\n'
        'layers { layer { name: "f" type: "inner_product" inner_product_param { num_output: 5 } }\n'
        '  bottom: "c" top: "f" }'
    )
    graph = build(read_net(Source("net.prototxt", text)).message).graph
    assert graph.values["f"].shape == (1, 5)


def test_a_net_that_gives_nothing_back_is_told() -> None:
    text = (
        'input: "x" input_shape { dim: 1 dim: 3 }\n'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }\n'
        'layer { name: "s" type: "Silence" bottom: "r" }'
    )
    source = Source("net.prototxt", text)
    with pytest.warns(NetcWarning, match="`r` by layer `s`"):
        net = netc.compile(source, backend="reference")
    assert [d.code for d in net.diagnostics] == ["no-outputs"]
    asked = netc.compile(source, backend="reference", outputs=("r",))
    assert asked.diagnostics == () and set(asked(x=np.ones((1, 3), np.float32))) == {"r"}


BN = (
    'input: "x" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 }\n'
    'layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" %s }'
)
MEAN, VARIANCE, SCALE, SHIFT = (np.arange(1, 4, dtype=np.float32) * k for k in (0.1, 2, 0.5, 0.3))
X = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)


def normalised(arrays: list[np.ndarray], param: str = "") -> np.ndarray:
    source = Source("net.prototxt", BN % param)
    return netc.compile(source, {"b": arrays}, backend="reference")(x=X)["b"]


def wanted(scaled: bool) -> np.ndarray:
    mean, variance, scale, shift = (v.reshape(1, 3, 1, 1) for v in (MEAN, VARIANCE, SCALE, SHIFT))
    y = (X - mean) / np.sqrt(variance + 1e-5)
    return y * scale + shift if scaled else y


ONE = np.ones(1, np.float32)
OWN = "batch_norm_param { scale_bias: true }"


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 3, 1, 1), (3, 1, 1)])
def test_statistics_in_each_shape(shape: tuple[int, ...]) -> None:
    arrays = [MEAN.reshape(shape), VARIANCE.reshape(shape), ONE.reshape((1,) * len(shape))]
    np.testing.assert_allclose(normalised(arrays), wanted(False), rtol=1e-5, atol=1e-6)


def test_nvidias_orders_of_five_and_of_four() -> None:
    five = [MEAN, VARIANCE, ONE, SCALE, SHIFT]
    four = [v.reshape(1, 3, 1, 1) for v in (SCALE, SHIFT, MEAN, VARIANCE)]
    for arrays in (five, four):
        np.testing.assert_allclose(normalised(arrays, OWN), wanted(True), rtol=1e-5, atol=1e-6)


def test_a_scale_that_the_text_does_not_ask_for() -> None:
    idle = [MEAN, VARIANCE, ONE, np.ones(3, np.float32), np.zeros(3, np.float32)]
    np.testing.assert_allclose(normalised(idle), wanted(False), rtol=1e-5, atol=1e-6)
    with pytest.raises(netc.NetcError) as caught:
        normalised([MEAN, VARIANCE, ONE, SCALE, SHIFT])
    (found,) = caught.value.diagnostics
    assert found.code == "weight-count" and "scale_bias: true" in found.help[0]


def test_another_number_of_channels_is_refused_still() -> None:
    with pytest.raises(netc.NetcError) as caught:
        normalised([np.ones((1, 4, 1, 1), np.float32), VARIANCE, ONE])
    assert caught.value.diagnostics[0].code == "weight-shape"


def test_a_second_bottom_gives_interps_size() -> None:
    text = (
        'input: "x" input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }\n'
        'input: "like" input_shape { dim: 1 dim: 1 dim: 7 dim: 5 }\n'
        'layer { name: "i" type: "Interp" bottom: "x" bottom: "like" top: "i"\n'
        "  interp_param { use_blob_size: true } }"
    )
    plain = text.replace(' bottom: "like"', "").replace("use_blob_size: true", "height: 7 width: 5")
    feeds = {
        "x": np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32),
        "like": np.zeros((1, 1, 7, 5), np.float32),
    }
    for backend in ("reference", "cpu"):
        one, two = (
            netc.compile(Source("n", t), backend=backend, outputs=("i",))(
                {k: feeds[k] for k in names}
            )["i"]
            for t, names in ((text, ("x", "like")), (plain, ("x",)))
        )
        np.testing.assert_array_equal(one, two)


PRIORS = (
    'input: "f" input_shape { dim: 1 dim: 1 dim: 2 dim: 2 }\n'
    'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'
    'layer { name: "p" type: "PriorBox" bottom: "f" bottom: "data" top: "p"\n'
    "  prior_box_param { %s } }"
)


def priors(param: str) -> np.ndarray:
    net = netc.compile(Source("n", PRIORS % param), backend="reference")
    feeds = {name: np.zeros(shape, np.float32) for name, shape in net.inputs.items()}
    return net(feeds)["p"][0, 0].reshape(2, 2, -1, 4)


def test_priors_of_written_sizes() -> None:
    boxes = priors("width: 4 width: 2 height: 4 height: 1")
    np.testing.assert_allclose(boxes[0, 0], [[0, 0, 0.5, 0.5], [0.125, 0.1875, 0.375, 0.3125]])


def test_priors_at_several_offsets_of_a_cell_as_textboxes_has_them() -> None:
    once = priors("min_size: 4 aspect_ratio: 2 flip: false")
    twice = priors(
        "min_size: 4 aspect_ratio: 2 flip: false"
        " offset_h: 0.5 offset_w: 0.5 offset_h: 1 offset_w: 0.5"
    )
    np.testing.assert_allclose(twice[:, :, ::2], once)
    np.testing.assert_allclose(twice[:, :, 1::2], once + np.array([0, 0.25, 0, 0.25]), atol=1e-6)


def one_by_one(form: str, size: float, density: int, ratios: list[float]) -> list[list[float]]:
    """The boxes of a 2x2 map over 8x8 pixels as the C++ of each fork's loop has them."""
    found = []
    for h in range(2):
        for w in range(2):
            x, y, step = (w + 0.5) * 4, (h + 0.5) * 4, 4
            for ratio in ratios:
                for p in range(density):
                    for c in range(density):
                        wide, high = size * ratio**0.5, size / ratio**0.5
                        if form == "fixed_ratio":
                            shift = step // density
                            cx = x - step // 2 + shift / 2 + c * shift
                            cy = y - step // 2 + shift / 2 + p * shift
                        elif form == "fixed_size":
                            shift = int(size / density)
                            cx = x - int(size) // 2 + shift / 2 + c * shift
                            cy = y - int(size) // 2 + shift / 2 + p * shift
                            if ratio == 1:
                                wide = high = int(size)
                        else:
                            cx = x + (c - density // 2) * step / density
                            cy = y + (p - density // 2) * step / density
                            wide = high = int(size) - 1
                        box = [cx - wide / 2, cy - high / 2, cx + wide / 2, cy + high / 2]
                        box = [each / 8 for each in box]
                        if form != "min_size":
                            box = [max(0, box[0]), max(0, box[1]), min(1, box[2]), min(1, box[3])]
                        found.append(box)
    return found


@pytest.mark.parametrize(
    ("text", "form", "size", "density", "ratios"),
    [
        ("fixed_size: 6 fixed_ratio: 1 fixed_ratio: 2 density: 2", "fixed_ratio", 6, 2, [1, 2]),
        ("fixed_size: 5.5 density: 2", "fixed_size", 5.5, 2, [1]),
        ("fixed_size: 6 density: 3 aspect_ratio: 2", "fixed_size", 6, 3, [1, 2, 0.5]),
        ("min_size: 4 density: 4", "min_size", 4, 4, [1]),
        ("min_size: 4 density: 1", "min_size", 4, 1, [1]),
    ],
)
def test_priors_that_stand_several_times_in_a_cell(
    text: str, form: str, size: float, density: int, ratios: list[float]
) -> None:
    want = np.array(one_by_one(form, size, density, ratios)).reshape(2, 2, -1, 4)
    np.testing.assert_allclose(priors(text), want, atol=1e-6)


def test_sizes_of_several_densities_follow_one_another() -> None:
    both = priors("min_size: 4 min_size: 6 density: 2 density: 1")
    np.testing.assert_allclose(both[:, :, :4], priors("min_size: 4 density: 2"))
    np.testing.assert_allclose(both[:, :, 4:], priors("min_size: 6 density: 1"))


@pytest.mark.parametrize(
    ("param", "code"),
    [
        ("fixed_size: 4", "value-count"),
        ("density: 2", "value-count"),
        ("fixed_size: 4 density: 0", "out-of-range"),
        ("fixed_size: inf density: 1", "out-of-range"),
        ("fixed_size: 4 density: 1 fixed_ratio: 0", "out-of-range"),
        ("fixed_size: 4 density: 1 min_size: 3", "conflicting-fields"),
        ("min_size: 4 density: 1 aspect_ratio: 2", "conflicting-fields"),
        ("min_size: 4 density: 1000000", "blob-too-large"),
    ],
)
def test_faults_of_dense_priors(param: str, code: str) -> None:
    found = build(read_net(Source("n", PRIORS % param)).message).diagnostics
    assert [d.code for d in found] == [code]
    assert found[0].span is not None


CENTRE = (
    'input: "x" input_shape { dim: 2 dim: 3 dim: 5 dim: 8 }\n'
    'layer { name: "c" type: "CropCenter" bottom: "x" top: "c"\n'
    "  crop_center_param { %s } }"
)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_crop_of_both_ends(backend: str) -> None:
    x = np.arange(240, dtype=np.float32).reshape(2, 3, 5, 8)
    net = netc.compile(Source("n", CENTRE % "crop_size: [0, 1, 1, 3]"), backend=backend)
    np.testing.assert_array_equal(net(x=x)["c"], x[:, 1:2, 1:4, 3:5])


@pytest.mark.parametrize(
    ("sizes", "hint"), [("[1, 1]", "one for each axis"), ("[0, 0, 0, 4]", "at most 3")]
)
def test_faults_of_a_crop_of_both_ends(sizes: str, hint: str) -> None:
    (found,) = build(read_net(Source("n", CENTRE % f"crop_size: {sizes}")).message).diagnostics
    assert found.code == "shape-mismatch" and hint in found.help[0]
    assert found.span is not None and found.span.line == 3


def test_seven_times_as_many_predictions_are_told_to_be_faceboxes() -> None:
    text = (
        'input: "l" input_shape { dim: 1 dim: 84 }\n'
        'input: "c" input_shape { dim: 1 dim: 42 }\n'
        'input: "p" input_shape { dim: 1 dim: 2 dim: 12 }\n'
        'layer { name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "d"\n'
        "  detection_output_param { num_classes: 2 } }"
    )
    (found,) = build(read_net(Source("n", text)).message).diagnostics
    assert found.code == "shape-mismatch" and "density: 4" in found.help[0]


def test_twice_as_many_predictions_are_told_to_be_textboxes() -> None:
    text = (
        'input: "l" input_shape { dim: 1 dim: 16 }\n'
        'input: "c" input_shape { dim: 1 dim: 8 }\n'
        'input: "p" input_shape { dim: 1 dim: 2 dim: 8 }\n'
        'layer { name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "d"\n'
        "  detection_output_param { num_classes: 2 } }"
    )
    (found,) = build(read_net(Source("n", text)).message).diagnostics
    assert found.code == "shape-mismatch" and "TextBoxes" in found.help[0]
