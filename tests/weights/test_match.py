"""Which array goes to which parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import Diagnostic, NetcError, Source, Span
from netc.ir.graph import Graph, Node, Parameter
from netc.ops.filler import Filler
from netc.weights import LayerWeights, Weights, save_weights
from netc.weights.match import assign, fill_missing, shapes_equal
from tests.weights.oracle import Net

TEXT = Source("net.prototxt", "\n".join(f"layer {i}" for i in range(9)))
XAVIER = Filler("xavier")


def span(line: int) -> Span:
    start = TEXT.line_starts[line - 1]
    return Span(TEXT, start, start + 7)


def graph(layers: dict[str, list[Any]], owners: dict[str, str] | None = None) -> Graph:
    """A graph of nodes with parameters; a parameter is a shape, or the name of a shared one."""
    nodes, parameters = [], {}
    for line, (name, given) in enumerate(layers.items(), 1):
        own = []
        for index, shape in enumerate(given):
            own.append(shape if isinstance(shape, str) else f"{name}/{index}")
            if not isinstance(shape, str):
                owner = (owners or {}).get(own[-1])
                parameters[own[-1]] = Parameter(own[-1], shape, XAVIER, None, span(line), owner)
        nodes.append(Node(name, "InnerProduct", None, (), (), tuple(own), (span(line),)))
    return Graph("net", tuple(nodes), (), (), {}, parameters)


def array(*shape: int, value: float = 1) -> np.ndarray[Any, Any]:
    return np.full(shape, value, np.float32)


def failure(net: Graph, weights: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(NetcError) as caught:
        assign(net, weights)
    return caught.value.diagnostics


def test_arrays_go_to_their_parameters_uncopied() -> None:
    weight, bias = array(2, 3), array(2, value=5)
    net, found = assign(graph({"ip": [(2, 3), (2,)], "relu": []}), {"ip": [weight, bias]})
    assert not found
    assert net.parameters["ip/0"].array is not None
    assert np.shares_memory(net.parameters["ip/0"].array, weight)
    assert not net.parameters["ip/1"].array.flags.writeable
    assert net.parameters["ip/1"].array.tolist() == [5, 5]


@pytest.mark.parametrize("suffix", [".caffemodel", ".h5", ".npz"])
def test_a_path(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    save_weights(path, {"ip": [array(2, 3)]})
    for given in (path, str(path)):
        net, _ = assign(graph({"ip": [(2, 3)]}), given)
        assert net.parameters["ip/0"].array.shape == (2, 3)


def test_layers_unknown_to_the_net_are_ignored_with_one_note() -> None:
    weights = {name: [array(1)] for name in ("ip", *(f"x{i}" for i in range(12)))}
    _, (note,) = assign(graph({"ip": [(1,)]}), {**weights, "relu": []})
    assert (note.code, note.severity) == ("unused-weights", "note")
    assert "12 layers that the net has not, ignored: `x0`, " in note.message
    assert note.message.endswith("`x9` and 2 more")


def test_all_that_is_wrong_is_told_at_its_layer() -> None:
    net = graph({"a": [(2, 3)], "b": [(2,)], "c": [(4, 5), (4,)], "d": [(1,)]})
    found = failure(net, {"a": [array(3, 2)], "b": [array(2), array(2)], "C": [array(1)]})
    assert [d.code for d in found] == [
        "weight-shape",
        "weight-count",
        "missing-weights",
        "unused-weights",
    ]
    shape, count, missing, _ = found
    assert "blob 0 is 3x2 in the weights and 2x3 in the net" in shape.message
    assert shape.span == span(1) and "transposed" in shape.help[0]
    assert "has 1 parameter in the net and 2 blobs" in count.message and count.span == span(2)
    assert missing.message == "the weights lack the parameters of 2 layers: `c`, `d`"
    assert missing.span == span(3)
    assert missing.notes[0].message == ("layer `c` (InnerProduct) needs blob 0 of 4x5, blob 1 of 4")
    assert missing.notes[1].span == span(4)


def test_near_names_are_offered() -> None:
    (missing, _) = failure(
        graph({"conv1": [(1,)], "ip": [(1,)]}), {"conv_1": [array(1)], "ip": [array(1)]}
    )
    assert missing.help[0] == "layer `conv1`: did you mean `conv_1`?"


def test_weights_of_another_net() -> None:
    (missing, _) = failure(graph({"conv1": [(1,)]}), {"fc": [array(1)]})
    assert "another net's?" in missing.help[0]


def test_the_type_in_the_file_is_told_where_it_differs() -> None:
    layer = LayerWeights("ip", (array(2, 1, 1, 1),), "Convolution")
    (shape,) = failure(graph({"ip": [(2, 1)]}), Weights({"ip": layer}))
    assert shape.notes[0].message == "in the weights the layer's type is `Convolution`"


def test_leading_ones_are_told() -> None:
    (shape,) = failure(graph({"ip": [(2,)]}), {"ip": [array(1, 1, 1, 2)]})
    assert "reshape the array to 2" in shape.help[0]


def test_missing_ones_are_filled_when_asked() -> None:
    net, (warning,) = assign(graph({"a": [(9,)], "b": [(9,)]}), {"a": [array(9)]}, missing="fill")
    assert (warning.code, warning.severity) == ("filled-weights", "warning")
    assert "`b`" in warning.message and warning.span == span(2)
    assert net.parameters["b/0"].array.std() > 0
    with pytest.raises(NetcError, match="bad-argument"):
        assign(net, {}, missing="ignore")


def test_shape_faults_stay_when_filling() -> None:
    with pytest.raises(NetcError) as caught:
        assign(graph({"a": [(9,)]}), {"a": [array(8)]}, missing="fill")
    assert [d.code for d in caught.value.diagnostics] == ["weight-shape"]


@pytest.mark.parametrize(
    ("shape", "stored", "equal"),
    [
        ((2,), (1, 1, 1, 2), True),
        ((3, 2), (1, 1, 3, 2), True),
        ((1, 2), (1, 1, 1, 2), True),
        ((4, 3, 2, 2), (4, 3, 2, 2), True),
        ((), (1, 1, 1, 1), True),
        ((2,), (2, 1, 1, 1), False),
        ((3, 2), (3, 2, 1, 1), False),
        ((1, 1, 1, 1, 2), (1, 1, 1, 2), False),
    ],
)
def test_legacy_shapes(shape: tuple[int, ...], stored: tuple[int, ...], equal: bool) -> None:
    assert shapes_equal(shape, stored, True) is equal
    assert shapes_equal(shape, stored, False) is (shape == stored)


def test_a_v1_file(tmp_path: Path) -> None:
    net = Net()
    layer = net.layers.add(name="ip", type=14)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=range(2))
    (tmp_path / "v1.caffemodel").write_bytes(net.SerializeToString())
    filled, _ = assign(graph({"ip": [(2, 3), (2,)]}), tmp_path / "v1.caffemodel")
    assert filled.parameters["ip/0"].array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert filled.parameters["ip/1"].array.shape == (2,)


def test_shared_parameters_may_stand_under_each_layer_and_the_last_counts() -> None:
    net = graph({"a": [(2,)], "b": ["a/0"]})
    same, found = assign(net, {"a": [array(2)], "b": [array(2)]})
    assert not found and set(same.parameters) == {"a/0"}
    last, (warning,) = assign(net, {"a": [array(2)], "b": [array(2, value=7)]})
    assert last.parameters["a/0"].array.tolist() == [7, 7]
    assert warning.code == "shared-weights-differ" and warning.span == span(2)
    assign(net, {"b": [array(2)]})
    assign(net, {"a": [array(2)]})


def test_a_shared_parameter_read_in_another_shape() -> None:
    net = graph({"a": [(2, 3)], "b": [(6,)]}, {"b/0": "a/0"})
    given = {"b": [np.arange(6, dtype=np.float32)]}
    assert assign(net, given)[0].parameters["a/0"].array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert assign(net, given)[0].parameters["b/0"].array is None
    assert "6 in the net" in failure(net, {"b": [array(2, 3)]})[0].message


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_archives_may_leave_shared_blobs_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    net = graph({"a": [(2,), (3,)], "b": ["a/0", (4,)]})
    own = LayerWeights("b", (array(4),), indices=(1,))
    save_weights(path, Weights({"a": LayerWeights("a", (array(2), array(3))), "b": own}))
    filled, found = assign(net, path)
    assert not found and filled.parameters["b/1"].array.shape == (4,)
    save_weights(path, Weights({"a": LayerWeights("a", (array(2),)), "b": own}))
    (missing,) = failure(net, path)
    assert missing.code == "missing-weights" and "blob 1 of 3" in missing.notes[0].message
    more = LayerWeights("b", (array(4),), indices=(2,))
    save_weights(path, Weights({"a": LayerWeights("a", (array(2), array(3))), "b": more}))
    assert failure(net, path)[0].code == "weight-count"


def test_only_the_first_of_equally_named_layers_is_found() -> None:
    net = graph({"a": [(1,)], "a#2": [(1,)]})
    (missing,) = failure(net, {"a": [array(1)]})
    assert "`a#2`" in missing.message


def test_filling_depends_on_the_seed_and_the_name_alone() -> None:
    wide = fill_missing(graph({"a": [(5, 5)], "b": [(5, 5)]}), seed=3)
    alone = fill_missing(graph({"b": [(5, 5)]}), seed=3)
    other = fill_missing(graph({"b": [(5, 5)]}), seed=4)
    one, two = (g.parameters["b/0"].array for g in (wide, alone))
    assert np.array_equal(one, two) and not one.flags.writeable
    assert not np.array_equal(one, wide.parameters["a/0"].array)
    assert not np.array_equal(one, other.parameters["b/0"].array)
    assert fill_missing(wide) is wide
    assert assign(graph({"b": [(5, 5)]}), None, seed=3)[0].parameters["b/0"].array.shape == (5, 5)


def test_a_filler_that_cannot_fill_is_told_at_its_layer() -> None:
    net = graph({"up": [(2, 3)]})
    bad = Parameter("up/0", (2, 3), Filler("bilinear"), None, span(1))
    with pytest.raises(NetcError) as caught:
        fill_missing(net.replace(parameters={"up/0": bad}))
    (found,) = caught.value.diagnostics
    assert found.span == span(1) and found.message.startswith("layer `up`: parameter 0: ")
