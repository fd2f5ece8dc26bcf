"""Reading caffemodels: against Caffe's own files and against google.protobuf as an oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.internal import encoder

from netc.diagnostics import NetcError
from netc.migrate.names import v2_type
from netc.schema.load import load_schema
from netc.weights import Weights, caffemodel, load_weights, wire
from netc.weights.layer_types import V1_TYPES
from tests.weights.oracle import BlobProto, LooseBlobProto, Net

ROOT = Path(__file__).resolve().parent.parent.parent
REAL = [
    *sorted((ROOT / "tests" / "golden" / "models").glob("*.caffemodel")),
    *sorted((ROOT / "prototxt" / "digits").glob("*.caffemodel")),
]


def write(path: Path, net: Any) -> Path:
    path.write_bytes(net if isinstance(net, bytes) else net.SerializeToString())
    return path


def load(tmp_path: Path, net: Any) -> Weights:
    return load_weights(write(tmp_path / "net.caffemodel", net))


def failure(tmp_path: Path, net: Any) -> str:
    with pytest.raises(NetcError) as caught:
        load(tmp_path, net)
    return str(caught.value)


def one_blob(**fields: Any) -> Any:
    net = Net(name="one")
    net.layer.add(name="ip", type="InnerProduct").blobs.add(**fields)
    return net


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_real_files_agree_with_protobuf(path: Path) -> None:
    net = Net.FromString(path.read_bytes())
    weights = load_weights(path)
    assert weights.net_name == net.name
    assert weights.generation == "V2"
    assert weights.format == "caffemodel"
    assert not weights.diagnostics
    assert list(weights.layers) == [layer.name for layer in net.layer]
    for layer in net.layer:
        read = weights.layers[layer.name]
        assert read.type == layer.type
        assert len(read.arrays) == len(layer.blobs)
        for array, blob in zip(read.arrays, layer.blobs, strict=True):
            assert array.shape == tuple(blob.shape.dim)
            assert array.tobytes() == np.array(blob.data, np.float32).tobytes()


def test_arrays_are_aligned_read_only_float32(tmp_path: Path) -> None:
    net = one_blob(data=[1.5, -2.0], shape={"dim": [2]})
    (array,) = load(tmp_path, net)["ip"]
    assert array.dtype == np.float32
    assert array.flags.c_contiguous and array.flags.aligned and not array.flags.writeable
    with pytest.raises(ValueError):
        array[0] = 1


def test_the_mapping_has_the_layers_with_arrays_and_layers_has_all(tmp_path: Path) -> None:
    net = one_blob(data=[1], shape={"dim": [1]})
    net.layer.add(name="relu", type="ReLU")
    weights = load(tmp_path, net)
    assert list(weights) == ["ip"] and len(weights) == 1 and "relu" not in weights
    assert weights.layers["relu"].type == "ReLU"
    with pytest.raises(KeyError):
        weights["relu"]
    assert "1 layers, 4 bytes" in repr(weights)


def test_v1(tmp_path: Path) -> None:
    net = Net(name="old")
    layer = net.layers.add(name="conv1", type=4, bottom=["data"])
    layer.blobs.add(num=2, channels=1, height=1, width=3, data=range(6))
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[7, 8])
    net.layers.add(name="own", type=57)
    weights = load(tmp_path, net)
    assert weights.generation == "V1"
    assert weights.layers["conv1"].type == "Convolution"
    assert weights.layers["conv1"].legacy == (True, True)
    assert [a.shape for a in weights["conv1"]] == [(2, 1, 1, 3), (1, 1, 1, 2)]
    assert weights["conv1"][1].ravel().tolist() == [7, 8]
    assert weights.layers["own"].type == ""
    (note,) = weights.diagnostics
    assert note.severity == "note" and "layer type 57" in note.message


def test_the_numbers_of_v1_types_are_the_schema_s() -> None:
    field = load_schema().message("V1LayerParameter").fields["type"]
    assert field.enum is not None
    for number, type in V1_TYPES.items():
        assert v2_type(field.enum.names[number]) == type
    assert len(V1_TYPES) == 40


def test_v0(tmp_path: Path) -> None:
    net = Net()
    v0 = net.layers.add(bottom=["data"]).layer
    v0.name, v0.type, v0.num_output = "fc", "innerproduct", 2
    v0.blobs.add(num=1, channels=1, height=2, width=2, data=range(4))
    weights = load(tmp_path, net)
    assert weights.generation == "V0"
    assert weights.layers["fc"].type == "InnerProduct"
    assert weights["fc"][0].shape == (1, 1, 2, 2)


def test_the_fields_of_a_layer_may_come_in_any_order(tmp_path: Path) -> None:
    blob = BlobProto(data=[1, 2], shape={"dim": [2]}).SerializeToString()
    shape, data = blob[-5:], blob[:-5]
    assert Net.FromString(wrap(100, wrap(7, shape + data))).layer[0].blobs[0].data[:] == [1, 2]
    layer = wrap(7, shape + data) + wrap(2, b"InnerProduct") + wrap(1, b"ip")
    weights = load(tmp_path, wrap(100, layer))
    assert weights["ip"][0].tolist() == [1, 2]


def wrap(number: int, payload: bytes) -> bytes:
    """A length-delimited field, by protobuf's own encoder."""
    out: list[bytes] = []
    encoder.BytesEncoder(number, is_repeated=False, is_packed=False)(out.append, payload, False)
    return b"".join(out)


@pytest.mark.parametrize("count", [0, 1, 2, 17, 18, 145, 5000])
@pytest.mark.parametrize("field", ["data", "double_data"])
def test_values_with_a_tag_each(tmp_path: Path, field: str, count: int) -> None:
    values = np.linspace(-1, 1, count)
    loose = LooseBlobProto(shape={"dim": [count]}, **{field: values.tolist()}).SerializeToString()
    assert count == 0 or len(loose) > count * (5 if field == "data" else 9)
    blob = BlobProto.FromString(loose)
    body = wrap(1, b"ip") + wrap(7, loose)
    weights = load(tmp_path, wrap(100, body))
    want = np.array(getattr(blob, field), np.float32)
    (array,) = weights.layers["ip"].arrays
    assert array.tobytes() == want.tobytes()


def test_several_chunks_packed_and_not_are_joined(tmp_path: Path) -> None:
    parts = [
        BlobProto(data=[1, 2]).SerializeToString(),
        LooseBlobProto(data=[3]).SerializeToString(),
        BlobProto(data=[4]).SerializeToString(),
        BlobProto(diff=[9] * 4).SerializeToString(),
        LooseBlobProto(data=[5, 6]).SerializeToString(),
        BlobProto(shape={"dim": [3]}).SerializeToString(),
        BlobProto(shape={"dim": [2]}).SerializeToString(),
    ]
    joined = b"".join(parts)
    assert list(BlobProto.FromString(joined).data) == [1, 2, 3, 4, 5, 6]
    (array,) = load(tmp_path, wrap(100, wrap(7, joined))).layers[""].arrays
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_double_data_wins_over_data(tmp_path: Path) -> None:
    net = one_blob(data=[1, 2], double_data=[0.1, 1e300], shape={"dim": [2]})
    assert load(tmp_path, net)["ip"][0].tolist() == [np.float32(0.1), np.inf]


@pytest.mark.parametrize(("number", "dtype"), [(0, "<f8"), (1, "<f4"), (2, "<f2")])
def test_raw_data(tmp_path: Path, number: int, dtype: str) -> None:
    values = np.array([0.5, -3.25, 65504, 6e-8], dtype)
    net = one_blob(raw_data=values.tobytes(), raw_data_type=number, shape={"dim": [2, 2]})
    net.layer[0].blobs[0].raw_diff = b"\0" * 16
    net.layer[0].blobs[0].raw_diff_type = number
    (array,) = load(tmp_path, net)["ip"]
    assert np.array_equal(array, values.astype(np.float32).reshape(2, 2))


def test_the_legacy_shape_wins_over_shape(tmp_path: Path) -> None:
    net = one_blob(num=1, channels=1, height=1, width=2, shape={"dim": [2]}, data=[1, 2])
    weights = load(tmp_path, net)
    assert weights["ip"][0].shape == (1, 1, 1, 2)
    assert weights.layers["ip"].legacy == (True,)


def test_a_blob_without_axes_holds_one_value(tmp_path: Path) -> None:
    assert load(tmp_path, one_blob(data=[4]))["ip"][0].shape == ()


def test_the_last_of_equal_names_is_taken_with_a_warning(tmp_path: Path) -> None:
    net = one_blob(data=[1], shape={"dim": [1]})
    net.layer.add(name="ip", type="InnerProduct").blobs.add(data=[2], shape={"dim": [1]})
    net.layer.add(name="data"), net.layer.add(name="data")
    weights = load(tmp_path, net)
    assert weights["ip"][0].tolist() == [2]
    (warning,) = weights.diagnostics
    assert (warning.code, warning.severity) == ("duplicate-layer", "warning")


def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    weights = load(tmp_path, wrap(100, wrap(1, "étage/1×1".encode())))
    assert list(weights.layers) == ["étage/1×1"]
    assert list(load(tmp_path, wrap(100, wrap(1, b"a\xff"))).layers) == ["a\\xff"]


def test_mixed_formats_are_refused(tmp_path: Path) -> None:
    net = one_blob(data=[1], shape={"dim": [1]})
    net.layers.add(name="conv1", type=4)
    assert "error[mixed-layers]" in failure(tmp_path, net)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": [1, 2], "shape": {"dim": [3]}}, "holds 2 values, and its shape (3,) wants 3"),
        ({"shape": {"dim": [3]}}, "holds 0 values"),
        ({"shape": {"dim": [-1]}, "data": [1]}, "negative size, its shape is (-1,)"),
        ({"num": -5, "data": [1]}, "negative size"),
        ({"shape": {"dim": [2**40, 2**40]}}, "more than 2,147,483,647"),
        ({"shape": {"dim": [1] * 33}, "data": [1]}, "more than 32 axes"),
        ({"raw_data": b"1234", "shape": {"dim": [1]}}, "no `raw_data_type`"),
        ({"raw_data": b"1234", "raw_data_type": 3, "shape": {"dim": [1]}}, "of type INT"),
        ({"raw_data": b"12345", "raw_data_type": 1}, "5 bytes of `raw_data`, no multiple of 4"),
        ({"int32_data": [1], "shape": {"dim": [1]}}, "the unknown fields 101 (`int32_data`)"),
    ],
)
def test_bad_blobs(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    told = failure(tmp_path, one_blob(**fields))
    assert message in told
    assert "at byte " in told
    if "axes" not in message:
        assert "error[bad-blob]" in told and "blob 0 of layer `ip`" in told


def test_a_cut_off_file_says_how_much_is_missing(tmp_path: Path) -> None:
    whole = one_blob(data=range(100), shape={"dim": [100]}).SerializeToString()
    told = failure(tmp_path, whole[:-150])
    assert "error[truncated-weights]" in told
    assert "at byte 5: " in told and "at least 150 more bytes" in told


@pytest.mark.parametrize("cut", range(1, 30))
def test_every_cut_is_told_or_leaves_a_whole_net(tmp_path: Path, cut: int) -> None:
    whole = one_blob(data=[1, 2], shape={"dim": [2]}).SerializeToString()
    assert len(whole) > 30
    with pytest.raises(NetcError):
        load(tmp_path, whole[:-cut])


def test_a_lying_length_inside_a_record(tmp_path: Path) -> None:
    inner = b"\x3a\xff\xff\xff\xff\x07"  # blobs of 2 GB in a layer of 6 bytes
    told = failure(tmp_path, wrap(100, inner) + wrap(100, wrap(1, b"x")))
    assert "error[malformed-weights]" in told and "2,147,483,647 bytes" in told


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\x01n\xa3\x06\x00", "wire type 3"),
        (b"\x0a\x01n\x00\x00", "field number 0"),
        (b"\x0a\x01n" + b"\xff" * 12, "more than 10 bytes"),
        (b"\x0a\x01n\xa0\x06\x05\x01", "field 100 has wire type 0, and 2 is wanted"),
        (wrap(100, wrap(7, b"\x2a\x03abc")), "3 bytes, no multiple of 4"),
        (wrap(100, wrap(7, b"\x28\x03")), "C3D"),
        (wrap(100, wrap(7, b"\x08\xff")) + b"\x0a\x00", "runs over the end"),
        (wrap(100, b"\x38\x01"), "field 7 has wire type 0"),
    ],
)
def test_malformed(tmp_path: Path, data: bytes, message: str) -> None:
    told = failure(tmp_path, data)
    assert message in told and "error[malformed-weights]" in told and "at byte " in told


def test_limits_on_the_number_of_fields_and_blobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 100)
    assert "more than 100 fields" in failure(tmp_path, b"\x0a\x00" * 101)
    monkeypatch.setattr(caffemodel, "MAX_BLOBS", 10)
    empty = wrap(7, b"\x08\x00")
    assert "more than 10 blobs" in failure(tmp_path, wrap(100, empty * 11))


def test_a_long_name_is_refused(tmp_path: Path) -> None:
    assert "65,537 bytes" in failure(tmp_path, wrap(100, wrap(1, b"a" * 65537)))
