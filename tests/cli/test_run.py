from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from netc import frontend
from netc.cli.main import main
from netc.data import prototxt_dir
from netc.migrate.generations import bind_net
from netc.weights import load_weights, save_weights

DIGITS = prototxt_dir() / "digits"
NET = str(DIGITS / "deploy.prototxt")
WEIGHTS = str(DIGITS / "digits.caffemodel")
PLAIN = """name: "plain"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [2, 3] } } }
layer { name: "r" type: "ReLU" bottom: "data" top: "r" }
layer { name: "s" type: "TanH" bottom: "r" top: "s" }
"""


def image(digit: int) -> str:
    return f"data={DIGITS}/images/{digit}.png"


def ran(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["run", *argv, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def digits(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    return ran(capsys, NET, "--weights", WEIGHTS, "--raw-scale", "1", *argv)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    path = tmp_path / "plain.prototxt"
    path.write_text(PLAIN, encoding="utf-8")
    return str(path)


def test_an_image_with_labels(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", NET, "-w", WEIGHTS, "-i", image(7), "--raw-scale", "1", "--top", "1"]
    assert main([*argv, "--labels", str(DIGITS / "labels.txt")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "prob:"
    assert lines[1].split()[1:] == ["7", "seven"]
    assert len(lines) == 2


def test_several_images_are_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    told = digits(capsys, "-i", image(3), "-i", image(8), "--top", "1")
    prob = told["outputs"]["prob"]
    assert prob["shape"] == [2, 10]
    assert [[entry["index"] for entry in item] for item in prob["top"]] == [[3], [8]]
    assert told["diagnostics"] == []


@pytest.mark.parametrize("suffix", [".caffemodel", ".h5", ".npz"])
def test_weights_of_any_format(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"digits{suffix}"
    save_weights(path, load_weights(WEIGHTS))
    told = ran(capsys, NET, "--weights", str(path), "-i", image(5), "--raw-scale", "1")
    assert told["outputs"]["prob"]["top"][0][0]["index"] == 5


def test_arrays(plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = np.array([[-1, 0, 1], [2, -2, 0.5]], np.float32)
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", data=array)
    np.savez(tmp_path / "golden.npz", **{"in/data": array, "out/s": array})
    wanted = np.tanh(np.maximum(array, 0))
    for given in ("data={}/x.npy", "data={}/x.npz", "{}/x.npz", "{}/golden.npz"):
        told = ran(capsys, plain, "--input", given.format(tmp_path))
        np.testing.assert_allclose(told["outputs"]["s"]["values"], wanted, atol=1e-6)


def test_outputs_are_saved_under_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, x, out = tmp_path / "n.prototxt", tmp_path / "x.npy", tmp_path / "out.npz"
    net.write_text(PLAIN.replace('"s"', '"file"').replace('top: "r"', 'top: "a/b"')
                   .replace('bottom: "r"', 'bottom: "a/b"'))  # fmt: skip
    np.save(x, np.ones((2, 3), np.float32))
    argv = [str(net), "-i", f"data={x}", "--output", "a/b", "--output", "file", "--save", str(out)]
    ran(capsys, *argv)
    with np.load(out) as saved:
        assert sorted(saved.files) == ["a/b", "file"]
        np.testing.assert_array_equal(saved["a/b"], np.ones((2, 3)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.prototxt", "out.npz", "x.npy"]


def test_what_json_has_no_number_for_is_null(
    plain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.array([[np.nan, np.inf, 1], [0, 0, 0]], np.float32))
    assert main(["run", plain, "-i", f"data={tmp_path}/x.npy", "--output", "r", "--json"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out and "Infinity" not in out
    assert json.loads(out)["outputs"]["r"]["values"][0][1] is None


def test_a_net_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.float32))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(PLAIN.encode())))
    assert ran(capsys, "-", "-i", f"data={tmp_path}/x.npy")["net"] == "plain"


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_text_is_bound_once(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[Any] = []

    def counted(*given: Any) -> Any:
        bound.append(given)
        return bind_net(*given)

    monkeypatch.setattr(frontend, "bind_net", counted)
    given = ["--rounds", "1"] if command == "bench" else ["--input", image(3)]
    assert main([command, NET, *given]) == 0
    assert len(bound) == 1


def test_what_is_filled_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", NET, "-i", image(1)]) == 0
    assert "warning[no-weights]" in capsys.readouterr().err


def test_weights_that_are_left_over_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "more.npz"
    save_weights(path, {**load_weights(WEIGHTS), "more": [np.zeros(3, np.float32)]})
    argv = ["run", NET, "-w", str(path), "-i", image(1), "--raw-scale", "1"]
    assert main(argv) == 0
    assert "note[unused-weights]" in capsys.readouterr().err


def test_an_output_that_is_no_list_of_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "n.prototxt"
    net.write_text(PLAIN.replace("[2, 3]", "[1, 2, 3, 3]"), encoding="utf-8")
    np.save(tmp_path / "x.npy", np.ones((1, 2, 3, 3), np.float32))
    assert main(["run", str(net), "-i", f"data={tmp_path}/x.npy"]) == 0
    assert capsys.readouterr().out == "s: 1x2x3x3, from 0.761594 to 0.761594\n"


def test_dummy_data_needs_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "n.prototxt"
    net.write_text(
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 }'
        ' data_filler { value: -3 } } } layer { name: "a" type: "AbsVal" bottom: "d" top: "a" }',
        encoding="utf-8",
    )
    assert ran(capsys, str(net))["outputs"]["a"]["values"] == [3, 3]


def test_a_net_of_zeros_is_told_before_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "n.prototxt"
    net.write_text(
        PLAIN.replace('type: "ReLU"', 'type: "InnerProduct" inner_product_param { num_output: 3 }'),
        encoding="utf-8",
    )
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    argv = ["run", str(net), "-i", f"data={tmp_path}/x.npy"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "warning[zero-weights]: no weights are given" in err and "no-weights" not in err
    assert "UserWarning" not in err and out
    assert [d["code"] for d in ran(capsys, *argv[1:])["diagnostics"]] == ["zero-weights"]
