"""The net a person holds: its names and shapes, changing input sizes, threads, wrong inputs."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, NetcWarning, Source

DIGITS = Path(__file__).resolve().parent.parent / "prototxt" / "digits"

TEXT = Source(
    "small.prototxt",
    """
    layer { name: "data" type: "Input" top: "data"
            input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
    layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
    layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
            pooling_param { pool: AVE global_pooling: true } }
    layer { name: "fc" type: "InnerProduct" bottom: "pool1" top: "fc"
            inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
    """,
)


@pytest.fixture
def net(backend: str) -> netc.CompiledNet:
    return netc.compile(TEXT, backend=backend)


def image(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_names_and_shapes(net: netc.CompiledNet) -> None:
    assert net.inputs == {"data": (1, 3, 8, 8)}
    assert net.outputs == {"fc": (1, 5)}
    assert net.shapes["conv1"] == (1, 4, 6, 6)
    assert [a.shape for a in net.params["conv1"]] == [(4, 3, 3, 3), (4,)]
    assert not net.params["conv1"][0].flags.writeable


def test_what_stood_before_an_in_place_layer_can_be_asked_for() -> None:
    net = netc.compile(TEXT, outputs=("conv1@conv1", "conv1"))
    out = net(data=image(1, 3, 8, 8))
    assert out["conv1@conv1"].min() < 0
    np.testing.assert_array_equal(np.maximum(out["conv1@conv1"], 0), out["conv1"])


def test_sizes_may_change_from_call_to_call(net: netc.CompiledNet) -> None:
    small, large = image(1, 3, 8, 8), image(2, 3, 11, 9)
    first = net(data=small)["fc"]
    assert net(data=large)["fc"].shape == (2, 5)
    np.testing.assert_array_equal(net(data=small)["fc"], first)


def test_an_image_alone_and_in_a_batch_give_the_same(net: netc.CompiledNet) -> None:
    batch = image(3, 3, 8, 8)
    together = net(data=batch)["fc"]
    for index in range(3):
        np.testing.assert_allclose(
            net(data=batch[index : index + 1])["fc"][0], together[index], rtol=1e-5, atol=1e-6
        )


def test_one_net_serves_many_threads(net: netc.CompiledNet) -> None:
    images = [image(1, 3, 8, 8, seed=seed) for seed in range(4)]
    want = [net(data=x)["fc"] for x in images]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(20):
            if not np.array_equal(net(data=images[index])["fc"], want[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    batch = image(2, 3, 8, 8)
    results = [netc.compile(TEXT, threads=n)(data=batch)["fc"] for n in (1, 2, 3)]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_outputs_belong_to_the_caller(net: netc.CompiledNet) -> None:
    first = net(data=image(1, 3, 8, 8))["fc"]
    kept = first.copy()
    net(data=image(1, 3, 8, 8, seed=1))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("feeds", "code", "words"),
    [
        ({}, "missing-input", ["`data`", "1x3x8x8"]),
        ({"data": image(1, 3, 8, 8), "label": image(1)}, "unknown-input", ["`label`", "`data`"]),
        ({"data": image(1, 4, 8, 8)}, "input-shape", ["1x4x8x8", "1x3x8x8"]),
        ({"data": image(1, 3, 2, 2)}, "input-shape", ["1x3x2x2", "1x3x8x8"]),
        ({"data": image(3, 8, 8)}, "input-shape", ["3x8x8", "1x3x8x8"]),
        ({"data": np.full((1, 3, 8, 8), 1e39)}, "input-dtype", ["float64", "float32"]),
        ({"data": np.full((1, 3, 8, 8), 2**24 + 1)}, "input-dtype", ["int64", "float32"]),
        ({"data": np.full((1, 3, 8, 8), 1j)}, "input-dtype", ["complex128", "float32"]),
        ({"data": np.full((1, 3, 8, 8), "x", dtype=object)}, "input-dtype", ["object", "float32"]),
    ],
)
def test_an_input_that_does_not_fit(
    net: netc.CompiledNet, feeds: dict[str, Any], code: str, words: list[str]
) -> None:
    with pytest.raises(NetcError) as caught:
        net(feeds)
    assert caught.value.diagnostics[0].code == code
    for word in words:
        assert word in str(caught.value)


def test_integers_that_are_exact_are_taken(net: netc.CompiledNet) -> None:
    pixels = np.arange(192).reshape(1, 3, 8, 8)
    np.testing.assert_array_equal(net(data=pixels)["fc"], net(data=pixels.astype(np.float32))["fc"])
    with pytest.raises(NetcError, match="input-dtype"):
        net(data=np.full((1, 3, 8, 8), 2**24 + 1))


def test_an_input_that_is_rewritten_in_place_keeps_its_name(backend: str) -> None:
    """People feed `data`, whatever the first layers make of it."""
    text = (
        'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "p" type: "Power" bottom: "data" top: "data" power_param { scale: 3 } }'
        'layer { name: "q" type: "Power" bottom: "data" top: "y" power_param { shift: 1 } }'
    )
    net = netc.compile(Source("net", text), backend=backend)
    assert net.inputs == {"data": (1, 2)}
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(net(data=x)["y"], [[4, 4]])
    np.testing.assert_array_equal(net({"data@in": x})["y"], [[4, 4]])
    with pytest.raises(NetcError, match=r"missing-input.*`data` is not given"):
        net({})
    with pytest.raises(NetcError, match=r"input-dtype.*`data` is complex128"):
        net(data=np.ones((1, 2), np.complex128))


def test_the_text_tells_a_label_where_the_caller_tells_the_data() -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" data_param { batch_size: 4 } }'
        'layer { name: "r" type: "ReLU" bottom: "data" top: "a" }'
    )
    net = netc.compile(Source("net", text), inputs={"data": (4, 3, 2, 2)})
    assert net.inputs == {"data": (4, 3, 2, 2), "label": (4,)}


def test_a_batch_of_nothing_gives_nothing(net: netc.CompiledNet) -> None:
    """A detector that has found nothing feeds such batches."""
    outputs = net(data=np.zeros((0, 3, 8, 8), np.float32))
    assert {name: array.shape for name, array in outputs.items()} == {
        name: (0, *shape[1:]) for name, shape in net.outputs.items()
    }


@pytest.mark.parametrize("layer", ["Softmax", "MVN", "Pooling"])
def test_no_work_is_done_for_no_elements(backend: str, layer: str) -> None:
    """However large the other sizes are, and where there is no largest element or mean."""
    source = Source(
        "net",
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 0 '
        f'dim: 2147483647 dim: 6 }} }} }} layer {{ name: "y" type: "{layer}" bottom: "x" top: "y" '
        + ("pooling_param { pool: AVE global_pooling: true } }" if layer == "Pooling" else "}"),
    )
    net = netc.compile(source, backend=backend)
    outputs = net(x=np.zeros((2, 0, 2147483647, 6), np.float32))
    assert outputs["y"].size == 0 and outputs["y"].shape == net.outputs["y"]


def test_a_size_is_an_int_even_beside_a_zero() -> None:
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 0 dim: 4294967295 } } '
        '} layer { name: "y" type: "ReLU" bottom: "x" top: "y" }'
    )
    with pytest.raises(NetcError, match=r"blob-too-large.*a size of 4,294,967,295, more than"):
        netc.compile(Source("net", text))


def test_unknown_output_backend_and_phase() -> None:
    with pytest.raises(NetcError, match=r"unknown-output.*`conv2`.*\n.*did you mean `conv1`"):
        netc.compile(TEXT, outputs=("conv2",))
    with pytest.raises(NetcError, match=r"unknown-backend.*`gpu`.*\n.*a GPU is backend `cuda`"):
        netc.compile(TEXT, backend="gpu")
    with pytest.raises(NetcError, match=r"unknown-phase.*`test`.*\n.*did you mean `TEST`"):
        netc.compile(TEXT, phase="test")


def test_the_report_has_three_numbers_of_memory() -> None:
    report = netc.compile(DIGITS / "deploy.prototxt", threads=1).report()
    assert report["arena_bytes"] >= report["arena_floor_bytes"] > 0
    assert report["workspace_bytes"] > 0
    assert report["weights_bytes"] == 4 * (160 + 4640 + 8256 + 650)


def test_an_array_of_another_library_that_refuses_says_why() -> None:
    class Tensor:
        def __array__(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("it requires grad")

    with pytest.raises(NetcError, match=r"input-dtype.*`data` is no array: it requires grad"):
        netc.compile(TEXT, backend="reference")(data=Tensor())


def whole(value: float) -> Any:
    return np.full((2, 3), value, np.float32)


def dummy(fillers: str, backend: str = "cpu", **arguments: Any) -> netc.CompiledNet:
    text = f"""
        layer {{ name: "made" type: "DummyData" top: "a" top: "b" dummy_data_param {{
            shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 dim: 3 }} {fillers} }} }}
        layer {{ name: "in_place" type: "ReLU" bottom: "a" top: "a" }}
        layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }}
    """
    return netc.compile(Source("dummy.prototxt", text), backend=backend, **arguments)


def test_dummy_data_is_filled_where_it_is_not_fed(backend: str) -> None:
    net = dummy("data_filler { value: 1.5 } data_filler { value: -4 }", backend)
    assert list(net.inputs) == ["a", "b"]
    np.testing.assert_array_equal(net()["sum"], np.full((2, 3), -2.5))
    np.testing.assert_array_equal(net(a=whole(7))["sum"], np.full((2, 3), 3))
    np.testing.assert_array_equal(net({"a@made": whole(1)})["sum"], np.full((2, 3), -3))


def test_dummy_data_without_a_filler_is_zero_and_what_is_given_back_is_ones_own() -> None:
    net = dummy("", outputs=("b",))
    net()["b"][:] = 9
    np.testing.assert_array_equal(net()["b"], np.zeros((2, 3)))


def test_random_dummy_data_follows_from_the_seed_and_the_blob() -> None:
    filler = 'data_filler { type: "gaussian" std: 2 }'
    out = [dummy(filler, outputs=("a@made", "b"), seed=seed)() for seed in (1, 1, 2)]
    np.testing.assert_array_equal(out[0]["b"], out[1]["b"])
    assert (out[0]["b"] != out[2]["b"]).all()
    assert (out[0]["b"] != out[0]["a@made"]).all()


def test_dummy_data_has_the_shape_that_is_asked_for() -> None:
    net = dummy("data_filler { value: 2 }", inputs={"a": (5, 3), "b": (5, 3)})
    np.testing.assert_array_equal(net()["sum"], np.full((5, 3), 4))


def test_a_filler_that_cannot_fill_is_told_unless_it_is_fed() -> None:
    net = dummy('data_filler { type: "bilinear" }')
    with pytest.raises(NetcError, match="input `a`: filler `bilinear` needs an array of 4 axes"):
        net()
    np.testing.assert_array_equal(net(a=whole(1), b=whole(1))["sum"], np.full((2, 3), 2))


def test_float64_is_rounded_and_that_is_said_once_for_each_input(net: netc.CompiledNet) -> None:
    precise = np.random.default_rng(0).standard_normal((1, 3, 8, 8))
    with pytest.warns(NetcWarning, match=r"note\[rounded-input\]: input `data` is float64") as told:
        first = net(data=precise)["fc"]
        second = net(data=np.where(precise > 0, np.inf, precise))["fc"]
    assert len(told) == 1 and told[0].filename == __file__
    assert not np.isfinite(second).all()
    np.testing.assert_array_equal(first, net(data=precise.astype(np.float32))["fc"])


def test_a_net_that_is_all_zeros_for_want_of_weights_is_told() -> None:
    conv = 'layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 2 kernel_size: 1 } }'  # noqa: E501
    fc = 'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 2 FILLER } }'  # noqa: E501
    head = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 1, 2, 2] } } }'
    filler = 'weight_filler { type: "xavier" }'
    bare, half = (head + conv + fc.replace("FILLER", f) for f in ("", filler))
    with pytest.warns(NetcWarning, match=r"zero-weights.*all layers with weights") as told:
        net = netc.compile(text=bare)
    assert told[0].filename == __file__
    assert [d.code for d in net.diagnostics] == ["zero-weights"]
    with pytest.warns(NetcWarning, match=r"zero-weights.*1 layer, `a`, has no filler"):
        netc.compile(text=half)
    ones = {"a": [np.ones((2, 1, 1, 1)), np.zeros(2)], "b": [np.zeros((2, 8)), np.zeros(2)]}
    assert netc.compile(text=bare, weights=ones).diagnostics == ()
    assert netc.compile(text=half, outputs="x").diagnostics == ()


def test_a_text_may_be_given_as_such() -> None:
    net = netc.compile(text=TEXT.text)
    assert net.outputs == {"fc": (1, 5)}
    assert netc.read_net(text=TEXT.text).message.get("layer")
    with pytest.raises(NetcError, match=r"<text>:1:8: error\[unknown-field\]"):
        netc.compile(text="layer{ nam: 2 }")
    for arguments in ({"net": TEXT, "text": "x"}, {"text": 3}, {}):
        with pytest.raises(NetcError, match="bad-argument"):
            netc.compile(**arguments)


def test_a_net_can_be_pickled_and_copied(net: netc.CompiledNet) -> None:
    x = image(1, 3, 8, 8)
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net), copy.copy(net)):
        assert other is not net and repr(other) == repr(net)
        np.testing.assert_array_equal(other(data=x)["fc"], net(data=x)["fc"])
        assert not other.params["conv1"][0].flags.writeable
        assert other.diagnostics == net.diagnostics


def test_what_was_asked_for_goes_along_when_a_net_is_pickled() -> None:
    net = netc.compile(TEXT, outputs="conv1", optimize="exact", threads=1, progress=print)
    other = pickle.loads(pickle.dumps(net))
    assert list(other.outputs) == ["conv1"]
    assert other.options.exact and other.options.threads == 1 and other.options.progress is None


def test_a_closed_net_says_so() -> None:
    with netc.compile(TEXT) as net:
        net(data=image(1, 3, 8, 8))
    net.close()
    with pytest.raises(NetcError, match="closed-net"):
        net(data=image(1, 3, 8, 8))
    assert net.outputs == {"fc": (1, 5)}


def test_completion_shows_the_public_names() -> None:
    assert set(netc.__all__) <= set(dir(netc))
