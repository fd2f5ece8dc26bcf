"""Chains: what layers they make, and how those are called and connected."""

from __future__ import annotations

import pytest

from tests.language.texts import INPUT, expanded, layers, message, names


def test_a_step_reads_what_stands_left_of_it() -> None:
    made = layers(INPUT + "data -> conv(64, 3) -> lrn -> fc(10)")
    assert made == [
        ("conv1", "Convolution", ("data",), ("conv1",)),
        ("lrn1", "LRN", ("conv1",), ("lrn1",)),
        ("fc1", "InnerProduct", ("lrn1",), ("fc1",)),
    ]


def test_layers_over_their_bottom_within_a_chain_never_at_its_head() -> None:
    made = layers(INPUT + "data -> relu -> dropout -> conv(3) -> batchnorm -> scale -> relu")
    assert [layer[3] for layer in made] == [
        ("relu1",), ("relu1",), ("conv1",), ("conv1",), ("conv1",), ("conv1",)
    ]  # fmt: skip


def test_in_place_can_be_asked_for_and_refused() -> None:
    made = layers(
        INPUT
        + 'data -> conv(3) -> relu(in_place: false) as "r"\nr -> relu(in_place: true) -> scale'
    )
    assert [layer[3] for layer in made] == [("conv1",), ("r",), ("r",), ("r",)]


def test_a_blob_that_was_read_is_not_written_over() -> None:
    text = """
    module both(): x -> y {
      y = x -> conv(4)
      other = y -> fc(1)
    }
    """
    made = layers(INPUT + text + "data -> both -> relu")
    assert made[-1] == ("relu1", "ReLU", ("conv1",), ("relu1",))


def test_a_step_is_named_by_as_with_any_text() -> None:
    assert names(INPUT + 'let i = 3\ndata -> conv(4) as "conv${i}/7x7" -> relu as ("a" + "b")') == [
        "conv3/7x7",
        "ab",
    ]


def test_a_step_whose_condition_is_false_is_left_out() -> None:
    text = INPUT + "param p: bool = false\ndata -> conv(4) -> relu if p -> pool(2)"
    assert names(text) == ["conv1", "pool1"]
    assert names(text, {"p": "true"}) == ["conv1", "relu1", "pool1"]


def test_prev_is_what_came_last() -> None:
    made = layers(INPUT + "-> conv(4)\nrepeat 2 { -> fc(3) }\n[prev, data] -> concat")
    assert [layer[2] for layer in made] == [("data",), ("conv1",), ("fc1",), ("fc2", "data")]


def test_branches_of_a_list_start_with_the_same_prev() -> None:
    made = layers(INPUT + "[-> conv(4), -> fc(3) -> fc(2), data] -> concat")
    assert made[-1] == ("concat1", "Concat", ("conv1", "fc2", "data"), ("concat1",))
    assert made[1][2] == ("data",)


def test_lists_in_lists_are_one_list_of_bottoms() -> None:
    made = layers(INPUT + "xs = [data -> conv(1), data -> conv(2)]\n[xs, [data]] -> add")
    assert made[-1][2] == ("conv1", "conv2", "data")


def test_a_name_for_a_blob_can_be_given_again() -> None:
    made = layers(INPUT + "x = data -> conv(1)\nx = x -> conv(2)\nx -> conv(3)")
    assert [layer[2] for layer in made] == [("data",), ("conv1",), ("conv2",)]


def test_blobs_are_found_by_name_and_by_text() -> None:
    made = layers(INPUT + 'data -> conv(1) as "a/b"\n"a/b" -> relu as "r"\nr -> fc(1)')
    assert [layer[2] for layer in made] == [("data",), ("a/b",), ("r",)]


def test_plain_layers_and_chains_see_each_other() -> None:
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
    data -> conv(4) as "c"
    layer { name: "p" type: "Pooling" bottom: "c" top: "pooled" pooling_param { kernel_size: 2 } }
    -> relu
    pooled -> fc(2)
    """
    assert [(m[0], m[2]) for m in layers(text)] == [
        ("c", ("data",)), ("p", ("c",)), ("relu1", ("pooled",)), ("fc1", ("pooled",))
    ]  # fmt: skip


def test_a_legacy_input_starts_a_chain() -> None:
    assert layers('input: "data" input_shape { dim: [1, 3, 8, 8] }\n-> conv(4)')[0][2] == ("data",)


def test_a_layer_without_bottoms_starts_a_chain() -> None:
    text = 'DummyData(shape { dim: [1, 2] }, top: ["a", "b"]) as "made" -> concat\nb -> fc(1)'
    assert layers(text) == [
        ("made", "DummyData", (), ("a", "b")),
        ("concat1", "Concat", ("a", "b"), ("concat1",)),
        ("fc1", "InnerProduct", ("b",), ("fc1",)),
    ]


def test_fields_find_their_message_by_themselves() -> None:
    (layer,) = message(
        INPUT + "data -> conv(64, [3, 1], pad: 1, bias_term: false, param { lr_mult: 2 }, "
        'weight_filler { type: "msra" }, loss_weight: 0.5)'
    ).get("layer")[1:]
    inner = layer.get("convolution_param")
    assert inner.get("kernel_size") == (3, 1)
    assert inner.get("weight_filler").get("type") == "msra"
    assert not inner.get("bias_term")
    assert layer.get("param")[0].get("lr_mult") == 2
    assert layer.get("loss_weight") == (0.5,)


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("pool(2)", {"pool": "MAX", "kernel_size": 2, "stride": 2}),
        ("pool(3, 2)", {"pool": "MAX", "kernel_size": 3, "stride": 2}),
        ("pool(3, 1, 1)", {"pool": "MAX", "kernel_size": 3, "stride": 1, "pad": 1}),
        ("pool(3, stride_h: 1, stride_w: 2)", {"kernel_size": 3, "stride_h": 1, "stride_w": 2}),
        ("pool(3, pool: STOCHASTIC)", {"pool": "STOCHASTIC", "kernel_size": 3}),
        ("avepool(7, 1)", {"pool": "AVE", "kernel_size": 7, "stride": 1}),
        ("globalpool", {"pool": "AVE", "global_pooling": True}),
        ("Pooling(kernel_size: 2)", {"kernel_size": 2, "stride": 1}),
    ],
)
def test_short_forms_of_pooling(step: str, fields: dict[str, object]) -> None:
    layer = message(INPUT + f"data -> {step}").get("layer")[1]
    inner = layer.get("pooling_param")
    assert {name: inner.get(name) for name in fields} == fields


def test_a_repeated_field_takes_a_list_and_a_single_one_an_item() -> None:
    text = expanded(INPUT + "let d = [1, 2]\ndata -> Reshape(shape { dim: ${d} dim: -1 })")
    assert "      dim: 1\n      dim: 2\n      dim: -1\n" in text


def test_a_word_of_an_enum_may_come_from_a_string() -> None:
    text = INPUT + 'param kind = "AVE"\ndata -> pool(2, pool: kind)\n'
    assert "pool: AVE" in expanded(text)
    assert "pool: MAX" in expanded(text, {"kind": "MAX"})
    plain = 'layer { name: "p" type: "Pooling" pooling_param { pool: ${kind} } }\n-> relu'
    assert "pool: AVE" in expanded(text.replace("data ->", plain + "\ndata ->"))


def test_a_phase_block_gives_layers_their_rule() -> None:
    text = (
        INPUT
        + 'phase TRAIN { data -> dropout\n layer { name: "x" type: "Silence" bottom: "data" } }'
    )
    rules = [layer.get("include") for layer in message(text).get("layer")]
    assert [[r.get("phase") for r in rule] for rule in rules] == [[], ["TRAIN"], ["TRAIN"]]


def test_one_name_may_stand_in_both_phases() -> None:
    text = "phase TRAIN { input data: [8, 3, 4, 4] }\nphase TEST { input data: [1, 3, 4, 4] }"
    assert len(message(text).get("layer")) == 2
