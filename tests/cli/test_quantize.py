"""``netc quantize``, and nets run with what it wrote."""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.cli.main import main
from netc.data import prototxt_dir
from netc.diagnostics import NetcError

DIGITS = prototxt_dir() / "digits"
NET, WEIGHTS = DIGITS / "deploy.prototxt", DIGITS / "digits.caffemodel"
ARRAYS = DIGITS / "test_digits.npz"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quantized") / "digits.int8.npz"
    assert main([*command(out), "--items", "60"]) == 0
    return out


def command(out: Path, net: Path = NET) -> list[str]:
    return ["quantize", str(net), str(WEIGHTS), "--calibrate", str(ARRAYS), "-o", str(out)]


def test_it_tells_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.int8.npz"
    assert main([*command(out), "--items", "40", "--held", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 layers in int8, within top-1 agreement of at least 0.99" in said
    assert "calibration: top-1 agreement 1.0000" in said and "of 20 inputs" in said
    assert f"wrote {out}" in said
    assert max(map(len, said.splitlines())) <= 80 or str(tmp_path) in said


def test_what_it_measured_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.int8.npz"
    options = ["--items", "40", "--max-error", "0.01", "--method", "kl", "--blob", "ip2", "--json"]
    assert main([*command(out), *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["calibration"]["error"] <= 0.01 and told["calibration"]["items"] == 30
    assert {layer["name"] for layer in told["layers"]} == {"conv1", "conv2", "ip1", "ip2"}
    assert told["weights_bytes"]["int8"] < told["weights_bytes"]["float32"]
    assert told["file_bytes"] == out.stat().st_size < WEIGHTS.stat().st_size


def test_the_answers_stay_right(made: Path) -> None:
    small, plain = netc.compile(NET, made), netc.compile(NET, WEIGHTS)
    with np.load(ARRAYS) as arrays:
        data, label = arrays["data"], arrays["label"]
    right = []
    for net in (plain, small):
        best = [net(data=row[None])["prob"].argmax() for row in data]
        right.append(float((np.array(best) == label).mean()))
    assert right[0] > 0.95 and right[1] >= right[0] - 0.01
    report = small.report()
    assert report["precision"] == "int8" and len(report["reduced_layers"]) == 4
    assert report["weights_bytes"] < 0.3 * plain.report()["weights_bytes"]


def test_kernels_give_what_the_definition_says(made: Path) -> None:
    """The reference executor runs the same layers in int8, by NumPy."""
    with np.load(ARRAYS) as arrays:
        data = arrays["data"][:1]
    slow = netc.compile(NET, made, backend="reference", outputs=("ip2",))(data=data)["ip2"]
    for threads in (1, 2):
        fast = netc.compile(NET, made, outputs=("ip2",), threads=threads)(data=data)["ip2"]
        np.testing.assert_array_equal(fast, slow)


def test_commands_take_the_file(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = next((DIGITS / "images").glob("*.png"))
    assert main(["run", str(NET), "-w", str(made), "--input", f"data={picture}"]) == 0
    assert main(["bench", str(NET), "-w", str(made), "--json"]) == 0
    capsys.readouterr()


def test_a_layer_by_itself_is_known_without_the_rest(made: Path) -> None:
    """Of a part of the net the layers that are there are in int8."""
    part = netc.compile(NET, made, outputs=("conv1",))
    assert part.report()["reduced_layers"] == ["conv1"]


def test_weights_of_another_net_are_told(made: Path) -> None:
    other = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
    layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
            inner_product_param { num_output: 2 } }
    """
    with pytest.raises(NetcError, match=r"quantization-mismatch.*such as `conv1`"):
        netc.compile(text=other, weights=str(made), missing="fill")


@pytest.mark.parametrize(
    "options, said",
    [
        ({"precision": "bf16"}, "quantized to int8, and precision `bf16`"),
        ({"optimize": False}, "as all passes"),
        ({"optimize": "exact"}, "as all passes"),
    ],
)
def test_what_does_not_fit_the_file(made: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(NetcError, match=rf"unsupported-option.*{said}"):
        netc.compile(NET, made, **options)  # type: ignore[arg-type]


def test_int8_without_scales_is_told() -> None:
    with pytest.raises(NetcError, match=r"(?s)unsupported-option.*netc quantize"):
        netc.compile(NET, WEIGHTS, precision="int8")


@pytest.mark.parametrize(
    "options, said",
    [
        (["-o", "net.caffemodel"], "quantized weights are an .npz"),
        (["--held", "0.9"], "--held is a share from 0 to 0.5"),
        (["--top1-agreement", "1.5"], "--top1-agreement is a share"),
        (["--blob", "ip2", "--max-error", "1e-9"], "no layer can be computed in int8"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main([*command(tmp_path / "out.npz"), "--items", "8", *options]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def test_a_net_without_products_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        """
        layer { name: "data" type: "Input" top: "data"
                input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
        layer { name: "y" type: "ReLU" bottom: "data" top: "y" }
        """
    )
    assert main(command(tmp_path / "out.npz", net)) == 1
    assert "nothing-to-quantize" in capsys.readouterr().err


def test_a_library_computes_in_int8_too(made: Path, tmp_path: Path) -> None:
    """Bit for bit what `netc.compile` gives, without Python."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler here")
    out = tmp_path / "lib"
    command = ["build", str(NET), "-w", str(made), "-o", str(out), "--cpu", "native"]
    assert main([*command, "--name", "digits"]) == 0
    library = ctypes.CDLL(str(out / "libdigits.so"))
    library.digits_create.restype = ctypes.c_void_p
    library.digits_run.argtypes = [ctypes.c_void_p] * 3
    library.digits_destroy.argtypes = [ctypes.c_void_p]
    with np.load(ARRAYS) as arrays:
        data = np.ascontiguousarray(arrays["data"][:1], np.float32)
    want = netc.compile(NET, made, inputs={"data": data.shape})(data=data)["prob"]
    found = np.empty_like(want)
    instance = library.digits_create(1)
    assert library.digits_run(instance, data.ctypes.data, found.ctypes.data) == 0
    library.digits_destroy(instance)
    np.testing.assert_array_equal(found, want)


UP = """
name: "up"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8 dim: 9 dim: 7 } } }
layer { name: "dw" type: "Convolution" bottom: "x" top: "dw"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 8 weight_filler { type: "xavier" } } }
layer { name: "pw" type: "Convolution" bottom: "dw" top: "pw"
        convolution_param { num_output: 12 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU6" bottom: "pw" top: "pw" }
layer { name: "up" type: "Deconvolution" bottom: "pw" top: "up"
        convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 weight_filler { type: "xavier" } } }
"""  # noqa: E501


def test_depthwise_layers_and_deconvolutions_are_quantized(tmp_path: Path) -> None:
    net, weights, inputs, out = (
        tmp_path / name for name in ("up.prototxt", "w.npz", "x.npz", "o.npz")
    )
    net.write_text(UP)
    plain = netc.compile(net)
    netc.save_weights(weights, plain.params)
    x = np.random.default_rng(4).standard_normal((12, 8, 9, 7)).astype(np.float32)
    np.savez(inputs, x=x)
    command = ["quantize", str(net), str(weights), "--calibrate", str(inputs), "-o", str(out)]
    assert main([*command, "--max-error", "0.05"]) == 0
    small = netc.compile(net, out)
    assert small.report()["reduced_layers"] == ["dw", "pw", "up"]
    found = small(x=x[:1])["up"]
    slow = netc.compile(net, out, backend="reference")(x=x[:1])["up"]
    np.testing.assert_array_equal(found, slow)
    want = plain(x=x[:1])["up"]
    assert 0 < np.linalg.norm(found - want) < 0.05 * np.linalg.norm(want)
