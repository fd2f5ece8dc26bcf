from __future__ import annotations

from tests.analysis.lint.nets import Found, data, found, notes
from tests.analysis.lint.test_training import SCORES, after


def test_an_input_that_nobody_reads() -> None:
    text = data(4) + SCORES
    assert found(text) == [Found("unused-blob", 2, 42, '"label"')]
    assert notes(text)[0].message == ("blob `label` is an input that no layer reads in phase TEST")


def test_outputs_are_not_unused() -> None:
    text = data(4) + after("ReLU", "a", "data") + after("TanH", "b", "data")
    assert found(text) == []


def test_one_of_several_tops() -> None:
    slice = (
        'layer { name: "s" type: "Slice" bottom: "data" top: "x" top: "y" top: "z"\n'
        "  slice_param { axis: 1 } }\n"
    )
    text = data(4) + slice + after("Eltwise", "sum", "x z")
    assert found(text) == [Found("unused-blob", 2, 62, '"y"')]
    assert found(data(4) + slice) == []


def test_in_training_what_no_loss_depends_on() -> None:
    text = data(4) + SCORES + after("SoftmaxWithLoss", "loss", "fc label")
    text += after("Accuracy", "accuracy", "fc label") + after("TanH", "lost", "fc")
    assert found(text, "TRAIN") == [Found("unused-blob", 7, 53, '"lost"')]
    assert found(text, "TEST") == []


def test_a_layer_with_a_loss_weight_is_a_loss() -> None:
    weighed = after("Reduction", "sum", "fc").replace("top:", "loss_weight: 1 top:")
    text = data(4) + SCORES + after("SoftmaxWithLoss", "loss", "fc label") + weighed
    assert "loss_weight" in text and found(text, "TRAIN") == []


def test_what_an_unknown_layer_makes_is_no_input() -> None:
    assert found(data(4) + after("Mystery", "odd", "data")) == []


def test_layers_with_weights_that_share_a_name() -> None:
    twice = SCORES.splitlines()[1:]
    text = data(4) + "\n".join(twice) + "\n" + "\n".join(twice).replace('top: "fc"', 'top: "b"')
    (note,) = [note for note in found(text) if note.code == "duplicate-layer-name"]
    assert (note.line, note.column, note.text) == (4, 15, '"fc"')
    assert "another layer is named `fc` too" in notes(text)[0].message


def test_layers_without_weights_may_share_one() -> None:
    text = (
        data(4)
        + after("ReLU", "a", "data")
        + after("TanH", "a", "a").replace('top: "a"', 'top: "b"')
    )
    assert found(text) == []
