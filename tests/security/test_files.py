"""Files of strangers: whatever a library raises on them is a located error."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netc import image_files
from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Diagnostic, NetcError
from netc.image_files import FORMATS, load_image
from netc.weights import load_mean, load_weights
from netc.weights.write import varint
from tests.security.texts import NET, array_in, net_in, outcome, refusal


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array, np.float32))
    return out.getvalue()


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """An .npy whose header says this."""
    line = text.encode("latin1").ljust(117) + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(line))
    return b"\x93NUMPY" + bytes([version, 0]) + size + line + data


def archive(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in entries:
            file.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def damaged(data: bytes, name: str, places: dict[int, int]) -> bytes:
    """An archive with bytes after its first entry's name turned."""
    out = bytearray(data)
    start = data.find(name.encode()) + len(name)
    for at, mask in places.items():
        out[start + at] ^= mask
    return bytes(out)


def flagged(data: bytes, local: int, central: int, value: int) -> bytes:
    """An archive with a byte of both of its headers set: flags, or the method."""
    out = bytearray(data)
    out[local] = value
    out[data.find(b"PK\x01\x02") + central] = value
    return bytes(out)


HEADERS = {
    "brackets": "{'descr': '<f4', 'fortran_order': False, 'shape': ((((((((, }",
    "no end": "{'descr': '<f4'",
    "a call": "{'descr': __import__('os'), 'fortran_order': False, 'shape': ()}",
    "an object": "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "a structure": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
    "a subarray": "{'descr': ('<f4', (2**40,)), 'fortran_order': False, 'shape': (1,)}",
    "text": "{'descr': '<U9', 'fortran_order': False, 'shape': (1,)}",
    "a negative size": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
    "a huge size": "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
    "sizes beside 0": "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2147483647, "
    "2147483647, 2147483647)}",
    "many axes": "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)*99}",
    "true as a size": "{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
    "null": "\0",
    "deep": "(" * 100,
}


def with_entry(name: str) -> dict[str, bytes]:
    """Archives that hold an array of this name, each damaged in its own way."""
    entry = [(f"{name}.npy", npy(np.ones((1, 3, 4, 4))))]
    plain = archive(entry)
    lzma = archive(entry, zipfile.ZIP_LZMA)
    named = f"{name}.npy"
    return {
        "bad lzma": damaged(lzma, named, {12: 0xFF, 20: 0xFF}),
        "a large dictionary": damaged(lzma, named, {5: 0xFF, 6: 0xFF, 7: 0xFF, 8: 0xFF}),
        "bad deflate": damaged(archive(entry, zipfile.ZIP_DEFLATED), named, {0: 0xFF, 9: 0x55}),
        "bad bzip2": damaged(archive(entry, zipfile.ZIP_BZIP2), named, {2: 0xFF, 9: 0x55}),
        "encrypted": flagged(plain, 6, 8, 1),
        "patched": flagged(plain, 6, 8, 32),
        "method 99": flagged(plain, 8, 10, 99),
        "bad checksum": damaged(plain, named, {200: 0xFF}),
        "cut": plain[:150],
        "a folder": archive([(f"{name}/", b"")]),
        "twice": archive([*entry, *entry]),
        **{f"header: {what}": archive([(named, header(h))]) for what, h in HEADERS.items()},
    }


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_archives_of_inputs(tmp_path: Path) -> None:
    net, path = net_in(tmp_path), tmp_path / "f.npz"
    for what, data in with_entry("data").items():
        path.write_bytes(data)
        for given in (str(path), f"data={path}"):
            told = refusal("run", net, "-i", given, "--backend", "reference")
            assert "f.npz" in told or "input" in told, (what, told)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_archives_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    for what, data in with_entry("fc/0").items():
        path.write_bytes(data)
        with pytest.raises(NetcError) as caught:
            load_weights(path)
        assert "w.npz" in str(caught.value), what


@pytest.mark.parametrize("what", HEADERS)
def test_arrays(tmp_path: Path, what: str) -> None:
    net, path = net_in(tmp_path), tmp_path / "f.npy"
    for version in (1, 2, 3, 9):
        path.write_bytes(header(HEADERS[what], bytes(16), version))
        assert "f.npy" in refusal("run", net, "-i", f"data={path}")
        with pytest.raises(NetcError, match=r"f\.npy"):
            load_mean(path)


def test_arrays_in_no_regular_file(tmp_path: Path) -> None:
    net = net_in(tmp_path)
    for path in ("/dev/null", str(tmp_path)):
        assert "error[" in refusal("run", net, "-i", f"data={path}", "--mean", path)
    os.mkfifo(tmp_path / "p.npy")
    assert "not a regular file" in refusal("run", net, "-i", f"data={tmp_path / 'p.npy'}")


@pytest.mark.parametrize(
    "keys", [("fc/0", "fc/00"), ("fc/0", "fc/0"), ("fc/1", "fc/001"), ("a/b/0", "a/b/00")]
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_names_of_one_array_are_refused(tmp_path: Path, keys: tuple[str, str]) -> None:
    (tmp_path / "w.npz").write_bytes(archive([(f"{k}.npy", npy([i])) for i, k in enumerate(keys)]))
    with pytest.raises(NetcError, match="duplicate-array") as caught:
        load_weights(tmp_path / "w.npz")
    assert f"`{keys[0]}`" in str(caught.value) and f"`{keys[1]}`" in str(caught.value)


def test_two_names_of_one_array_in_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/fc/0"], file["data/fc/00"] = np.ones(2), np.zeros(2)
    with pytest.raises(NetcError, match=r"duplicate-array.*`fc/0` and `fc/00`"):
        load_weights(tmp_path / "w.h5")


def test_arrays_that_differ_have_their_places(tmp_path: Path) -> None:
    entries = [(f"fc/{k}.npy", npy([k])) for k in (10, 0, 1)]
    (tmp_path / "w.npz").write_bytes(archive(entries))
    loaded = load_weights(tmp_path / "w.npz")
    assert [array.item() for array in loaded["fc"]] == [0, 1, 10]


@pytest.mark.parametrize(
    "dims", [(2**31 - 1, 2**31 - 1, 2**21 - 1, 0), (0, 2**31 - 1, 2**31 - 1, 2**31 - 1),
             (2**62, 0), (0, 2**63 - 1), (2**31, 0)]
)  # fmt: skip
def test_sizes_beside_a_size_of_zero(tmp_path: Path, dims: tuple[int, ...]) -> None:
    shape = b"".join(map(varint, dims))
    shape = b"\x0a" + varint(len(shape)) + shape
    blob = b"\x3a" + varint(len(shape)) + shape
    layer = b"\x0a\x02fc\x3a" + varint(len(blob)) + blob
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    with pytest.raises(NetcError, match=r"bad-blob.*w\.caffemodel"):
        load_weights(path)


def test_sizes_beside_a_size_of_zero_in_a_text(tmp_path: Path) -> None:
    sizes = " ".join(f"dim: {size}" for size in (2147483647, 2147483647, 2147483647, 0))
    text = f'type: "Input" top: "d" input_param {{ shape {{ {sizes} }} }}'
    net = net_in(tmp_path, f'layer {{ name: "d" {text} }}')
    assert "net.prototxt:1:" in refusal("check", net)


# Images

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


def pictures() -> dict[str, bytes]:
    """Files of the formats that Pillow knows and netc does not read."""
    from PIL import Image

    Image.init()
    picture, found = Image.new("RGB", (4, 4)), {"EPS": EPS}
    for name in sorted(set(Image.SAVE) - {"JPEG", "MPO", "JPEG2000", *FORMATS}):
        out = io.BytesIO()
        try:
            picture.save(out, name)
        except Exception:  # of another mode alone, or by a program that is not there
            continue
        found[name] = out.getvalue()
    return found


def test_other_formats_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EPS would be given to Ghostscript, whatever its name says."""
    trace = tmp_path / "RAN"
    for program in ("gs", "gswin32c", "convert", "sips", "djpeg", "netpbm"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho {program} >> {trace}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    others = pictures()
    assert len(others) > 5
    for name, data in others.items():
        path = tmp_path / "cat.png"
        path.write_bytes(data)
        with pytest.raises(NetcError, match=r"bad-image.*cat\.png") as caught:
            load_image(path)
        assert "it is no image" in str(caught.value), name
    told = refusal("run", net_in(tmp_path), "-i", f"data={tmp_path / 'cat.png'}")
    assert "PNG, JPEG, BMP" in told and not trace.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_the_named_formats_are_read(tmp_path: Path, name: str) -> None:
    from PIL import Image, features

    if name == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow reads no WebP")
    picture = Image.new("RGB", (5, 4), (200, 100, 50))
    path = tmp_path / f"a{FORMATS[name][0]}"
    options = {"quality": 100} if name in ("JPEG", "WEBP") else {}
    picture.save(path, name, **options)
    assert load_image(path).shape == (3, 4, 5)
    np.testing.assert_allclose(load_image(path)[:, 0, 0] * 255, (200, 100, 50), atol=4)


def test_the_first_picture_of_several_counts(tmp_path: Path) -> None:
    from PIL import Image

    first, *rest = (Image.new("L", (4, 4), value) for value in (10, 200, 250))
    for name in ("a.gif", "a.tif"):
        first.save(tmp_path / name, save_all=True, append_images=rest)
        np.testing.assert_allclose(load_image(tmp_path / name) * 255, 10, atol=1)


def test_damaged_images(tmp_path: Path) -> None:
    """Each of the formats, cut and turned at many places: a picture or a located error."""
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8))
    for name in FORMATS:
        out = io.BytesIO()
        picture.save(out, name)
        data = out.getvalue()
        for at in rng.integers(0, len(data), 60):
            turned = data[:at] + bytes([data[at] ^ rng.integers(1, 256)]) + data[at + 1 :]
            for bad in (turned, data[:at]):
                path = tmp_path / "a"
                path.write_bytes(bad)
                try:
                    load_image(path)
                except NetcError as error:
                    assert error.diagnostics[0].code in ("bad-image", "image-too-large")


# The boundary itself


class OddError(BaseException):
    """Such as a program's own stop."""


@pytest.mark.parametrize(
    "raised",
    [ValueError("a\x1b[31m\nb"), RuntimeError(), struct.error("x"), MemoryError(), RecursionError(),
     NotImplementedError("none"), AssertionError("x" * 999), StopIteration(), AttributeError("a")],
)  # fmt: skip
def test_whatever_is_raised_becomes_the_error(raised: Exception) -> None:
    def told(error: Exception) -> NetcError:
        return NetcError(Diagnostic("bad-image", f"x: {reason(error)}"))

    with pytest.raises(NetcError) as caught, strangers_bytes(told):
        raise raised
    said = caught.value.diagnostics[0].message
    assert 3 < len(said) < 220 and said.isprintable() and caught.value.__suppress_context__


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), OddError(), SystemExit(3)])
def test_what_is_no_fault_of_the_file_passes(raised: BaseException) -> None:
    def told(error: Exception) -> NetcError:
        raise AssertionError

    with pytest.raises(type(raised)), strangers_bytes(told):
        raise raised


def test_errors_of_pillow_are_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for raised in (NotImplementedError("a"), TypeError("b"), AttributeError("c"), OverflowError()):

        def convert(*_: object, error: Exception = raised) -> object:
            raise error

        monkeypatch.setattr(image_files, "_converted", convert)
        with pytest.raises(NetcError, match=r"bad-image.*a\.png"):
            load_image(tmp_path / "a.png")


def test_the_small_net_runs(tmp_path: Path) -> None:
    """So that what is refused above is refused for what it is."""
    net, feed = net_in(tmp_path, NET), array_in(tmp_path)
    code, out, _ = outcome("run", net, "-i", f"data={feed}", "--backend", "reference")
    assert code == 0 and out.startswith("fc:")
