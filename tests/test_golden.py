"""Every number that BVLC Caffe computed, by every way netc has of running a net."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.frontend import build, read_net
from netc.infer import blob_shapes

GOLDEN = Path(__file__).resolve().parent / "golden"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "layers" / "manifest.json").read_text())
SHAPES: dict[str, Any] = json.loads((GOLDEN / "shapes.json").read_text())


def arrays(path: Path, prefix: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path) as file:
        return {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}


def params(path: Path) -> dict[str, list[np.ndarray[Any, Any]]]:
    found: dict[str, dict[int, np.ndarray[Any, Any]]] = {}
    for name, array in arrays(path, "param/").items():
        layer, _, index = name.rpartition("/")
        found.setdefault(layer, {})[int(index)] = array
    return {layer: [blobs[i] for i in sorted(blobs)] for layer, blobs in found.items()}


def assert_agrees(got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], what: str) -> None:
    assert got.shape == want.shape, f"{what}: {got.shape} != {want.shape}"
    assert got.dtype == np.float32
    excess = np.abs(got.astype(np.float64) - want) - (1e-5 + 1e-4 * np.abs(want))
    assert not (excess > 0).any(), f"{what}: off by {np.max(np.abs(got - want))}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_layer(case: dict[str, Any], backend: str) -> None:
    text = GOLDEN / "layers" / f"{case['case']}.prototxt"
    data = text.with_suffix(".npz")
    wanted = arrays(data, "out/")
    # Measuring ways for hundreds of small sizes takes a GPU minutes; the models below have it.
    net = netc.compile(text, params(data), backend=backend, phase=case["phase"], tune=False)
    got = net(arrays(data, "in/"))
    assert set(got) >= set(wanted)
    for name, want in wanted.items():
        assert_agrees(got[name], want, name)


@pytest.mark.parametrize("model", ("lenet", "mtcnn_det1"))
def test_model(model: str, backend: str) -> None:
    text = GOLDEN / "models" / f"{model}.prototxt"
    data = arrays(text.with_suffix(".npz"), "in/")
    shapes = {name: array.shape for name, array in data.items()}
    net = netc.compile(text, text.with_suffix(".caffemodel"), backend=backend, inputs=shapes)
    got = net(data)
    for name, want in arrays(text.with_suffix(".npz"), "out/").items():
        assert_agrees(got[name], want, name)


@pytest.mark.parametrize(
    "weights", ("digits.caffemodel", "digits_from_deploy.caffemodel", "digits.caffemodel.h5")
)
def test_digits(weights: str, backend: str) -> None:
    folder = GOLDEN.parent.parent / "prototxt" / "digits"
    with np.load(folder / "holdout.npz") as file:
        data, label, want = file["data"], file["label"], file["prob_from_caffe"]
    net = netc.compile(folder / "deploy.prototxt", folder / weights, backend=backend)
    got = net(data=data)["prob"]
    assert_agrees(got, want, "prob")
    assert round(float((got.argmax(1) == label).mean()), 4) == 0.9833


@pytest.mark.parametrize("key", SHAPES)
def test_shapes_of_public_nets(key: str, corpus: Path) -> None:
    want = SHAPES[key]
    file, _, phase = key.partition("#")
    text = read_net(corpus / "files" / file)
    # `given` has the shapes of the TEST phase's data layer where the two phases name blobs alike;
    # `blobs` has those the net was really run with.
    given = {name: tuple(want["blobs"][name]) for name in want["given"]}
    built = build(text.message, phase=phase, inputs=given)
    errors = [d for d in built.diagnostics if d.severity == "error"]
    assert not errors
    assert {k: list(s) for k, s in blob_shapes(built.graph).items()} == want["blobs"]
    assert list(built.graph.outputs) == want["outputs"]
    assert [m.get("type") for m in built.layers if m.get("type") not in SOURCES] == [
        kind for _, kind in want["layers"] if kind not in SOURCES
    ]
    assert parameter_shapes(built.graph) == want["params"]


SOURCES = {
    "Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData",
}  # fmt: skip


def parameter_shapes(graph: Any) -> dict[str, list[list[int]]]:
    return {
        node.name: [list(graph.parameters[name].shape) for name in node.parameters]
        for node in graph.nodes
        if node.parameters
    }
