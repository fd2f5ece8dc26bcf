"""Every layer's numbers that Caffe computed, through what scripts write to and read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc.compat.opencv as dnn
import netc.compat.pycaffe as caffe

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "layers"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())
PHASES = {"TRAIN": caffe.TRAIN, "TEST": caffe.TEST}


def made(case: dict[str, Any], arrays: dict[str, Any]) -> caffe.Net:
    """The case's net with its parameters, by layer and index."""
    net = caffe.Net(str(FOLDER / f"{case['case']}.prototxt"), PHASES[case["phase"]])
    for key, array in of_kind(arrays, "param/").items():
        layer, _, index = key.rpartition("/")
        net.params[layer][int(index)].data[...] = array
    return net


def of_kind(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def loaded(case: dict[str, Any]) -> dict[str, Any]:
    with np.load(FOLDER / f"{case['case']}.npz") as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["case"])
def test_written_parameters_and_inputs_give_caffes_outputs(case: dict[str, Any]) -> None:
    arrays = loaded(case)
    net = made(case, arrays)
    for blob, array in of_kind(arrays, "in/").items():
        net.blobs[blob].reshape(*array.shape)
        net.blobs[blob].data[...] = array
    outputs = net.forward()
    for blob, want in of_kind(arrays, "out/").items():
        assert outputs[blob].shape == want.shape == net.blobs[blob].shape
        np.testing.assert_allclose(outputs[blob], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c["phase"] == "TEST"], ids=lambda c: c["case"]
)
def test_opencvs_interface_gives_caffes_outputs(case: dict[str, Any]) -> None:
    arrays = loaded(case)
    layer_of = {}
    for layer, tops in made(case, arrays).top_names.items():
        layer_of |= {top: layer for top in tops[:1]}
    net = dnn.readNetFromCaffe(str(FOLDER / f"{case['case']}.prototxt"))
    for key, array in of_kind(arrays, "param/").items():
        layer, _, index = key.rpartition("/")
        net.setParam(layer, int(index), array)
    for blob, array in of_kind(arrays, "in/").items():
        net.setInput(array, blob)
    for blob, want in of_kind(arrays, "out/").items():
        if blob in layer_of and net.getLayerId(layer_of[blob]) > 0:
            np.testing.assert_allclose(net.forward(layer_of[blob]), want, rtol=1e-4, atol=1e-5)
