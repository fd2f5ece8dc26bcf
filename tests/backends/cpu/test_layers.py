"""Layers through the whole CPU backend, over random shapes, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import netc
from netc.backends import reference
from netc.backends.cpu import backend
from netc.diagnostics import NetcError, Source
from tests.backends.cpu.arena import close
from tests.bounds import error_bounds, within
from tests.machines import HERE, runnable

MACHINES = st.sampled_from(HERE or ("plain 256K",)).map(runnable)
SIZES, CHANNELS = st.integers(1, 9), st.integers(1, 40)


def text_of(shapes, layers):
    inputs = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }"
        for name, shape in shapes.items()
    ]
    return "\n".join((*inputs, *layers))


def layer(kind, bottoms, tops, params=""):
    names = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return (
        f'layer {{ name: "l_{tops.replace(" ", "_")}" type: "{kind}" {" ".join(names)} {params} }}'
    )


def check(target, shapes, layers, optimize=True, low=-3.0, high=3.0, compiled=True):
    """The net's answers are those of the definitions, on one thread and on two."""
    rng = np.random.default_rng(7)
    source = Source("net", text_of(shapes, layers))
    feeds = {
        name: rng.uniform(low, high, shape).astype(np.float32) for name, shape in shapes.items()
    }
    plain = netc.compile(source, backend="reference")
    weights = {
        name: [rng.uniform(0.5, 1.5, a.shape).astype(np.float32) for a in arrays]
        for name, arrays in plain.params.items()
    }
    plain = netc.compile(source, weights, backend="reference")
    want = reference.run(plain.graph, feeds)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        for threads in (1, 2):
            net = netc.compile(source, weights, optimize=optimize, threads=threads)
            if compiled:
                assert net.report()["reference_steps"] == []
            results.append(net(feeds))
    bounds = error_bounds(plain.graph, feeds)
    for name, array in want.items():
        # Winograd's algorithm adds up neighbours: its error is of the size of the largest.
        within(results[0][name], array, bounds[name].max(initial=0), name)
        np.testing.assert_array_equal(*(result[name] for result in results))


def images(draw, least=1, channels=CHANNELS):
    sizes = st.integers(least, 9)
    return (draw(st.integers(1, 3)), draw(channels), draw(sizes), draw(sizes))


@settings(max_examples=25, deadline=None)
@given(data=st.data(), target=MACHINES, method=st.sampled_from(["MAX", "AVE"]))
def test_pooling(data, target, method):
    shape = images(data.draw)
    kernel = [data.draw(st.integers(1, size)) for size in shape[2:]]
    pad = [data.draw(st.integers(0, (k - 1) // 2)) for k in kernel]
    stride = [data.draw(st.integers(1, 3)) for _ in kernel]
    rounding = data.draw(st.sampled_from(["CEIL", "FLOOR"]))
    params = (
        f"pooling_param {{ pool: {method} round_mode: {rounding} "
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} pad_h: {pad[0]} pad_w: {pad[1]} "
        f"stride_h: {stride[0]} stride_w: {stride[1]} }}"
    )
    tops = data.draw(st.sampled_from(["y", "y mask"])) if method == "MAX" else "y"
    check(target, {"x": shape}, [layer("Pooling", "x", tops, params)])


@settings(max_examples=6, deadline=None)
@given(data=st.data(), target=MACHINES, method=st.sampled_from(["MAX", "AVE"]))
def test_global_pooling(data, target, method):
    params = f"pooling_param {{ pool: {method} global_pooling: true }}"
    check(target, {"x": images(data.draw)}, [layer("Pooling", "x", "y", params)])


@settings(max_examples=15, deadline=None)
@given(
    data=st.data(),
    target=MACHINES,
    region=st.sampled_from(["ACROSS_CHANNELS", "WITHIN_CHANNEL"]),
    size=st.sampled_from([1, 3, 5, 9]),
    beta=st.sampled_from([0.75, 0.5, 1.0, 0.6]),
)
def test_lrn(data, target, region, size, beta):
    k = data.draw(st.sampled_from([1.0, 2.0]))
    params = (
        f"lrn_param {{ norm_region: {region} local_size: {size} alpha: 0.3 beta: {beta} k: {k} }}"
    )
    relu = layer("ReLU", "x", "r")
    check(target, {"x": images(data.draw)}, [relu, layer("LRN", "r", "y", params)])


@settings(max_examples=15, deadline=None)
@given(target=MACHINES, shape=st.lists(SIZES, min_size=1, max_size=5), data=st.data())
def test_softmax(target, shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    check(
        target,
        {"x": tuple(shape)},
        [layer("Softmax", "x", "y", f"softmax_param {{ axis: {axis} }}")],
        compiled=(len(shape) not in (2, 4)) or axis == 1,
    )


UNARY = {
    "ReLU": ["", "relu_param { negative_slope: 0.1 }"],
    "PReLU": ["", "prelu_param { channel_shared: true }"],
    "ELU": ["elu_param { alpha: 0.7 }"],
    "Sigmoid": [""],
    "TanH": [""],
    "AbsVal": [""],
    "BNLL": [""],
    "Swish": ["swish_param { beta: 1.3 }"],
    "Clip": ["clip_param { min: -0.5 max: 1 }"],
    "Threshold": ["threshold_param { threshold: 0.2 }"],
    "Exp": ["", "exp_param { base: 2 scale: 0.5 shift: 1 }"],
    "Power": [
        "power_param { scale: -2 shift: 0.5 }",
        "power_param { power: 2 shift: 1 }",
        "power_param { power: 3 scale: 0.5 }",
        "power_param { power: -2 shift: 7 }",
        "power_param { power: 0 }",
        "power_param { power: 2 scale: 0 shift: 3 }",
    ],
    "BatchNorm": ["batch_norm_param { use_global_stats: true }"],
    "Scale": ["", "scale_param { bias_term: true }"],
    "Bias": [""],
}
STEPS = st.sampled_from([(kind, params) for kind, all in UNARY.items() for params in all])


@pytest.mark.parametrize("kind", UNARY)
def test_each_elementwise_layer(kind, target):
    for params in UNARY[kind]:
        check(target, {"x": (2, 19, 3, 5)}, [layer(kind, "x", "y", params)])


@pytest.mark.parametrize(
    "kind, params",
    [
        ("Log", ""),
        ("Log", "log_param { base: 10 scale: 2 shift: 1 }"),
        ("Power", "power_param { power: 0.5 }"),
        ("Power", "power_param { power: 1.7 scale: 2 }"),
        ("Power", "power_param { power: -0.75 }"),
    ],
)
def test_functions_of_positive_numbers(kind, params, target):
    shapes = {"x": (1, 21, 2, 3)}
    check(target, shapes, [layer(kind, "x", "y", params)], low=0.01, high=9.0)


@settings(max_examples=30, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    steps=st.lists(STEPS, min_size=1, max_size=4),
    axes=st.sampled_from([2, 4, 4, 4, 3]),
    optimize=st.sampled_from([True, False]),
)
def test_chains(target, data, steps, axes, optimize):
    shape = (*images(data.draw), 1)[:axes]
    layers, at = [], "x"
    for i, (kind, params) in enumerate(steps):
        if kind in ("Exp", "BatchNorm", "PReLU") and (i or axes == 3):
            continue
        layers.append(layer(kind, at, f"y{i}", params))
        at = f"y{i}"
    layers = layers or [layer("ReLU", "x", "y")]
    check(target, {"x": shape}, layers, optimize)


@settings(max_examples=30, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    operation=st.sampled_from(["SUM", "PROD", "MAX"]),
    count=st.integers(2, 4),
    coefficients=st.booleans(),
)
def test_eltwise(target, data, operation, count, coefficients):
    shape = images(data.draw)
    names = [f"x{i}" for i in range(count)]
    weights = "coeff: 1 coeff: -0.5 coeff: 2 coeff: 1".split(" coeff: ")
    given = " ".join(f"coeff: {w.removeprefix('coeff: ')}" for w in weights[:count])
    given = given if coefficients and operation == "SUM" else ""
    params = f"eltwise_param {{ operation: {operation} {given} }}"
    at = data.draw(st.integers(0, 1 if operation == "MAX" else count - 1))
    layers = [layer("TanH", names[at], "t")]
    bottoms = " ".join([*names[:at], "t", *names[at + 1 :]])
    layers += [layer("Eltwise", bottoms, "y", params), layer("ReLU", "y", "z")]
    check(target, dict.fromkeys(names, shape), layers)


@settings(max_examples=10, deadline=None)
@given(target=MACHINES, data=st.data(), kind=st.sampled_from(["Scale", "Axpy", "Bias"]))
def test_a_factor_for_each_channel_of_each_image(target, data, kind):
    shape = images(data.draw)
    if kind == "Axpy":
        shapes = {"a": (*shape[:2], 1, 1), "x": shape, "y": shape}
        check(target, shapes, [layer("Axpy", "a x y", "z")])
    else:
        shapes = {"x": shape, "a": shape[:2]}
        params = f"{kind.lower()}_param {{ axis: 0 }}"
        check(target, shapes, [layer("ReLU", "x", "r"), layer(kind, "r a", "z", params)])


@settings(max_examples=10, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    batch=st.integers(1, 5) | st.sampled_from([15, 16, 37]),
    outputs=st.integers(1, 20),
)
def test_inner_product_over_maps_and_vectors(target, data, batch, outputs):
    shape = (batch, *images(data.draw)[1:])
    ip = f"inner_product_param {{ num_output: {outputs} }}"
    turned = f"inner_product_param {{ num_output: {outputs} transpose: true }}"
    layers = [
        layer("InnerProduct", "x", "a", ip),
        layer("ReLU", "a", "b"),
        layer("InnerProduct", "b", "c", turned),
        layer("TanH", "c", "d"),
        layer("Eltwise", "a d", "e"),
    ]
    check(target, {"x": shape}, layers)


@settings(max_examples=10, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    group=st.sampled_from(["one", "each"]),
    stride=st.integers(1, 3),
)
def test_deconvolution(target, data, group, stride):
    shape = images(data.draw, channels=st.integers(2, 20))
    groups = shape[1] if group == "each" else 1
    kernel = data.draw(st.integers(1, 4))
    pad = data.draw(st.integers(0, (kernel - 1) // 2))
    params = (
        f"convolution_param {{ num_output: {groups * (1 if groups > 1 else 7)} group: {groups} "
        f"kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    )
    layers = [layer("Deconvolution", "x", "y", params), layer("ReLU", "y", "y")]
    check(target, {"x": shape}, layers)


@settings(max_examples=2, deadline=None)
@given(target=MACHINES)
def test_a_deconvolution_of_a_very_large_stride(target):
    params = "convolution_param { num_output: 3 kernel_size: 2 stride: 100 }"
    layers = [layer("Deconvolution", "x", "y", params), layer("ReLU", "y", "y")]
    check(target, {"x": (1, 2, 3, 3)}, layers, compiled=False)


@settings(max_examples=25, deadline=None)
@given(target=MACHINES, data=st.data(), kernel=st.integers(1, 5), stride=st.integers(1, 3))
def test_convolutions_of_images(target, data, kernel, stride):
    n, c = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    shape = (n, c, *(data.draw(st.integers(kernel, 40)) for _ in "hw"))
    pads = [data.draw(st.integers(0, 4)) for _ in "hw"]
    params = (
        f"convolution_param {{ num_output: 9 kernel_size: {kernel} stride: {stride} "
        f"pad_h: {pads[0]} pad_w: {pads[1]} }}"
    )
    layers = [layer("Convolution", "x", "y", params), layer("ReLU", "y", "z")]
    if data.draw(st.booleans()):  # another reader of the image
        layers.append(layer("TanH", "x", "w"))
    check(target, {"x": shape}, layers, "exact")


@settings(max_examples=20, deadline=None)
@given(target=MACHINES, data=st.data(), optimize=st.booleans())
def test_parts_of_blobs(target, data, optimize):
    shape = list(images(data.draw, 2, st.integers(2, 40)))
    axis = data.draw(st.integers(0, 3))
    shape[axis] = max(shape[axis], 2)
    other = list(shape)
    other[axis] = data.draw(SIZES)
    point = data.draw(st.integers(1, shape[axis] - 1))
    layers = [
        layer("Concat", "x y x", "c", f"concat_param {{ axis: {axis} }}"),
        layer("ReLU", "c", "r"),
        layer("Slice", "c", "s t", f"slice_param {{ axis: {axis} slice_point: {point} }}"),
        layer("TanH", "s", "u"),
        layer("Crop", "c x", "v", "crop_param { axis: 2 }"),
    ]
    layers = layers if axis > 1 else layers[:4]
    check(target, {"x": tuple(shape), "y": tuple(other)}, layers, optimize)


@settings(max_examples=20, deadline=None)
@given(target=MACHINES, data=st.data(), order=st.permutations(range(4)))
def test_orders(target, data, order):
    shape = images(data.draw)
    named = " ".join(f"order: {axis}" for axis in order)
    layers = [
        layer("Permute", "x", "p", f"permute_param {{ {named} }}"),
        layer("Flatten", "p", "f"),
        layer("Flatten", "x", "g"),
        layer("Reshape", "p", "q", "reshape_param { shape { dim: 0 dim: 1 dim: -1 dim: 1 } }"),
        layer("Reshape", "p", "r", "reshape_param { shape { dim: 1 dim: 0 dim: 0 dim: -1 } }"),
        layer("Tile", "x", "t", "tile_param { axis: 1 tiles: 3 }"),
        layer("Tile", "f", "u", "tile_param { axis: 0 tiles: 2 }"),
    ]
    check(target, {"x": shape}, layers)


@settings(max_examples=10, deadline=None)
@given(target=MACHINES, data=st.data(), groups=st.integers(2, 5), each=st.integers(2, 12))
def test_shuffled_channels(target, data, groups, each):
    shape = images(data.draw, channels=st.just(groups * each))
    params = f"shuffle_channel_param {{ group: {groups} }}"
    check(target, {"x": shape}, [layer("ShuffleChannel", "x", "y", params)])


@settings(max_examples=15, deadline=None)
@given(target=MACHINES, data=st.data(), before=st.integers(1, 60), after=st.integers(1, 60))
def test_any_reshape(target, data, before, after):
    n, c, h, w = images(data.draw)
    shape = (n, c * after, h, w)
    dims = f"dim: {n} dim: {after} dim: {h} dim: {c * w}"
    layers = [
        layer("ReLU", "x", "r"),
        layer("Reshape", "r", "y", f"reshape_param {{ shape {{ {dims} }} }}"),
        layer("Reshape", "y", "z", "reshape_param { shape { dim: -1 dim: 2 } }"),
    ]
    layers = layers if n * c * after * h * w % 2 == 0 else layers[:2]
    check(target, {"x": shape}, layers)


def test_inputs_that_are_outputs(target):
    layers = [layer("ReLU", "x", "y"), layer("Flatten", "v", "w")]
    shapes = {"x": (1, 3, 40, 33), "v": (2, 6, 1, 1), "z": (2, 20, 7, 7)}
    check(target, shapes, layers)


@pytest.mark.parametrize("width, kernel", [(2, 3), (4, 5)])
def test_window_that_overhangs_a_narrow_input(width, kernel):
    """C's division gives it one place; what lies beyond a row's end is zero, not the next row."""
    conv = layer(
        "Convolution",
        "x",
        "y",
        f"convolution_param {{ num_output: 8 kernel_size: {kernel} stride: 2 }}",
    )
    check(runnable(HERE[-1]), {"x": (1, 16, 8, width)}, [conv])


def test_response_of_more_neighbours_than_channels():
    """No memory for channels that are not there."""
    lrn = layer("LRN", "x", "y", "lrn_param { local_size: 2147483647 alpha: 1e9 }")
    check(runnable(HERE[-1]), {"x": (1, 5, 2, 3)}, [lrn])


def test_definition_of_scalars():
    """A layer without a kernel of its own is given a scalar as one, not as a vector of one."""
    layers = [
        layer("Reduction", "x", "r", "reduction_param { operation: MEAN }"),
        layer("Scale", "r r", "y", "scale_param { axis: 1 }"),
    ]
    check(runnable(HERE[-1]), {"x": (2, 3)}, layers, compiled=False)


@settings(max_examples=20, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    variance=st.booleans(),
    kind=st.sampled_from(["MVN", "BatchNorm", "BN", "BN running"]),
)
def test_layers_that_take_their_own_statistics(target, data, variance, kind):
    n, c, h, w = images(data.draw)
    shape = (n, c, h + 4, w + 4)  # of few elements the deviation is what rounding leaves
    params = {
        "MVN": f"mvn_param {{ normalize_variance: {str(variance).lower()} eps: 0.01 }}",
        "BatchNorm": "batch_norm_param { use_global_stats: false eps: 0.1 }",
        "BN": "bn_param { scale_filler { } }",
        "BN running": "bn_param { slope_filler { } frozen: true }",
    }[kind]
    layers = [
        layer("TanH", "x", "t"),
        layer(kind.split()[0], "t", "y", params),
        layer("ReLU", "y", "z"),
    ]
    check(target, {"x": shape}, layers)


def test_statistics_of_many_pixels(target):
    layers = [layer("MVN", "x", "y"), layer("BatchNorm", "x", "z", BATCH)]
    check(target, {"x": (2, 19, 130, 97)}, layers, low=1.0, high=3.0)


BATCH = "batch_norm_param { use_global_stats: false }"


@settings(max_examples=15, deadline=None)
@given(target=MACHINES, data=st.data(), shared=st.booleans(), axes=st.sampled_from([2, 4]))
def test_normalize(target, data, shared, axes):
    shape = images(data.draw)[:axes]
    flags = f"across_spatial: {str(axes == 2).lower()} channel_shared: {str(shared).lower()}"
    check(target, {"x": shape}, [layer("Normalize", "x", "y", f"norm_param {{ {flags} }}")])


@settings(max_examples=15, deadline=None)
@given(target=MACHINES, data=st.data(), value=st.booleans(), axes=st.sampled_from([2, 4]))
def test_greatest_channel(target, data, value, axes):
    shape = images(data.draw)[:axes]
    params = f"argmax_param {{ axis: 1 out_max_val: {str(value).lower()} }}"
    step = layer("Threshold", "x", "t")  # many equal ones
    check(target, {"x": shape}, [step, layer("ArgMax", "t", "y", params)])
    check(target, {"x": shape}, [layer("ArgMax", "x", "y", params)])


@settings(max_examples=25, deadline=None)
@given(target=MACHINES, data=st.data(), crop=st.integers(0, 2))
def test_interp(target, data, crop):
    n, c, h, w = images(data.draw)
    shape = (n, c, h + crop + 1, w + crop + 1)
    size = data.draw(
        st.sampled_from(
            [
                f"height: {data.draw(SIZES)} width: {data.draw(st.integers(1, 30))}",
                f"height: {h} width: {w}",
                f"zoom_factor: {data.draw(st.integers(1, 4))}",
                f"shrink_factor: {data.draw(st.integers(1, 3))}",
            ]
        )
    )
    params = f"interp_param {{ {size} pad_beg: {-crop} pad_end: -1 }}"
    check(target, {"x": shape}, [layer("Interp", "x", "y", params)])


@settings(max_examples=10, deadline=None)
@given(target=MACHINES, data=st.data(), factor=st.integers(1, 4))
def test_repeated_elements(target, data, factor):
    params = f"upsample_param {{ scale: {factor} }}"
    check(target, {"x": images(data.draw)}, [layer("Upsample", "x", "y", params)])


UNPOOL = "upsample_param { scale: 2 }"


@settings(max_examples=15, deadline=None)
@given(target=MACHINES, data=st.data(), kernel=st.integers(2, 3))
def test_elements_back_where_pooling_found_them(target, data, kernel):
    n, c, h, w = images(data.draw)
    shape = (n, c, 2 * h, 2 * w)
    pool = f"pooling_param {{ kernel_size: {kernel} stride: 2 }}"  # 3: windows that overlap
    layers = [
        layer("Pooling", "x", "p mask", pool.replace("3", "3 pad: 1 round_mode: FLOOR")),
        layer("TanH", "p", "t"),
        layer("Upsample", "t mask", "y", UNPOOL),
    ]
    check(target, {"x": shape}, layers, compiled=False)


@pytest.mark.parametrize("wrong", [-1.0, 16.0, np.nan])
def test_a_mask_of_another_size(wrong):
    shapes = {"x": (1, 3, 2, 2), "mask": (1, 3, 2, 2)}
    source = Source("net", text_of(shapes, [layer("Upsample", "x mask", "y", UNPOOL)]))
    mask = np.zeros((1, 3, 2, 2), np.float32)
    mask[0, 1, 1, 0] = wrong
    for name in ("cpu", "reference"):
        with pytest.raises(NetcError, match=r"index-out-of-range.*l_y"):
            netc.compile(source, backend=name)(x=mask, mask=mask)


REGIONS = {
    "ROIPooling": "roi_pooling_param {{ pooled_h: {0} pooled_w: {1} spatial_scale: 0.5 }}",
    "PSROIPooling": "psroi_pooling_param {{ output_dim: {1} group_size: {0} spatial_scale: 0.5 }}",
}


@settings(max_examples=25, deadline=None)
@given(
    target=MACHINES, data=st.data(), kind=st.sampled_from(sorted(REGIONS)), seed=st.integers(0, 9)
)
def test_pooling_over_regions(target, data, kind, seed):
    n, c, h, w = images(data.draw)
    first, second = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    c = second * first**2 if kind == "PSROIPooling" else c
    count = data.draw(st.integers(1, 7))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, c, h, w)).astype(np.float32)
    rows = rng.uniform(-4, 22, (count, 5)).astype(np.float32)  # some outside, some turned around
    rows[:, 0] = rng.integers(0, n, count)
    layers = [
        layer("TanH", "x", "t"),
        layer(kind, "t rois", "y", REGIONS[kind].format(first, second)),
        layer("ReLU", "y", "z"),
    ]
    source = Source("net", text_of({"x": x.shape, "rois": rows.shape}, layers))
    want = netc.compile(source, backend="reference")(x=x, rois=rows)["z"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "machine", lambda: target)
        for threads in (1, 2):
            net = netc.compile(source, threads=threads)
            close(net(x=x, rois=rows)["z"], want)
    rows[-1, 0] = n
    with pytest.raises(NetcError, match=r"l_y.*region is of image"):
        net(x=x, rois=rows)


def test_regions_pass_over_what_is_no_number(target):
    """roi_pooling_layer.cpp compares with -FLT_MAX first."""
    x = np.full((1, 2, 4, 4), np.nan, np.float32)
    x[0, 0, 0, 0], x[0, 1] = 3, -np.inf
    source = Source(
        "net",
        text_of(
            {"x": x.shape, "rois": (1, 5)},
            [layer("ROIPooling", "x rois", "y", REGIONS["ROIPooling"].format(2, 2))],
        ),
    )
    rois = np.float32([[0, 0, 0, 6, 6]])
    lowest = np.finfo(np.float32).min
    for name in ("cpu", "reference"):
        y = netc.compile(source, backend=name)(x=x, rois=rois)["y"]
        np.testing.assert_array_equal(y[0, 0], [[3, lowest], [lowest, lowest]])
        np.testing.assert_array_equal(y[0, 1], lowest)


@settings(max_examples=20, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    levels=st.integers(1, 4),
    method=st.sampled_from(["MAX", "AVE"]),
)
def test_pooling_over_a_pyramid(target, data, levels, method):
    n, c, h, w = images(data.draw)
    sizes = [2 ** (levels - 1) + size - 1 for size in (h, w)]
    params = f"spp_param {{ pyramid_height: {levels} pool: {method} }}"
    layers = [layer("TanH", "x", "t"), layer("SPP", "t", "y", params), layer("ReLU", "y", "z")]
    source = Source("net", text_of({"x": (n, c, *sizes)}, layers))
    try:
        netc.compile(source, backend="reference")
    except NetcError:
        assume(False)  # a bin would lie in padding alone
    check(target, {"x": (n, c, *sizes)}, layers)


@settings(max_examples=20, deadline=None)
@given(
    target=MACHINES,
    data=st.data(),
    kind=st.sampled_from(["LSTM", "RNN"]),
    static=st.booleans(),
    exposed=st.booleans(),
)
def test_recurrent_layers(target, data, kind, static, exposed):
    steps, streams, width = (data.draw(st.integers(1, n)) for n in (5, 4, 40))
    hidden = data.draw(st.integers(1, 20))
    states = ["h", "c"][: 2 if kind == "LSTM" else 1] if exposed else []
    shapes = {"x": (steps, streams, width), "cont": (steps, streams)}
    shapes |= {"s": (streams, 7)} if static else {}
    shapes |= dict.fromkeys(states, (1, streams, hidden))
    params = f"recurrent_param {{ num_output: {hidden} expose_hidden: {str(exposed).lower()} }}"
    layers = [
        layer("TanH", "x", "t"),
        layer("Threshold", "cont", "k"),
        layer(
            kind,
            " ".join(["t", "k", *list(shapes)[2:]]),
            " ".join(["y", *(s + "1" for s in states)]),
            params,
        ),
        layer("InnerProduct", "y", "z", "inner_product_param { num_output: 5 axis: 2 }"),
    ]
    check(target, shapes, layers, compiled=not (static or exposed))


@settings(max_examples=12, deadline=None)
@given(data=st.data(), target=MACHINES, power=st.sampled_from([2.0, 1.0, 0.5, 3.0]))
def test_norms_of_windows(data, target, power):
    shape = images(data.draw)
    kernel = [data.draw(st.integers(1, size)) for size in shape[2:]]
    pad = [data.draw(st.integers(0, (k - 1) // 2)) for k in kernel]
    params = (
        f"pooling_param {{ kernel_h: {kernel[0]} kernel_w: {kernel[1]} pad_h: {pad[0]} "
        f"pad_w: {pad[1]} stride: {data.draw(st.integers(1, 3))} }}"
    )
    norm = f"{params} lp_pooling_param {{ p: {power} }}"
    check(target, {"x": shape}, [layer("LpPooling", "x", "y", norm)])


@settings(max_examples=15, deadline=None)
@given(data=st.data(), target=MACHINES, bias=st.booleans(), group=st.sampled_from([1, 2, 3]))
def test_weights_of_each_place(data, target, bias, group):
    shape = images(data.draw, 3, st.integers(1, 9).map(lambda n: n * group))
    params = (
        f"convolution_param {{ num_output: {group * data.draw(st.integers(1, 20))} group: {group} "
        f"kernel_h: {data.draw(st.integers(1, 3))} kernel_w: {data.draw(st.integers(1, 3))} "
        f"pad: {data.draw(st.integers(0, 2))} stride: {data.draw(st.integers(1, 2))} "
        f"dilation: {data.draw(st.integers(1, 2))} bias_term: {str(bias).lower()} }}"
    )
    try:
        check(target, {"x": shape}, [layer("LocallyConnected", "x", "y", params)])
    except NetcError as error:
        assume("larger than the padded" not in str(error))
        raise


def test_weights_of_each_place_in_another_shape(target):
    params = "local_param { num_output: 21 kernel_size: 3 pad: 1 stride: 2 }"
    check(target, {"x": (2, 5, 7, 6)}, [layer("Local", "x", "y", params)])
