from __future__ import annotations

import pytest

from tests.analysis.lint.nets import Found, data, found, notes

CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c"\n'
    "  convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }\n"
)
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "n" }\n'
SCALE = 'layer { name: "s" type: "Scale" bottom: "n" top: "s" scale_param { bias_term: true } }\n'
RELU = 'layer { name: "r" type: "ReLU" bottom: "s" top: "r" }\n'


def test_the_usual_block_has_no_notes() -> None:
    assert found(data(8) + CONV + BN + SCALE + RELU) == []


def test_batch_norm_without_scale() -> None:
    text = data(8) + CONV + BN + RELU.replace('"s"', '"n"')
    assert found(text) == [Found("batch-norm-without-scale", 4, 26, '"BatchNorm"')]


def test_a_product_after_batch_norm_learns_scale_and_shift() -> None:
    after = CONV.replace('"c"', '"d"').replace('"data"', '"n"')
    assert found(data(8) + CONV + BN + after) == []
    nvidia = BN.replace('top: "n"', 'top: "n" batch_norm_param { scale_bias: true }')
    assert found(data(8) + CONV + nvidia + RELU.replace('"s"', '"n"')) == []


def test_scale_without_bias() -> None:
    text = data(8) + CONV + BN + SCALE.replace(" bias_term: true ", " axis: 1 ") + RELU
    assert found(text) == [Found("scale-without-bias", 5, 54, "scale_param { axis: 1 }")]
    plain = data(8) + CONV + BN + SCALE.replace("scale_param { bias_term: true }", "") + RELU
    assert found(plain) == [Found("scale-without-bias", 5, 25, '"Scale"')]
    biased = plain.replace('"ReLU"', '"Bias"')
    assert found(biased) == []


def test_bias_under_batch_norm() -> None:
    text = data(8) + CONV.replace(" bias_term: false", "") + BN + SCALE + RELU
    assert [(f.code, f.line, f.column) for f in found(text)] == [("bias-under-batch-norm", 3, 3)]
    (note,) = notes(text)
    assert "its 4 biases have no effect in training" in note.message
    assert note.notes[0].span is not None and note.notes[0].span.line == 4
    written = data(8) + CONV.replace("false", "true") + BN + SCALE + RELU
    assert found(written) == [Found("bias-under-batch-norm", 3, 63, "true")]


def test_a_bias_that_others_see_stays() -> None:
    text = data(8) + CONV.replace(" bias_term: false", "") + BN + SCALE
    text += 'layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "s" top: "sum" }\n'
    assert found(text) == []


def test_dropout_before_batch_norm() -> None:
    drop = 'layer { name: "drop" type: "Dropout" bottom: "c" top: "c" }\n'
    text = data(8) + CONV + drop + BN + SCALE + RELU
    assert found(text) == [Found("dropout-before-batch-norm", 5, 46, '"c"')]


SCORES = """layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 5 } }
"""


def after(kind: str, name: str, bottoms: str, params: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{name}" {params} }}\n'


@pytest.mark.parametrize("kind", ["ReLU", "Sigmoid", "Dropout"])
def test_activation_after_loss(kind: str) -> None:
    text = (
        data(4) + SCORES + after("SoftmaxWithLoss", "loss", "fc label") + after(kind, "x", "loss")
    )
    (note,) = found(text)
    assert (note.code, note.line, note.text) == ("activation-after-loss", 6, '"loss"')
    assert note.column == 36 + len(kind)


def test_arithmetic_with_losses_is_meant() -> None:
    text = data(4) + SCORES + after("SoftmaxWithLoss", "loss", "fc label")
    assert found(text + after("Power", "x", "loss", "power_param { scale: 2 }")) == []


@pytest.mark.parametrize("kind", ["Softmax", "SoftmaxWithLoss"])
def test_clipped_scores(kind: str) -> None:
    labels = " label" if kind == "SoftmaxWithLoss" else ""
    text = data(4) + SCORES + after("ReLU", "r", "fc") + after(kind, "p", f"r{labels}")
    code = [note.code for note in found(text) if note.code != "unused-blob"]
    assert code == ["clipped-scores"]
    leaky = text.replace('top: "r"', 'top: "r" relu_param { negative_slope: 0.1 }')
    assert "clipped-scores" not in [note.code for note in found(leaky)]


def test_softmax_twice_also_behind_a_reshape() -> None:
    flat = after("Flatten", "flat", "p")
    text = data(4) + SCORES + after("Softmax", "p", "fc") + flat
    text += after("SoftmaxWithLoss", "loss", "flat label")
    assert found(text) == [Found("softmax-twice", 7, 54, '"flat"')]
    assert notes(text)[0].help == ("remove `p`, which the loss does itself",)
    right = text.replace("SoftmaxWithLoss", "MultinomialLogisticLoss")
    assert found(right) == []


def test_sigmoid_twice() -> None:
    text = data(4) + SCORES + after("Sigmoid", "p", "fc")
    text += SCORES.splitlines()[0].replace("label", "t").replace("dim: 2", "dim: 2 dim: 5") + "\n"
    text += after("SigmoidCrossEntropyLoss", "loss", "p t") + after("Silence", "no", "label")
    text = text.replace(' top: "no"', "")
    assert found(text) == [Found("sigmoid-twice", 7, 62, '"p"')]


def test_softmax_of_one() -> None:
    text = data(4) + SCORES.replace("num_output: 5", "num_output: 1")
    text += after("SoftmaxWithLoss", "loss", "fc label")
    assert found(text) == [Found("softmax-of-one", 5, 54, '"fc"')]
    written = text.replace('top: "loss"', 'top: "loss" softmax_param { axis: -1 }')
    assert found(written)[0].text == "-1"


@pytest.mark.parametrize("kind", ["ReLU", "Sigmoid", "AbsVal"])
def test_idle_activation(kind: str) -> None:
    text = data(4) + after(kind, "a", "data") + after("ReLU", "b", "a")
    assert found(text) == [Found("idle-activation", 3, 25, '"ReLU"')]
    assert found(text.replace(f'"{kind}"', '"TanH"', 1)) == []


def test_statistics_of_the_batch_in_testing() -> None:
    text = data(4) + after("BatchNorm", "bn", "data")
    left = text.replace('top: "bn"', 'top: "bn" batch_norm_param { use_global_stats: false }')
    assert [n.code for n in found(left) if n.code.startswith("batch-stat")] == [
        "batch-statistics-in-test"
    ]
    assert [n for n in found(left, "TRAIN") if n.code.startswith("batch-stat")] == []
    assert [n for n in found(text) if n.code.startswith("batch-stat")] == []
