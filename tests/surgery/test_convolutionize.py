from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.backends.reference import run
from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.infer import inferred
from netc.surgery.convolutionize import convolutionize
from netc.surgery.sliding import sliding_scores
from netc.weights import save_weights
from tests.surgery.nets import answers, graph_of, layer_types, net_of, noise, weights_of, with_input

LENET = """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 5 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 10 } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 transpose: true } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

# The textbook's net: five halvings, 224 -> 7 and 384 -> 12, then a 7x7 product: 6x6 scores.
HALVING = """
layer {{ name: "c{0}" type: "Convolution" bottom: "{1}" top: "c{0}"
  convolution_param {{ num_output: 2 kernel_size: 3 pad: {2} }} }}
layer {{ name: "p{0}" type: "Pooling" bottom: "c{0}" top: "p{0}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""


def textbook(pad: int = 1) -> str:
    bottoms = ["data", "p0", "p1", "p2", "p3"]
    body = "".join(HALVING.format(n, bottom, pad) for n, bottom in enumerate(bottoms))
    return body + (
        'layer { name: "fc6" type: "InnerProduct" bottom: "p4" top: "fc6"'
        " inner_product_param { num_output: 8 } }\n"
        'layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }\n'
        'layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"'
        " inner_product_param { num_output: 5 } }\n"
        'layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }\n'
    )


def test_the_textbooks_case_gives_six_by_six_scores() -> None:
    net = with_input(textbook(), 1, 3, 224, 224)
    made = convolutionize(net, weights_of(net), sizes={"data": (1, 3, 384, 384)})
    assert made.graph.shape("prob") == (1, 5, 6, 6)
    (window,) = made.windows
    assert (window.scores, window.stride) == ((6, 6), (32, 32))
    assert window.padding[0] > 0
    assert "7x7" in made.changes[0].message and "1x1" in made.changes[1].message


def test_scores_are_those_of_crops_where_nothing_is_padded() -> None:
    net = with_input(LENET, 1, 1, 28, 28)
    weights = weights_of(net)
    made = convolutionize(net, weights, sizes={"data": (1, 1, 36, 44)})
    image = noise(1, 1, 36, 44)
    scores = answers(made.message, made.weights, {"data": image})["prob"]
    assert scores.shape == (1, 3, 3, 5)
    for row in range(3):
        for column in range(5):
            crop = image[:, :, 4 * row : 4 * row + 28, 4 * column : 4 * column + 28]
            wanted = answers(net, weights, {"data": crop})["prob"][0]
            np.testing.assert_allclose(scores[0, :, row, column], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_shifted_passes_stitched_are_the_scores_of_all_crops(step: int) -> None:
    net = with_input(LENET, 1, 1, 28, 28)
    weights = weights_of(net)
    made = convolutionize(net, weights)
    graph = graph_of(made.message, made.weights)
    image = noise(1, 1, 33, 39)

    def forward(fed):  # type: ignore[no-untyped-def]
        return run(inferred(graph, {"data": fed["data"].shape}), fed)

    scores = sliding_scores(
        forward, {"data": image}, image="data", window=(28, 28), stride=(4, 4), step=step
    )["prob"]
    assert scores.shape == (1, 3, 5 // step + 1, 11 // step + 1)
    for row in range(scores.shape[2]):
        for column in range(scores.shape[3]):
            top, left = step * row, step * column
            crop = image[:, :, top : top + 28, left : left + 28]
            wanted = answers(net, weights, {"data": crop})["prob"][0]
            np.testing.assert_allclose(scores[0, :, row, column], wanted, rtol=1e-4, atol=1e-6)


def test_there_and_back_again_is_the_same_net() -> None:
    net = with_input(LENET, 2, 1, 28, 28)
    weights = weights_of(net)
    there = convolutionize(net, weights, suffix="-conv")
    assert layer_types(there.message).count("InnerProduct") == 0
    assert {"ip1-conv", "ip2-conv"} <= set(there.weights)
    back = convolutionize(there.message, there.weights, reverse=True)
    assert layer_types(back.message) == layer_types(net)
    np.testing.assert_array_equal(back.weights["ip1-conv"][0], weights["ip1"][0])


def test_a_flatten_between_goes() -> None:
    text = LENET.replace(
        'layer { name: "ip1" type: "InnerProduct" bottom: "pool2"',
        'layer { name: "flat" type: "Flatten" bottom: "pool2" top: "flat" }\n'
        'layer { name: "ip1" type: "InnerProduct" bottom: "flat"',
    )
    net = with_input(text, 1, 1, 28, 28)
    made = convolutionize(net, weights_of(net), sizes={"data": (1, 1, 40, 40)})
    assert "Flatten" not in layer_types(made.message)
    assert made.graph.shape("prob") == (1, 3, 4, 4)


def test_a_net_without_inner_products_of_images_is_refused() -> None:
    net = with_input(LENET.split('layer { name: "ip1"')[0], 1, 1, 28, 28)
    with pytest.raises(NetcError) as caught:
        convolutionize(net, weights_of(net))
    assert caught.value.diagnostics[0].code == "nothing-to-convert"


def test_the_command_slides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }'  # noqa: E501
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(text + "\n# a comment" + LENET, encoding="utf-8")
    net = net_of(path.read_text(encoding="utf-8"))
    save_weights(weights, weights_of(net), net)
    np.save(tmp_path / "image.npy", noise(1, 1, 32, 32))
    new, scores = tmp_path / "new.prototxt", tmp_path / "scores.npz"
    command = ["convolutionize", str(path), str(weights), "-o", str(new)]
    command += ["--input-shape", "data=1,1,32,32", "-i", str(tmp_path / "image.npy")]
    assert main([*command, "--stride", "2", "--save", str(scores)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"prob: 1x3x3x3 scores, in {scores}"
    assert "`prob` is 2x2: one score every 4x4 pixels, each of 28x28" in told
    assert "# a comment" in new.read_text(encoding="utf-8")
    assert np.load(scores)["prob"].shape == (1, 3, 3, 3)
    assert main([*command, "--stride", "3", "--force"]) == 1
    assert "does not divide" in capsys.readouterr().err


VECTORS = """
layer { name: "r" type: "Reshape" bottom: "data" top: "r"
  reshape_param { shape { dim: 1 dim: 784 } } }
layer { name: "p" type: "Softmax" bottom: "r" top: "p" }
layer { name: "f" type: "InnerProduct" bottom: "p" top: "f"
  inner_product_param { num_output: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "f" bottom: "ip2" top: "sum" }
"""


def test_elementwise_layers_between_a_flatten_and_a_product_take_maps() -> None:
    between = VECTORS.replace('"Softmax" bottom: "r" top: "p"', '"ReLU" bottom: "r" top: "p"')
    net = with_input(LENET + between, 1, 1, 28, 28)
    kinds = {
        x.get("name"): x.get("type")
        for x in convolutionize(net, weights_of(net)).message.get("layer")
    }
    assert "r" not in kinds
    assert (kinds["p"], kinds["f"]) == ("ReLU", "Convolution")


def test_a_flatten_of_a_vector_goes_so_that_maps_stay_maps() -> None:
    more = (
        'layer { name: "v" type: "Flatten" bottom: "ip2" top: "v" }'
        'layer { name: "s" type: "Softmax" bottom: "v" top: "s" }'
    )
    net = with_input(LENET + more, 1, 1, 28, 28)
    made = convolutionize(net, weights_of(net), sizes={"data": (1, 1, 36, 32)})
    assert made.graph.shape("s") == made.graph.shape("ip2")
    assert len(made.graph.shape("s")) == 4


def test_a_layer_that_takes_no_maps_is_told() -> None:
    net = with_input(LENET + VECTORS, 1, 1, 28, 28)
    with pytest.raises(NetcError) as caught:
        convolutionize(net, weights_of(net))
    found = caught.value.diagnostics[0]
    assert found.code == "not-convolutional" and found.span is not None
    assert "cannot take maps in the place of vectors: layer `sum`" in found.message
