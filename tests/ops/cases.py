"""The golden layer cases: one small net each, with the numbers that BVLC Caffe computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.diagnostics import Diagnostic, NetcError, Source
from netc.ir.types import Shape
from netc.ops.define import LayerContext, OpDef, ShapeError
from netc.schema.bind import bind
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.parser import parse_document

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "layers"
ABSOLUTE, RELATIVE = 1e-5, 1e-4  # the agreement that golden/README.md asks for

Arrays = Mapping[str, np.ndarray]


@cache
def manifest() -> Mapping[str, Mapping[str, Any]]:
    """Case name -> its entry."""
    entries = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return {entry["case"]: entry for entry in entries}


def cases_of(*types: str) -> list[str]:
    """Names of the cases of these layer types; there must be some of each."""
    found = {name: entry["type"] for name, entry in manifest().items() if entry["type"] in types}
    assert set(found.values()) == set(types), "a type has no golden case"
    return list(found)


@dataclass(frozen=True)
class Case:
    """A case: its net and its arrays; ``params`` is layer -> arrays in Caffe's order."""

    name: str
    phase: str
    net: Message
    inputs: Arrays
    params: Mapping[str, tuple[np.ndarray, ...]]
    outputs: Arrays
    params_after: Mapping[str, tuple[np.ndarray, ...]]

    @property
    def layers(self) -> list[Message]:
        """The layers that compute something."""
        return [layer for layer in self.net.get("layer") if layer.get("type") != "Input"]


def load_case(name: str) -> Case:
    """The case of this name."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        arrays = dict(archive)
    text = (FOLDER / f"{name}.prototxt").read_text(encoding="utf-8")
    return Case(
        name,
        manifest()[name]["phase"],
        bind_net(text, f"{name}.prototxt"),
        _under(arrays, "in/"),
        _by_layer(_under(arrays, "param/")),
        _under(arrays, "out/"),
        _by_layer(_under(arrays, "param_after/")),
    )


def bind_net(text: str, name: str = "net.prototxt") -> Message:
    """A NetParameter of a text."""
    schema = load_schema()
    return bind(parse_document(Source(name, text)), schema.message("NetParameter"))


def bind_layer(text: str) -> Message:
    """A LayerParameter of the text between its braces."""
    layers = bind_net(f"layer {{ {text} }}").get("layer")
    assert len(layers) == 1
    result: Message = layers[0]
    return result


def context_of(layer: Message, phase: str = "TEST") -> LayerContext:
    """The context that lowering gives."""
    return LayerContext(phase, len(layer.get("bottom")), len(layer.get("top")))


def run_case(case: Case, ops: Mapping[str, OpDef]) -> dict[str, np.ndarray]:
    """All blobs after the case's layers; asserts that every rule agrees with Caffe's arrays."""
    blobs = dict(case.inputs)
    for layer in case.layers:
        inputs = [read_only(blobs[name]) for name in layer.get("bottom")]
        params = case.params.get(layer.get("name"), ())
        outputs = run_layer(ops[layer.get("type")], layer, inputs, params, case.phase)
        blobs.update(zip(layer.get("top"), outputs, strict=False))
    return blobs


def run_layer(
    op: OpDef,
    layer: Message,
    inputs: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    phase: str = "TEST",
) -> list[np.ndarray]:
    """A layer's outputs by its reference kernel; asserts that its rules agree with the arrays."""
    params = op.params(layer, context_of(layer, phase))
    shapes = [array.shape for array in inputs]
    specs = op.weights(params, shapes)
    assert [spec.shape for spec in specs] == [array.shape for array in weights]
    outputs = [np.asarray(a) for a in op.reference(params, inputs, list(map(read_only, weights)))]
    said = op.shape(params, shapes)
    _check_shapes(op, [array.shape for array in outputs], said)
    assert all(array.dtype == np.float32 for array in outputs)
    cost = op.cost(params, shapes, said)
    assert cost.macs >= 0 and cost.operations >= 0
    op.window(params, shapes, said)
    return outputs


def _check_shapes(op: OpDef, got: Sequence[Shape], said: Sequence[Shape]) -> None:
    """What comes out is what the shape rule says; at most so many items, where data decide."""
    if op.name == "Filter":
        assert all(g[0] <= s[0] for g, s in zip(got, said, strict=True))
        got = [(s[0], *g[1:]) for g, s in zip(got, said, strict=True)]
    assert list(got) == list(said)


def check_case(case: Case, ops: Mapping[str, OpDef]) -> None:
    """Run a case and compare every output with Caffe's."""
    blobs = run_case(case, ops)
    assert case.outputs
    for name, wanted in case.outputs.items():
        assert_close(blobs[name], wanted, f"{case.name}: {name}")


def assert_close(got: np.ndarray, wanted: np.ndarray, what: str = "") -> None:
    """Equal shapes, and |got - wanted| <= 1e-5 + 1e-4 |wanted|."""
    assert got.shape == wanted.shape, what
    np.testing.assert_allclose(got, wanted, rtol=RELATIVE, atol=ABSOLUTE, err_msg=what)


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that a kernel cannot write to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _under(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _by_layer(arrays: Arrays) -> dict[str, tuple[np.ndarray, ...]]:
    layers: dict[str, dict[int, np.ndarray]] = {}
    for key, array in arrays.items():
        name, _, index = key.rpartition("/")
        layers.setdefault(name, {})[int(index)] = array
    return {name: tuple(found[i] for i in sorted(found)) for name, found in layers.items()}


def complaint(op: OpDef, text: str, phase: str = "TEST") -> Diagnostic:
    """The only diagnostic of a layer whose parameters are refused."""
    layer = bind_layer(text)
    with pytest.raises(NetcError) as caught:
        op.params(layer, context_of(layer, phase))
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def misfit(op: OpDef, text: str, *shapes: Shape) -> ShapeError:
    """The complaint of a layer's shape rule about its bottoms."""
    layer = bind_layer(text)
    params = op.params(layer, context_of(layer))
    with pytest.raises(ShapeError) as caught:
        op.shape(params, shapes)
    return caught.value


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
