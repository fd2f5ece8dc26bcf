"""Writing weights, and reading them back, in every format."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from netc.diagnostics import NetcError
from netc.weights import LayerWeights, Weights, archive, load_weights, save_weights, write
from tests.optional import lacking
from tests.weights.oracle import Net

DIGITS = Path(__file__).resolve().parent.parent.parent / "prototxt" / "digits"
SUFFIXES = (".caffemodel", ".caffemodel.h5", ".npz")

names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0/"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
nested = st.lists(names, min_size=1, max_size=3).map("/".join)
arrays = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)
weights = st.dictionaries(nested, st.lists(arrays, max_size=3), min_size=1, max_size=5)


def clash(layers: dict[str, Any]) -> bool:
    """Whether a layer's name begins with another's array, which HDF5 cannot have."""
    blobs = {f"{name}/{i}" for name, given in layers.items() for i in range(len(given))}
    return any(f"{name}/".startswith(f"{blob}/") for name in layers for blob in blobs)


def assert_same(got: Weights, wanted: dict[str, Any]) -> None:
    assert set(got) == {name for name, blobs in wanted.items() if blobs}
    for name, blobs in wanted.items():
        read = got.layers[name].arrays if blobs else ()
        assert [a.shape for a in read] == [a.shape for a in blobs]
        assert [a.tobytes() for a in read] == [a.tobytes() for a in blobs]
        assert all(not a.flags.writeable and a.dtype == np.float32 for a in read)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(layers=weights)
@settings(max_examples=60, deadline=None)
def test_round_trip(
    suffix: str, layers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / f"net{suffix}"
    if suffix == ".npz" and not any(layers.values()):
        layers["more"] = [np.ones(2, np.float32)]
    try:
        save_weights(path, layers)
    except NetcError as error:
        if lacking(error):
            raise
        assert error.diagnostics[0].code == "unsupported-name" and clash(layers)
        assert not path.exists()
        return
    assert_same(load_weights(path), layers)


@given(layers=weights)
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_those_of_protobuf(
    layers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "net.caffemodel"
    save_weights(path, layers)
    net = Net()
    for name, blobs in layers.items():
        layer = net.layer.add(name=name)
        for array in blobs:
            blob = layer.blobs.add(data=array.ravel())
            if array.ndim:
                blob.shape.dim.extend(array.shape)
    # floats pass through protobuf as they are, but for the bits of a NaN
    if not any(np.isnan(a).any() for given in layers.values() for a in given):
        assert path.read_bytes() == net.SerializeToString(deterministic=True)
    assert Net.FromString(path.read_bytes()).ByteSize() == path.stat().st_size


def test_hdf5_and_caffemodel_of_caffe_hold_the_same() -> None:
    binary = load_weights(DIGITS / "digits_from_deploy.caffemodel")
    hdf5 = load_weights(DIGITS / "digits.caffemodel.h5")
    assert hdf5.format == "hdf5" and hdf5.generation is None
    assert set(binary.layers) == set(hdf5.layers)
    assert_same(hdf5, {name: list(arrays) for name, arrays in binary.items()})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_types_and_layers_without_arrays_are_kept_where_the_format_can(
    tmp_path: Path, suffix: str
) -> None:
    first = load_weights(DIGITS / "digits.caffemodel")
    path = tmp_path / f"net{suffix}"
    save_weights(path, first)
    again = load_weights(path)
    assert_same(again, {name: list(arrays) for name, arrays in first.items()})
    if suffix == ".caffemodel":
        assert again.net_name == "digits"
        assert [(x.name, x.type) for x in again.layers.values()] == [
            (x.name, x.type) for x in first.layers.values()
        ]
    if suffix == ".caffemodel.h5":
        assert set(again.layers) == set(first.layers)


def test_numbers_of_other_types_are_converted(tmp_path: Path) -> None:
    given = {"a": (np.arange(6, dtype=np.float64).reshape(2, 3).T, [[1, 2]], np.True_)}
    save_weights(tmp_path / "net.npz", given)
    first, second, third = load_weights(tmp_path / "net.npz")["a"]
    assert first.tolist() == [[0, 3], [1, 4], [2, 5]] and first.flags.c_contiguous
    assert second.tolist() == [[1, 2]] and third.tolist() == 1


@pytest.mark.parametrize(
    "given", [{"a": np.ones(3)}, {"a": ["x"]}, {"a": [None]}, {"a": [[1, [2]]]}, {"a": [1j]}, 3]
)
def test_what_is_no_weights(tmp_path: Path, given: Any) -> None:
    with pytest.raises(NetcError) as caught:
        save_weights(tmp_path / "net.npz", given)
    assert caught.value.diagnostics[0].code in ("bad-blob", "bad-weights")


def test_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(NetcError, match="unknown-suffix"):
        save_weights(tmp_path / "net.pt", {})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    save_weights(path, {"a": [np.ones(1, np.float32)]})
    with pytest.raises(NetcError, match="unsupported-name"):
        save_weights(path, {"a//b": [np.ones(1, np.float32)]})
    assert load_weights(path)["a"][0].tolist() == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["net.h5"]
    with pytest.raises(NetcError, match="cannot-write"):
        save_weights(tmp_path / "absent" / "net.npz", {})


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save_weights(path, {"a": [np.ones(1, np.float32)]})
    path.chmod(0o640)
    save_weights(path, {"a": [np.ones(1, np.float32)]})
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_is_written_through(tmp_path: Path) -> None:
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real.npz")
    save_weights(link, {"a": [np.ones(1, np.float32)]})
    assert link.is_symlink() and (tmp_path / "real.npz").exists()


def test_a_caffemodel_beyond_what_caffe_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_MAX_FILE", 100)
    with pytest.raises(NetcError, match="at most 100"):
        save_weights(tmp_path / "net.caffemodel", {"a": [np.ones(30, np.float32)]})


def test_a_blob_that_hdf5_leaves_to_its_owner(tmp_path: Path) -> None:
    one = np.ones(1, np.float32)
    layers = {"a": LayerWeights("a", (one,), indices=(1,)), "b": LayerWeights("b", (one,))}
    for suffix in (".h5", ".npz"):
        path = tmp_path / f"net{suffix}"
        save_weights(path, Weights(layers))
        assert load_weights(path).layers["a"].indices == (1,)
    with pytest.raises(NetcError, match=r"has blobs \[1\] alone"):
        save_weights(tmp_path / "net.caffemodel", Weights(layers))


def test_legacy_blobs_are_saved_in_the_shape_of_their_type(tmp_path: Path) -> None:
    net = Net()
    for name, kind in (("conv", 4), ("ip", 14), ("own", 60)):
        layer = net.layers.add(name=name, type=kind)
        layer.blobs.add(num=1, channels=1, height=2, width=3, data=range(6))
        layer.blobs.add(num=1, channels=1, height=1, width=2, data=range(2))
    (tmp_path / "old.caffemodel").write_bytes(net.SerializeToString())
    old = load_weights(tmp_path / "old.caffemodel")
    wanted = {
        "conv": [(1, 1, 2, 3), (2,)],
        "ip": [(2, 3), (2,)],
        "own": [(1, 1, 2, 3), (1, 1, 1, 2)],
    }
    for suffix in SUFFIXES:
        path = tmp_path / f"net{suffix}"
        save_weights(path, old)
        new = load_weights(path)
        assert {name: [a.shape for a in arrays] for name, arrays in new.items()} == wanted
        assert new["ip"][0].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    saved = Net.FromString((tmp_path / "net.caffemodel").read_bytes())
    assert [b.HasField("num") for layer in saved.layer for b in layer.blobs] == [False] * 4 + [
        True
    ] * 2


def test_hdf5_groups_and_faults(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "net.h5"

    def failure(fill: Any) -> str:
        with h5py.File(path, "w") as file:
            fill(file)
        with pytest.raises(NetcError) as caught:
            load_weights(path)
        return str(caught.value)

    one = np.ones(1, np.float32)
    assert "error[no-layers]" in failure(lambda f: f.create_group("data"))
    assert "Keras" in failure(lambda f: f.create_group("model_weights"))
    assert "`x`" in failure(lambda f: f.create_dataset("x", data=one))
    assert "error[not-weights]" in failure(lambda f: f.create_dataset("data", data=one))
    assert "`ip/weight`" in failure(lambda f: f.create_dataset("data/ip/weight", data=one))
    assert "no real numbers" in failure(lambda f: f.create_dataset("data/ip/0", data=b"text"))
    assert "error[too-large]" in failure(
        lambda f: f.create_dataset("data/ip/0", shape=(2**15, 2**15), dtype="f4")
    )
    assert "at most 2,147,483,647" in failure(
        lambda f: f.create_dataset("data/ip/0", shape=(2**40, 2**20), dtype="f4", chunks=True)
    )
    assert "is a link" in failure(lambda f: _link(f, h5py.ExternalLink("other.h5", "/data")))
    assert "is a link" in failure(lambda f: _link(f, h5py.SoftLink("/data")))


def _link(file: Any, link: Any) -> None:
    file.create_group("data")["ip"] = link


def test_hdf5_that_holds_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "net.h5", "w") as file:
        group = file.create_group("data")
        group["a"], group["b"] = group, group
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1000)
    with pytest.raises(NetcError):
        load_weights(tmp_path / "net.h5")


def test_hdf5_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(NetcError) as caught:
        load_weights(DIGITS / "digits.caffemodel.h5")
    assert "pip install 'netc[h5]'" in str(caught.value)
    with pytest.raises(NetcError, match="missing-package"):
        save_weights(tmp_path / "net.h5", {})


def npz(path: Path, compression: int = zipfile.ZIP_STORED, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in files.items():
            file.writestr(name.replace("__", "/") + ".npy", data)
    return path


def npy(array: Any, **header: Any) -> bytes:
    out = io.BytesIO()
    if header:
        np.lib.format.write_array_header_1_0(out, {"fortran_order": False, **header})
        return out.getvalue() + bytes(array)
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({}, "no-layers"),
        ({"ip": npy(np.ones(1))}, "bad-key"),
        ({"ip__w": npy(np.ones(1))}, "bad-key"),
        ({"ip__0": npy(np.array([None]))}, "bad-blob"),
        ({"ip__0": npy(np.array(["x"]))}, "bad-blob"),
        ({"ip__0": npy(b"1234", descr="<f4", shape=(2,))}, "truncated-weights"),
        ({"ip__0": npy(b"12345678", descr="<f4", shape=(1,))}, "malformed-weights"),
        ({"ip__0": npy(b"", descr="<f4", shape=(2**28,))}, "too-large"),
        ({"ip__0": npy(b"", descr="<f4", shape=(2**20, 2**20))}, "bad-blob"),
        ({"ip__0": b"nonsense"}, "malformed-weights"),
        ({"ip__0": b"\x93NUMPY\x01\x00\x07\x00{[]:1}\n"}, "malformed-weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_npz_faults(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    with pytest.raises(NetcError) as caught:
        load_weights(npz(tmp_path / "net.npz", **files))
    assert caught.value.diagnostics[0].code == code


def test_npz_as_numpy_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    values = np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3))
    np.savez_compressed(path, **{"a/b/0": values, "c/1": np.float16(2)})
    read = load_weights(path)
    assert read["a/b"][0].tolist() == [[0, 1, 2], [3, 4, 5]] and read["a/b"][0].flags.c_contiguous
    assert read.layers["c"].indices == (1,)


def test_an_npz_cut_off_or_changed(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    save_weights(path, {"a": [np.arange(1000, dtype=np.float32)]})
    data = path.read_bytes()
    path.write_bytes(data[:2000])
    with pytest.raises(NetcError, match="truncated-weights"):
        load_weights(path)
    path.write_bytes(data[:2000] + b"\xff" + data[2001:])
    with pytest.raises(NetcError, match="CRC"):
        load_weights(path)
