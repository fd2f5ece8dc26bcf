from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ops.define import LayerContext, ShapeError
from netc.ops.python import (
    PYTHON,
    is_registered,
    register_python_layer,
    unregister_python_layer,
)
from tests.ops.cases import bind_layer, run_layer

TEXT = """name: "p" type: "Python" bottom: "x" top: "y"
python_param { module: "pyloss" layer: "Double" param_str: "{'times': 3}" }"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    unregister_python_layer("pyloss", "Double")


def times(inputs, param_str):
    assert param_str == "{'times': 3}"
    return [3 * inputs[0]]


def same(shapes, param_str):
    return shapes


def parse():
    return PYTHON.params(bind_layer(TEXT), LayerContext("TEST", 1, 1))


def test_refused_with_module_layer_and_what_to_call() -> None:
    with pytest.raises(ShapeError) as caught:
        PYTHON.shape(parse(), [(2, 3)])
    error = caught.value
    assert error.code == "python-layer"
    assert error.message == ("the Python layer `Double` of module `pyloss` has no implementation")
    assert error.field == "python_param.layer"
    assert 'netc.register_python_layer("pyloss", "Double", implementation' in error.help[0]
    with pytest.raises(NetcError, match="python-layer"):
        PYTHON.reference(parse(), [np.ones((2, 3), "f4")], [])


def test_registered_is_run() -> None:
    register_python_layer("pyloss", "Double", times, same)
    assert is_registered(parse())
    (y,) = run_layer(PYTHON, bind_layer(TEXT), [np.ones((2, 3), "f4")], [])
    np.testing.assert_array_equal(y, np.full((2, 3), 3))


def test_a_class_brings_its_own_shape_rule() -> None:
    class Double:
        def __call__(self, inputs, param_str):
            return [2 * inputs[0]]

        def shape(self, shapes, param_str):
            return [list(shape) for shape in shapes]

    register_python_layer("pyloss", "Double", Double())
    assert PYTHON.shape(parse(), [(2, 3)]) == ((2, 3),)


def test_without_a_shape_rule_it_is_no_implementation() -> None:
    with pytest.raises(TypeError, match=r"`shape` of Python layer pyloss\.Double"):
        register_python_layer("pyloss", "Double", times)
    with pytest.raises(TypeError, match="`implementation`"):
        register_python_layer("pyloss", "Double", "times", same)  # type: ignore[arg-type]


def test_outputs_that_break_the_shape_rule() -> None:
    register_python_layer("pyloss", "Double", times, lambda shapes, text: [(1,)])
    with pytest.raises(NetcError) as caught:
        PYTHON.reference(parse(), [np.ones((2, 3), "f4")], [])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "python-layer"
    assert "made outputs of shapes [(2, 3)], and its shape rule says [(1,)]" in diagnostic.message


def test_another_array_type_is_made_float32() -> None:
    register_python_layer("pyloss", "Double", lambda i, t: [[[1, 2, 3]]], lambda s, t: [(1, 3)])
    (y,) = run_layer(PYTHON, bind_layer(TEXT), [np.ones((2, 3), "f4")], [])
    assert y.dtype == np.float32
