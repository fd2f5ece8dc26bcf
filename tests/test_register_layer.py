"""A layer type of one's own: in texts, commands, training and both interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import netc
from netc.cli.main import main
from netc.frontend import build, read_net
from netc.weights.load import load_weights

NET = """
input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "c" type: "Cube" bottom: "x" top: "y" cube_param { scale: 2 } }
"""
X = np.arange(6, dtype=np.float32).reshape(2, 3) / 4

FILE = """
import netc


def cube(inputs, fields):
    return [fields.scale * inputs[0] ** 3]


def slope(inputs, tops, fields):
    return [3 * fields.scale * inputs[0] ** 2 * tops[0]]


netc.register_layer("Cube", cube, fields={"scale": 1.0}, gradient=slope)
"""


def cube(inputs: Sequence[Any], fields: SimpleNamespace) -> list[Any]:
    return [fields.scale * inputs[0] ** 3]


def slope(inputs: Sequence[Any], tops: Sequence[Any], fields: SimpleNamespace) -> list[Any]:
    return [3 * fields.scale * inputs[0] ** 2 * tops[0]]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in ("Cube", "Dense", "Mean"):
        netc.unregister_layer(name)


@pytest.fixture
def registered() -> None:
    netc.register_layer("Cube", cube, fields={"scale": 1.0}, gradient=slope)


def test_it_runs_by_its_definition(registered: None, backend: str) -> None:
    out = netc.compile(text=NET, backend=backend)(x=X)["y"]
    np.testing.assert_allclose(out, 2 * X**3, rtol=1e-6)


def test_its_gradient_is_held_to_finite_differences(registered: None) -> None:
    found = netc.check_gradient('layer { type: "Cube" bottom: "x" top: "y" }')
    assert found.ok
    assert found.rows


def test_without_it_the_type_is_unknown_again(registered: None) -> None:
    netc.unregister_layer("Cube")
    with pytest.raises(netc.NetcError, match="no field `cube_param`"):
        read_net(text=NET)
    text = NET.replace("cube_param { scale: 2 }", "")
    assert [d.code for d in build(read_net(text=text).message).diagnostics] == [
        "unknown-layer-type"
    ]


def test_its_fields_are_checked_with_their_place(registered: None) -> None:
    with pytest.raises(netc.NetcError) as caught:
        read_net(text=NET.replace("scale", "scal"))
    (found,) = caught.value.diagnostics
    assert found.code == "unknown-field"
    assert found.help == ("did you mean `scale`?",)
    assert found.span is not None
    with pytest.raises(netc.NetcError, match="takes a number, not"):
        read_net(text=NET.replace("scale: 2", 'scale: "two"'))


@pytest.mark.parametrize(
    ("default", "written", "value"),
    [
        (1.5, "", 1.5),
        (1.5, "v: 2", 2.0),
        (3, "v: -4", -4),
        (True, "v: false", False),
        ("plain", "", "plain"),
        ('a "b"\\', "", 'a "b"\\'),
        ((1, 2), "v: 5 v: 6 v: 7", (5, 6, 7)),
        ((0.5,), "v: [1, 2]", (1.0, 2.0)),
    ],
)
def test_fields_of_all_kinds(default: Any, written: str, value: Any) -> None:
    seen: list[Any] = []

    def compute(inputs: Any, fields: Any) -> Any:
        seen.append(fields.v)
        return inputs

    netc.register_layer("Cube", compute, fields={"v": default})
    text = NET.replace("scale: 2", written)
    netc.compile(text=text, backend="reference")(x=X)
    assert seen == [value]


def dense(inputs: Any, weights: Any, fields: Any) -> Any:
    return [inputs[0] @ weights[0].T + weights[1]]


def dense_slopes(inputs: Any, weights: Any, tops: Any, fields: Any) -> Any:
    return [tops[0] @ weights[0], tops[0].T @ inputs[0], tops[0].sum(axis=0)]


def register_dense() -> None:
    netc.register_layer(
        "Dense",
        dense,
        fields={"units": 1},
        shape=lambda shapes, fields: [(shapes[0][0], fields.units)],
        weights=lambda shapes, fields: [
            ((fields.units, shapes[0][1]), {"type": "gaussian", "std": 0.5}),
            (fields.units,),
        ],
        gradient=dense_slopes,
    )


TRAINED = """
input: "x" input_shape { dim: 8 dim: 3 } input: "t" input_shape { dim: 8 dim: 1 }
layer { name: "d" type: "Dense" bottom: "x" top: "y" dense_param { units: 1 } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def test_a_layer_with_weights_has_gradients_of_all() -> None:
    register_dense()
    text = 'layer { type: "Dense" bottom: "x" top: "y" dense_param { units: 4 } }'
    found = netc.check_gradient(text, inputs={"x": (5, 3)})
    assert found.ok
    assert len(found.rows) == 3


def test_it_learns_in_the_interface_of_pycaffe(tmp_path: Path) -> None:
    import netc.compat.pycaffe as caffe

    register_dense()
    (tmp_path / "net.prototxt").write_text(TRAINED, encoding="utf-8")
    solver_text = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 99 display: 0'
    (tmp_path / "solver.prototxt").write_text(solver_text, encoding="utf-8")
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    rng = np.random.default_rng(0)
    for _ in range(60):
        x = rng.normal(size=(8, 3))
        solver.net.blobs["x"].data[...] = x
        solver.net.blobs["t"].data[...] = x @ np.array([[1.0], [-2.0], [0.5]]) + 3
        solver.step(1)
    assert solver.net.blobs["loss"].data < 0.01
    np.testing.assert_allclose(solver.net.params["d"][0].data, [[1, -2, 0.5]], atol=0.05)
    np.testing.assert_allclose(solver.net.params["d"][1].data, [3], atol=0.1)


def test_it_runs_in_the_interface_of_opencv(registered: None, tmp_path: Path) -> None:
    import netc.compat.opencv as dnn

    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    net = dnn.readNetFromCaffe(str(path))
    net.setInput(X)
    np.testing.assert_allclose(net.forward(), 2 * X**3, rtol=1e-6)


def test_a_kernel_runs_in_the_definitions_place_on_the_cpu_alone() -> None:
    def kernel(inputs: Any, fields: Any) -> Any:
        return [inputs[0] * 0 + 7]

    netc.register_layer("Cube", cube, fields={"scale": 1.0}, kernel=kernel)
    assert (netc.compile(text=NET, backend="cpu")(x=X)["y"] == 7).all()
    np.testing.assert_allclose(netc.compile(text=NET, backend="reference")(x=X)["y"], 2 * X**3)


def test_commands_take_it_from_a_file_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, layers = tmp_path / "net.prototxt", tmp_path / "mine.py"
    net.write_text(NET, encoding="utf-8")
    layers.write_text(FILE, encoding="utf-8")
    assert main(["check", str(net)]) == 1
    assert "no field `cube_param`" in capsys.readouterr().err
    assert main(["check", str(net), "--layers", str(layers)]) == 0
    capsys.readouterr()
    assert main(["summary", str(net), "--layers", str(layers)]) == 0
    assert "Cube" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", X)
    command = ["run", str(net), "--input", f"x={tmp_path / 'x.npy'}", "--layers", str(layers)]
    assert main([*command, "--save", str(tmp_path / "out.npz")]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], 2 * X**3, rtol=1e-6)


LEARNING = """
layer { name: "d" type: "DummyData" top: "x" top: "t"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
    data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 0.75 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 2
  weight_filler { type: "constant" value: 0.5 } } }
layer { name: "c" type: "Cube" bottom: "h" top: "y" cube_param { scale: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def test_train_learns_through_a_layer_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.prototxt").write_text(LEARNING, encoding="utf-8")
    solver, layers = tmp_path / "solver.prototxt", tmp_path / "mine.py"
    solver.write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3 display: 1 '
        f'snapshot_prefix: "{tmp_path / "snap"}"\n',
        encoding="utf-8",
    )
    layers.write_text(FILE, encoding="utf-8")
    assert main(["train", str(solver)]) == 1
    assert "no field `cube_param`" in capsys.readouterr().err
    assert main(["train", str(solver), "--layers", str(layers)]) == 0
    # The same steps by hand: h = w . x + b, y = 2 h^3, the mean over 4 rows of |y - t|^2 / 2.
    weight, bias = np.full((2, 3), 0.5), np.zeros(2)
    for _ in range(3):
        h = weight.sum(axis=1) * 0.5 + bias
        slope = (2 * h**3 - 0.75) * 6 * h**2
        weight, bias = weight - 0.1 * slope[:, None] * 0.5, bias - 0.1 * slope
    (found,) = tmp_path.glob("snap*.caffemodel")
    arrays = load_weights(found)["ip"]
    np.testing.assert_allclose(np.asarray(arrays[0]).reshape(2, 3), weight, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(arrays[1]).reshape(2), bias, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nowhere_at_all\n", "mine.py:1: `--layers` raised ModuleNotFoundError"),
        ("x = 1\nraise ValueError('no')\n", "mine.py:2: `--layers` raised ValueError: no"),
        ("x = (\n", "`--layers` raised SyntaxError"),
        ('import netc\nnetc.register_layer("ReLU", print)\n', "has a layer type `ReLU` already"),
    ],
)
def test_a_file_that_raises_is_told_with_its_line(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, layers = tmp_path / "net.prototxt", tmp_path / "mine.py"
    net.write_text('input: "x" input_shape { dim: 1 }', encoding="utf-8")
    layers.write_text(text, encoding="utf-8")
    assert main(["check", str(net), "--layers", str(layers)]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("My Layer", cube), "is no name of a layer type"),
        (("Convolution", cube), "netc has a layer type `Convolution` already"),
        (("Cube", 5), "`compute` of layer type `Cube` must be a function"),
    ],
)
def test_what_cannot_be_registered(arguments: tuple[Any, ...], told: str) -> None:
    with pytest.raises(netc.NetcError, match=told):
        netc.register_layer(*arguments)


def test_a_field_needs_a_plain_default() -> None:
    with pytest.raises(netc.NetcError, match="field `table` of layer type `Cube`"):
        netc.register_layer("Cube", cube, fields={"table": {}})


def test_fields_of_a_known_message_are_given() -> None:
    netc.register_layer("Mean", lambda inputs, fields: [inputs[0] * fields.shift],
                        fields={"shift": 1.0}, param="power_param")  # fmt: skip
    text = NET.replace('"Cube"', '"Mean"').replace("cube_param { scale", "power_param { shift")
    np.testing.assert_allclose(netc.compile(text=text)(x=X)["y"], 2 * X)


def test_outputs_that_do_not_fit_the_shape_rule_are_told(registered: None) -> None:
    netc.register_layer("Cube", lambda inputs, fields: [inputs[0][:1]], fields={"scale": 1.0})
    with pytest.raises(netc.NetcError, match=r"layer `c`.*outputs of shapes \[\(1, 3\)\]"):
        netc.compile(text=NET, backend="reference")(x=X)


def test_what_a_function_raises_is_told_at_the_layer(registered: None) -> None:
    def broken(inputs: Any, fields: Any) -> Any:
        raise KeyError("gone")

    netc.register_layer("Cube", broken, fields={"scale": 1.0})
    with pytest.raises(netc.NetcError, match=r"layer `c`.*raised KeyError: 'gone'"):
        netc.compile(text=NET, backend="reference")(x=X)


def test_a_shape_rules_value_error_is_a_shape_error() -> None:
    def shape(shapes: Any, fields: Any) -> Any:
        raise ValueError("3 axes are needed")

    netc.register_layer("Cube", cube, fields={"scale": 1.0}, shape=shape)
    (found,) = build(read_net(text=NET).message).diagnostics
    assert found.code == "shape-mismatch"
    assert found.message == "layer `c` (Cube): 3 axes are needed"
