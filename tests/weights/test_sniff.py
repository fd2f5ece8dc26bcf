"""Files that people give as weights by mistake."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.weights import load_weights

ROOT = Path(__file__).resolve().parent.parent.parent
PROTOTXT = (ROOT / "tests" / "golden" / "models" / "lenet.prototxt").read_bytes()
CAFFEMODEL = (ROOT / "prototxt" / "digits" / "digits.caffemodel").read_bytes()


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


CASES = {
    "empty": (b"", "empty-file", "the file is empty"),
    "html": (b"\n<!DOCTYPE html>\n<html>", "html-page", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "lfs-pointer", "lfs"),
    "prototxt": (PROTOTXT, "swapped-arguments", "swapped?"),
    "text": (b"404: Not Found", "not-weights", "text"),
    "darknet": (b"[net]\nbatch=1\n[convolutional]\nlayer={}\n", "not-weights", "darknet"),
    "json": (b'{"layers": [1]}', "not-weights", "JSON"),
    "gzip": (gzip.compress(CAFFEMODEL), "compressed-file", "gunzip"),
    "zip": (zipped(net_dot_caffemodel=CAFFEMODEL), "compressed-file", "net.caffemodel"),
    "torch": (zipped(archive__data_dot_pkl=b"x"), "not-weights", "PyTorch"),
    "old torch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "not-weights", "PyTorch"),
    "npy": (npy(), "not-weights", "NumPy"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x3a\x03abc", "not-weights", "ONNX"),
    "mean": (b"\x08\x01\x10\x01\x18\x01\x20\x01\x2a\x04abcd", "not-weights", "mean file"),
    "solverstate": (b"\x08\x0a\x12\x0cx.caffemodel\x1a\x02\x08\x01", "not-weights", "solver's"),
    "tflite": (b"\x1c\0\0\0TFL3abc", "not-weights", "TensorFlow Lite"),
    "no layers": (b"\x0a\x01n\x18\x01", "no-layers", "no layers"),
    "noise": (bytes(range(1, 256)), "malformed-weights", "at byte"),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_told_by_what_it_is(tmp_path: Path, case: str) -> None:
    data, code, words = CASES[case]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(NetcError) as caught:
        load_weights(path)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert words in str(caught.value)
    assert str(path) in found.message
    assert found.help


def test_absent_files_folders_and_pipes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    cases = (
        (tmp_path / "pipes", "missing-file", "did you mean `pipe`?"),
        (tmp_path / "absent" / "x", "missing-file", "there is no folder"),
        (tmp_path, "is-a-directory", "is a folder"),
        (pipe, "unreadable-file", "save them to a file"),
        ("a\0b", "unreadable-file", "cannot be read"),
    )
    for path, code, words in cases:
        with pytest.raises(NetcError) as caught:
            load_weights(path)
        assert caught.value.diagnostics[0].code == code
        assert words in str(caught.value)


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(CAFFEMODEL)
    assert load_weights(path).format == "caffemodel"
