"""Files of quantized weights: what is written is read again, and strangers' files are checked."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError
from netc.ops.reduced import Int8, weight_codes
from netc.weights.load import as_weights
from netc.weights.quantized import RECORD, SCALES, Quantization, quantization_in, save_quantized

RNG = np.random.default_rng(0)
WEIGHTS = {
    "conv": [RNG.standard_normal((4, 3, 2, 2)).astype(np.float32), np.ones(4, np.float32)],
    "bn": [np.ones(4, np.float32)],
}
LAYERS = {"conv": Int8(0.5, 128), "ip": Int8(0.25, 0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "net.int8.npz"
    save_quantized(made, as_weights(WEIGHTS), Quantization(LAYERS, {"items": 3}), {"conv/0"})
    return made


def test_what_is_written_is_read(path: Path) -> None:
    found = quantization_in(path)
    assert found is not None
    assert found.layers == LAYERS and found.made == {"items": 3}
    weights = netc.load_weights(path)
    assert list(weights) == ["conv", "bn"]
    codes, scales = weight_codes(WEIGHTS["conv"][0])
    np.testing.assert_array_equal(weights["conv"][0], codes * scales[:, None, None, None])
    np.testing.assert_array_equal(weights["conv"][1], WEIGHTS["conv"][1])
    with np.load(path) as arrays:
        assert arrays["conv/0"].dtype == np.int8


def test_other_weights_have_no_record(tmp_path: Path) -> None:
    plain = tmp_path / "plain.npz"
    netc.save_weights(plain, WEIGHTS)
    assert quantization_in(plain) is None
    assert quantization_in(WEIGHTS) is None and quantization_in(None) is None


def test_integers_of_others_are_weights_as_they_are(tmp_path: Path) -> None:
    plain = tmp_path / "plain.npz"
    np.savez(plain, **{"a/0": np.array([[1, -2]], np.int8)})
    assert netc.load_weights(plain)["a"][0].tolist() == [[1.0, -2.0]]


def rewritten(path: Path, **changed: Any) -> Path:
    with np.load(path) as arrays:
        kept = dict(arrays)
    kept.update(changed)
    np.savez(path, **kept)
    return path


def record(**changed: object) -> np.ndarray:
    content = {"version": 1, "layers": {"conv": {"scale": 0.5, "zero": 128}}, "made": {}}
    return np.frombuffer(json.dumps({**content, **changed}).encode(), np.uint8)


BAD_RECORDS = {
    "no bytes": np.ones(3, np.float32),
    "no JSON": np.frombuffer(b"{", np.uint8),
    "no text": np.frombuffer(b"\xff\xfe", np.uint8),
    "deep": np.frombuffer(b"[" * 100_000, np.uint8),
    "a list": np.frombuffer(b"[]", np.uint8),
    "another version": record(version=2),
    "layers": record(layers=[1]),
    "a layer": record(layers={"conv": 3}),
    "a zero": record(layers={"conv": {"scale": 0.5, "zero": 7}}),
    "no scale": record(layers={"conv": {"zero": 0}}),
    "a negative scale": record(layers={"conv": {"scale": -0.5, "zero": 0}}),
    "no number": record(layers={"conv": {"scale": float("nan"), "zero": 0}}),
    "infinity": record(layers={"conv": {"scale": 1e300, "zero": 0}}),
    "almost nothing": record(layers={"conv": {"scale": 1e-300, "zero": 0}}),
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_bad_record_is_told(path: Path, kind: str) -> None:
    bad = rewritten(path, **{RECORD: BAD_RECORDS[kind]})
    with pytest.raises(NetcError, match="malformed-weights"):
        quantization_in(bad)


@pytest.mark.parametrize(
    "scales", [np.ones(3, np.float32), np.ones((4, 1), np.float32), np.ones(4, np.float64)]
)
def test_scales_that_do_not_fit_are_told(path: Path, scales: np.ndarray) -> None:
    bad = rewritten(path, **{f"{SCALES}conv/0": scales})
    with pytest.raises(NetcError, match=r"malformed-weights.*scales of `conv/0`"):
        netc.load_weights(bad)


def test_pickled_objects_are_never_loaded(path: Path) -> None:
    bad = rewritten(path, **{RECORD: np.array([{"a": 1}], object)})
    with pytest.raises(NetcError):
        quantization_in(bad)


def test_a_record_that_unpacks_to_too_much_is_refused(path: Path) -> None:
    big = path.with_name("big.npz")
    with zipfile.ZipFile(big, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{RECORD}.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros(1 << 25, np.uint8))
    with pytest.raises(NetcError, match="malformed-weights"):
        quantization_in(big)
