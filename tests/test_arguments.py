"""Mistakes in what is given to netc.compile, and what is taken in more than one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source

TEXT = """name: "two"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [$N, 3] } } }
layer { name: "r" type: "ReLU" bottom: "data" top: "r" }
layer { name: "s" type: "TanH" bottom: "r" top: "s" }
layer { name: "q" type: "TanH" bottom: "r" top: "q" include { stage: "extra" } }
"""


def compiled(**arguments: Any) -> netc.CompiledNet:
    given = {"define": {"N": 2}, "backend": "reference", **arguments}
    return netc.compile(given.pop("net", Source("two.prototxt", TEXT)), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": TEXT}, "`net` is a path, and a net's text was given"),
        ({"net": None}, "`net` is a path or a Source, not None"),
        ({"net": b"two"}, "`net` is a path or a Source, not a `bytes`"),
        ({"inputs": (2, 3)}, "`inputs` maps input blobs to shapes, it is a `tuple`"),
        ({"inputs": {"data": 3}}, "the shape of input `data` is a list of sizes, not 3"),
        ({"inputs": {"data": (1, "x")}}, "the shape of input `data` is a list of sizes"),
        ({"inputs": {"data": (1, 2.5)}}, "the sizes of input `data` are whole numbers"),
        ({"inputs": {"data": (1, -3)}}, "the sizes of input `data` are whole numbers"),
        ({"outputs": 3}, "`outputs` is a list of names, not a `int`"),
        ({"stages": [1]}, "`stages` is a list of names, not a `list`"),
        ({"level": "1"}, "`level` is a whole number, not '1'"),
        ({"seed": 1.5}, "`seed` is a whole number, not 1.5"),
        ({"define": ["N=2"]}, "`define` maps placeholders to values, it is a `list`"),
        ({"missing": "ignore"}, '`missing` is "error" or "fill"'),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetcError) as caught:
        compiled(**arguments)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "bad-argument"
    assert diagnostic.message.startswith(message)


def test_one_name_need_not_stand_in_a_list() -> None:
    assert list(compiled(outputs="r").outputs) == ["r"]
    assert list(compiled(stages="extra").outputs) == ["q", "s"]


def test_numbers_of_numpy_are_numbers() -> None:
    net = compiled(level=np.int64(1), seed=np.int32(2), inputs={"data": np.array([4, 3])})
    assert net.inputs == {"data": (4, 3)}


def test_what_a_net_says_of_itself() -> None:
    assert repr(compiled()) == "<CompiledNet `two` on reference: data 2x3 -> s 2x3>"


@pytest.mark.parametrize(
    ("feeds", "code"),
    [
        (np.zeros((2, 3), np.float32), "bad-argument"),
        ({"data": [[1, 2], [3]]}, "input-dtype"),
        ({"data": "x"}, "input-dtype"),
        ({"data": None}, "input-dtype"),
    ],
)
def test_what_is_no_input(feeds: Any, code: str) -> None:
    with pytest.raises(NetcError) as caught:
        compiled()(feeds)
    assert caught.value.diagnostics[0].code == code
