from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from netc.cli.main import main
from netc.diagnostics import Source
from netc.frontend import read_net
from netc.surgery.fold import Folded, fold
from netc.weights import load_weights, save_weights
from tests.strategies import nets
from tests.surgery.nets import answers, layer_types, noise, weights_of, with_input

BN = 'layer {{ name: "{0}" type: "BatchNorm" bottom: "{1}" top: "{2}" }}\n'
SCALE = (
    'layer {{ name: "{0}" type: "Scale" bottom: "{1}" top: "{2}" '
    "scale_param {{ bias_term: true }} }}\n"
)
CONV = (
    'layer {{ name: "{0}" type: "{3}" bottom: "{1}" top: "{2}" convolution_param {{ '
    "num_output: 6 kernel_size: 3 {4} }} }}\n"
)
IP = (
    'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{2}" '
    "inner_product_param {{ num_output: 5 }} }}\n"
)
RELU = 'layer {{ name: "r" type: "ReLU" bottom: "{0}" top: "{0}" }}\n'


def folded(text: str, *shape: int) -> Folded:
    """A net folded, with the outputs of both compared here too, as in the files."""
    net = with_input(text, *shape)
    weights = weights_of(net)
    made = fold(net, weights)
    feeds = {"data": noise(*shape)}
    old, new = answers(net, weights, feeds), answers(made.message, made.weights, feeds)
    assert old.keys() == new.keys()
    for name, array in old.items():
        np.testing.assert_allclose(new[name], array, rtol=1e-4, atol=1e-5 * np.abs(array).max())
    return made


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("fields", ["", "bias_term: false", "group: 2", "pad: 1 stride: 2"])
@pytest.mark.parametrize("form", ["both", "both in place", "BatchNorm", "Scale"])
def test_maps_behind_a_product_go(kind: str, fields: str, form: str) -> None:
    text = CONV.format("c", "data", "c", kind, fields)
    top = "c" if "in place" in form else "n"
    if form != "Scale":
        text += BN.format("n", "c", top)
    if form != "BatchNorm":
        text += SCALE.format("s", top if form != "Scale" else "c", top)
    made = folded(text + RELU.format(top), 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", kind, "ReLU"]
    assert len(made.weights["c"]) == 2


def test_maps_before_a_product_go_where_there_is_no_padding() -> None:
    text = BN.format("n", "data", "n") + SCALE.format("s", "n", "n")
    made = folded(text + CONV.format("c", "n", "c", "Convolution", "group: 2"), 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", "Convolution"]
    padded = folded(text + CONV.format("c", "n", "c", "Convolution", "pad: 1"), 2, 4, 7, 7)
    assert layer_types(padded.message) == ["Input", "Scale", "Convolution"]
    assert [d.code for d in padded.kept] == ["not-folded"]
    assert "padding of `c`" in padded.kept[0].message
    span = padded.kept[0].span
    assert span is not None and span.line == 3


def test_maps_before_an_inner_product_go() -> None:
    text = BN.format("n", "data", "n") + SCALE.format("s", "n", "n") + IP.format("i", "n", "i")
    assert layer_types(folded(text, 3, 4, 5, 5).message) == ["Input", "InnerProduct"]


def test_maps_between_activations_become_one_scale() -> None:
    text = RELU.format("data") + BN.format("n", "data", "n") + SCALE.format("s", "n", "s")
    made = folded(text + 'layer { name: "t" type: "TanH" bottom: "s" top: "t" }', 2, 3, 4, 4)
    assert layer_types(made.message) == ["Input", "ReLU", "Scale", "TanH"]


def test_nvidias_and_segnets_normalisations_go() -> None:
    text = CONV.format("c", "data", "c", "Convolution", "")
    nvidia = 'layer { name: "n" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param {'
    made = folded(text + nvidia + " scale_bias: true } }", 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", "Convolution"]
    segnet = 'layer { name: "n" type: "BN" bottom: "c" top: "c" bn_param { bn_mode: INFERENCE } }'
    assert layer_types(folded(text + segnet, 2, 4, 7, 7).message) == ["Input", "Convolution"]


def test_a_product_that_shares_its_weights_gets_its_own() -> None:
    shared = 'param {{ name: "w" }} param {{ name: "b" }}'.format()
    text = CONV.format("a", "data", "a", "Convolution", "").replace("convolution_param", shared + " convolution_param")  # fmt: skip  # noqa: E501
    text += CONV.format("b", "data", "b", "Convolution", "").replace("convolution_param", shared + " convolution_param")  # fmt: skip  # noqa: E501
    made = folded(text + BN.format("n", "a", "n"), 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", "Convolution", "Convolution"]
    assert not np.array_equal(made.weights["a"][0], made.weights["b"][0])


def test_a_blob_that_another_layer_reads_keeps_its_value() -> None:
    text = CONV.format("c", "data", "c", "Convolution", "") + BN.format("n", "c", "n")
    text += 'layer { name: "t" type: "TanH" bottom: "c" top: "t" }'
    made = folded(text, 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", "Convolution", "BatchNorm", "TanH"]
    assert "needed elsewhere" in made.kept[0].message


def test_statistics_of_the_batch_stay() -> None:
    text = CONV.format("c", "data", "c", "Convolution", "")
    text += BN.format("n", "c", "n").replace('top: "n"', 'top: "n" batch_norm_param { use_global_stats: false }')  # fmt: skip  # noqa: E501
    made = folded(text, 2, 4, 7, 7)
    assert layer_types(made.message) == ["Input", "Convolution", "BatchNorm"]
    assert "the batch's own statistics" in made.kept[0].message


@settings(max_examples=25, deadline=None)
@given(nets())
def test_random_nets_are_what_they_were(source: Source) -> None:
    net = read_net(source).message
    weights = weights_of(net)
    made = fold(net, weights)
    assert fold(made.message, made.weights).changes == ()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text = """# a net
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [1, 4, 6, 6] } } }
# the convolution
""" + CONV.format("c", "data", "c", "Convolution", "bias_term: false")
    text += "# normalised\n" + BN.format("n", "c", "c") + SCALE.format("s", "c", "c")
    net.write_text(text, encoding="utf-8")
    message = read_net(net).message
    save_weights(weights, weights_of(message), message)
    new = tmp_path / "new.prototxt"
    assert main(["fold", str(net), str(weights), "-o", str(new)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{net}:6:1: `n`: BatchNorm folded into the Convolution before it (`c`)"
    assert told[-1].startswith(f"wrote {new} and {tmp_path / 'new.caffemodel'}: 2 folds, 1 blob")
    text = new.read_text(encoding="utf-8")
    assert "# the convolution" in text and "normalised" not in text and "bias_term" not in text
    assert len(load_weights(tmp_path / "new.caffemodel")["c"]) == 2
    assert main(["fold", str(net), str(weights), "-o", str(new)]) == 1
    assert "file-exists" in capsys.readouterr().err
    assert main(["fold", str(net), str(weights)]) == 1
    assert "nothing says where the new weights go" in capsys.readouterr().err
