"""Files as they are, and files that are no prototxt."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import Diagnostic, NetcError
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source
from tests.syntax.trees import bare


def fault(path: Path) -> Diagnostic:
    """The one fault of a file that is no prototxt."""
    with pytest.raises(NetcError) as caught:
        parse_document(read_source(path))
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, conv1=np.zeros(3))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net.prototxt", 'name: "x"')
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.prototxt"))
    return file.getvalue()


BINARY = {
    "a gzip archive": gzip.compress(b'name: "x"'),
    "a zip archive": zipped(),
    "an archive of NumPy arrays (.npz)": npz(),
    "a tar archive": tar(),
    "a NumPy array (.npy)": b"\x93NUMPY\x01\x00" + bytes(60),
    "a PNG image": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "a JPEG image": b"\xff\xd8\xff\xe0" + bytes(20),
    "a Python pickle": b"\x80\x02}q\x00.",
    "an ONNX model": b"\x08\x07\x12\x07pytorch\x1a\x031.9" + bytes(20),
    "a TensorFlow Lite model": b"\x1c\x00\x00\x00TFL3" + bytes(20),
    "a binary file": b"\xde\xad\xbe\xef" + bytes(20),
}


CODES = {
    "a gzip archive": "compressed-file",
    "a zip archive": "compressed-file",
    "a tar archive": "compressed-file",
    "an archive of NumPy arrays (.npz)": "swapped-arguments",
    "an HTML page": "html-page",
    "a git-LFS pointer, not the file it points to": "lfs-pointer",
}


@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_file_is_told(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.prototxt", BINARY[kind])
    told = fault(path)
    code = CODES.get(kind, "not-prototxt")
    assert (told.code, told.message) == (code, f"`{path}` is {kind}")
    assert told.help


def test_weights_in_the_place_of_the_net(golden: Path, tmp_path: Path) -> None:
    told = fault(golden / "models" / "lenet.caffemodel")
    assert "is a binary file of Caffe (.caffemodel), not a net's text" in told.message
    assert told.help == ("the net's text (.prototxt) comes first; give this file as the weights",)
    (tmp_path / "a.caffemodel.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "an HDF5 file" in fault(tmp_path / "a.caffemodel.h5").message


TEXTS = {
    "an HTML page": [
        "<!DOCTYPE html>\n<html>",
        "\n  <html lang=en>",
        "<!-- saved -->\n<!doctype HTML>",
    ],
    "an XML file": ['<?xml version="1.0"?>\n<net name="x"/>'],
    "a git-LFS pointer, not the file it points to": [
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    ],
    "the answer `404: Not Found`, saved in the file's place": ["404: Not Found", "Not Found\n"],
    "a JSON file": ['{"layers": []}', "{}", '[{"a": 1}]'],
    "a Python program": [
        "import caffe\nnet = 1\n",
        "# a net\n\nfrom caffe import layers as L\n",
        "#!/usr/bin/env python\nnet = 1\n",
        '"""A net."""\n',
        "def lenet(lmdb):\n",
    ],
    "a script": ["#!/bin/sh\ncaffe train\n"],
    "a schema (.proto), not a net": [
        'syntax = "proto2";\npackage caffe;',
        "// x\n".replace("//", "#") + "message NetParameter {\n",
    ],
    "a darknet configuration (.cfg)": ["[net]\nbatch=1\n", "; yolo\n[convolutional]\nsize=3\n"],
    "a YAML file": ["---\nname: x\n", "- name: x\n  type: y\n"],
    "an ncnn net (.param)": ["7767517\n75 83\n"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, t) for kind, ts in TEXTS.items() for t in ts])
def test_a_text_of_another_kind_is_told(kind: str, text: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.prototxt", text.encode())
    told = fault(path)
    code = CODES.get(kind, "not-prototxt")
    assert (told.code, told.message) == (code, f"`{path}` is {kind}")
    assert told.help
    assert told.span is not None
    assert told.span.start == len(text) - len(text.lstrip())


@pytest.mark.parametrize(
    "text",
    [
        "import: 1",
        "from: 1",
        "version { a: 1 }",
        "message: 1",
        "package: 1",
        "[net.x]: 1",
        "syntax: 1",
        "Not: 1",
        "class: 1",
        "#!shebang\na: 1",
        "# <html>\na: 1",
    ],
)
def test_a_net_with_words_of_other_files_is_a_net(text: str, tmp_path: Path) -> None:
    source = read_source(written(tmp_path / "a", text.encode()))
    assert len(parse_document(source).fields) == 1


def test_a_missing_file_has_near_names(tmp_path: Path) -> None:
    written(tmp_path / "deploy.prototxt", b"")
    told = fault(tmp_path / "depoly.prototxt")
    assert told.code == "missing-file"
    assert told.help == ("did you mean `deploy.prototxt`?",)
    assert fault(tmp_path / "xyz").help == ()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    told = fault(tmp_path / "model" / "a" / "net.prototxt")
    assert told.help == (f"there is no folder `{tmp_path / 'model'}`", "did you mean `models`?")


def test_a_folder_is_told_with_the_nets_in_it(tmp_path: Path) -> None:
    written(tmp_path / "net.prototxt", b"")
    told = fault(tmp_path)
    assert told.code == "is-a-directory"
    assert told.help == (f"give one of its files: `{tmp_path / 'net.prototxt'}`",)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = written(tmp_path / "net.prototxt", b"")
    path.chmod(0)
    assert fault(path).code == "unreadable-file"


def test_permission_denied_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_keywords: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    told = fault(tmp_path / "net.prototxt")
    assert told.code == "unreadable-file"
    assert "you may not read" in told.message


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    assert fault(tmp_path / name).code == "unreadable-file"


def test_a_file_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netc.syntax.reader.MAX_BYTES", 1000)
    told = fault(written(tmp_path / "net.prototxt", b"a: 1\n" * 300))
    assert told.code == "too-large"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = written(tmp_path / "net.prototxt", "name: 'caf\u00e9' # \u00e9".encode(encoding))
    (field,) = parse_document(read_source(path)).fields
    value = "caf\u00e9".encode("latin-1" if encoding == "latin-1" else "utf-8")
    assert bare(field) == ("name", ("string", value))
    assert (field.span.line, field.span.column) == (1, 1)


def test_an_empty_file_is_an_empty_net(tmp_path: Path) -> None:
    assert parse_document(read_source(written(tmp_path / "a", b""))).fields == ()


def test_a_stray_control_character_makes_no_binary_file(tmp_path: Path) -> None:
    told = fault(written(tmp_path / "a", b"a: 1\nb: 2 \x01\nc: 3\n"))
    assert (told.code, told.span and told.span.line) == ("bad-character", 2)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    link = tmp_path / "net.prototxt"
    link.symlink_to("nowhere.prototxt")
    told = fault(link)
    assert told.code == "missing-file"
    assert told.help == ("it is a link to `nowhere.prototxt`, which is not there",)
