"""Modules: parameters, inputs, outputs, scopes, recursion."""

from __future__ import annotations

from tests.language.texts import INPUT, layers, message, names

FIRE = """
module fire(squeeze: int, expand: int): x -> out {
  s = x -> conv(squeeze) as "squeeze" -> relu as "relu_squeeze"
  out = [s -> conv(expand) as "e1", s -> conv(expand, 3, pad: 1) as "e3"] -> concat as "concat"
}
"""


def test_a_use_with_a_name_scopes_layers_and_blobs() -> None:
    made = layers(INPUT + FIRE + 'data -> fire(16, 64) as "fire2" -> fire(16, 64) as "fire3"')
    assert made[0] == ("fire2/squeeze", "Convolution", ("data",), ("fire2/squeeze",))
    assert made[1] == ("fire2/relu_squeeze", "ReLU", ("fire2/squeeze",), ("fire2/squeeze",))
    assert made[4] == ("fire2/concat", "Concat", ("fire2/e1", "fire2/e3"), ("fire2/concat",))
    assert made[5][:3] == ("fire3/squeeze", "Convolution", ("fire2/concat",))


def test_a_use_without_a_name_leaves_names_as_they_are() -> None:
    assert names(INPUT + FIRE + "data -> fire(16, 64)")[0] == "squeeze"


def test_automatic_names_go_on_through_uses_without_a_name() -> None:
    text = INPUT + "module two(): x -> y { y = x -> conv(1) -> conv(2) }\n"
    assert names(text + "data -> two -> conv(3) -> two") == [f"conv{i}" for i in range(1, 6)]
    assert names(text + 'data -> two as "a" -> two as "b"') == [
        "a/conv1", "a/conv2", "b/conv1", "b/conv2"
    ]  # fmt: skip


def test_scopes_within_scopes() -> None:
    text = """
    module inner(): x -> y { y = x -> conv(1) as "c" }
    module outer(): x -> y { y = x -> inner as "i" -> inner as "j" }
    data -> outer as "o"
    """
    assert names(INPUT + text) == ["o/i/c", "o/j/c"]


def test_values_by_order_by_name_and_by_default() -> None:
    text = """
    module m(a: int, b: int = 2 * a, c = "n${b}"): x -> y { y = x -> conv(a, b) as c }
    data -> m(1) -> m(1, 5) -> m(b: 7, a: 2) -> m(3, c: "z")
    """
    assert names(INPUT + text) == ["n2", "n5", "n7", "z"]


def test_a_module_sees_the_files_values_but_not_its_blobs() -> None:
    text = """
    param width = 4
    module m(): x -> y { y = x -> conv(width) }
    x = data -> fc(1)
    data -> m
    """
    assert layers(INPUT + text)[-1][2] == ("data",)


def test_several_inputs_by_order_and_by_name() -> None:
    text = """
    module merge(n: int): left, right -> y { y = [left, right] -> add -> conv(n) }
    a = data -> conv(1)
    [a, data] -> merge(3)
    data -> merge(3, left: a)
    data -> merge(3, right: a)
    """
    bottoms = [m[2] for m in layers(INPUT + text) if m[1] == "Eltwise"]
    assert bottoms == [("conv1", "data"), ("conv1", "data"), ("data", "conv1")]


def test_the_last_input_may_take_any_number() -> None:
    text = """
    module join(): first, rest... -> y { y = [rest, first] -> concat }
    [data, data -> conv(1), data -> conv(2)] -> join
    """
    assert layers(INPUT + text)[-1][2] == ("conv1", "conv2", "data")


def test_several_outputs_are_a_list() -> None:
    text = """
    module halves(): x -> a, b { a = x -> conv(1)
      b = x -> conv(2) }
    left, right = data -> halves
    right -> fc(1)
    both = data -> halves
    both[1] -> fc(2)
    """
    made = layers(INPUT + text)
    assert [m[2] for m in made if m[1] == "InnerProduct"] == [("conv2",), ("conv4",)]


def test_an_output_may_be_a_layers_blob() -> None:
    text = """
    module old(): x -> out {
      layer { name: "c" type: "Convolution" bottom: "x" top: "out" }
      layer { name: "r" type: "ReLU" bottom: "out" top: "out" }
    }
    data -> old as "o" -> fc(1)
    """
    assert layers(INPUT + text) == [
        ("o/c", "Convolution", ("data",), ("o/out",)),
        ("o/r", "ReLU", ("o/out",), ("o/out",)),
        ("fc1", "InnerProduct", ("o/out",), ("fc1",)),
    ]


def test_an_input_that_is_written_over_keeps_its_blob() -> None:
    text = """
    module over(): x -> y { layer { name: "r" type: "ReLU" bottom: "x" top: "x" }
      y = x -> fc(1) }
    data -> over as "o"
    """
    assert layers(INPUT + text)[0] == ("o/r", "ReLU", ("data",), ("data",))


def test_recursion() -> None:
    text = """
    module tree(n: int): x -> ys {
      if n == 0 { ys = x -> conv(1) } else { ys = [x -> tree(n - 1), x -> tree(n - 1)] }
    }
    data -> tree(3) -> concat
    """
    made = layers(INPUT + text)
    assert len(made) == 9
    assert made[-1][2] == tuple(f"conv{i}" for i in range(1, 9))


def test_a_module_may_be_used_before_it_is_defined() -> None:
    assert names(INPUT + "data -> m\nmodule m(): x -> y { y = x -> conv(1) }") == ["conv1"]


def test_a_module_may_give_back_what_it_got() -> None:
    text = "module maybe(on: bool): x -> y { y = (x -> conv(1)) if on else x }\n"
    made = layers(INPUT + text + "data -> maybe(false) -> maybe(true) -> maybe(false) -> fc(1)")
    assert [(m[0], m[2]) for m in made] == [("conv1", ("data",)), ("fc1", ("conv1",))]


def test_a_v1_layer_is_scoped_as_well() -> None:
    text = """
    module m(): x -> y { layers { name: "c" type: RELU bottom: "x" top: "y" } }
    data -> m as "o"
    """
    (layer,) = message(INPUT + text).get("layers")
    assert (layer.get("name"), layer.get("bottom"), layer.get("top")) == (
        "o/c", ("data",), ("o/y",)
    )  # fmt: skip
