"""Mean images and other single blobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.weights import load_blob, load_mean
from tests.weights.oracle import BlobProto

DIGITS = Path(__file__).resolve().parent.parent.parent / "prototxt" / "digits"


def test_a_binaryproto(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    values = np.arange(12, dtype=np.float32)
    blob = BlobProto(num=1, channels=3, height=2, width=2, data=values)
    path.write_bytes(blob.SerializeToString())
    assert np.array_equal(load_mean(path), values.reshape(3, 2, 2))
    assert load_blob(path).shape == (1, 3, 2, 2)
    path.write_bytes(BlobProto(data=values, shape={"dim": [3, 4]}).SerializeToString())
    assert load_blob(path).shape == (3, 4)
    with pytest.raises(NetcError, match=r"this one has shape \(3, 4\)"):
        load_mean(path)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2), (1, 3, 2, 2)])
def test_npy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "mean.npy"
    values = np.random.default_rng(0).random(shape)
    np.save(path, values)
    mean = load_mean(path)
    assert mean.dtype == np.float32 and not mean.flags.writeable
    assert np.array_equal(mean, values.astype(np.float32).reshape(shape[-3:]))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"\x93NUMPY\x01\x00", "malformed-weights"),
        (b"name: 'net'", "not-weights"),
        (b"\x2a\x08\x00\x00", "truncated-weights"),
        ((DIGITS / "digits.caffemodel").read_bytes(), "not-a-mean"),
    ],
    ids=["empty", "npy", "text", "cut", "weights"],
)
def test_faults(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "mean"
    path.write_bytes(data)
    with pytest.raises(NetcError) as caught:
        load_mean(path)
    assert caught.value.diagnostics[0].code == code


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.array([None]), allow_pickle=True)
    with pytest.raises(NetcError, match="cannot be read"):
        load_mean(tmp_path / "mean.npy")
