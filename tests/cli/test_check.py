from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netc.cli.main import main

NET = """name: "small"
layer {{ name: "data" type: "Input" top: "data" {shape} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 }} }}
layer {{ name: "loud" type: "Dropout" bottom: "conv" top: "conv" include {{ phase: TRAIN }} }}
layer {{ name: "deep" type: "ReLU" bottom: "conv" top: "relu" include {{ stage: "deep" }} }}
layer {{ name: "level" type: "ReLU" bottom: "conv" top: "lev" include {{ min_level: 2 }} }}
"""
GOOD = NET.format(shape="input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")


def write(folder: Path, text: str, name: str = "a.prototxt") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    main(["check", "--json", *argv])
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_good_net_is_one_line_when_piped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(tmp_path, GOOD)]) == 0
    assert capsys.readouterr() == ("1 file: no errors\n", "")


def test_a_terminal_gets_a_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    path = write(tmp_path, GOOD)
    main(["check", path])
    assert capsys.readouterr().out == f"{path}: ok: 2 layers in phase TEST\n1 file: no errors\n"
    old = write(tmp_path, 'input: "a" layers { type: RELU bottom: "x" top: "y" }', "old.prototxt")
    assert main(["check", old]) == 1
    assert capsys.readouterr().out == "1 file: 1 error, 1 note\n"


def test_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, GOOD.replace("kernel_size", "kernal_size"))
    assert main(["check", path]) == 1
    out, err = capsys.readouterr()
    assert out == "1 file: 1 error\n"
    assert f"{path}:4:37: error[unknown-field]" in err
    assert "help: did you mean `kernel_size`" in err


def test_every_file_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path, "layer { nam: 'x' }", "bad.prototxt")
    worse = write(tmp_path, "layer { type: 3 }", "worse.prototxt")
    assert main(["check", bad, write(tmp_path, GOOD), worse]) == 1
    err = capsys.readouterr().err
    assert "bad.prototxt:1:9" in err
    assert "worse.prototxt:1:15" in err


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], ["data", "conv"]),
        (["--phase", "TRAIN"], ["data", "conv", "loud"]),
        (["--stage", "deep"], ["data", "conv", "deep"]),
        (["--level", "2"], ["data", "conv", "level"]),
        (["--level", "2", "--stage", "x", "--stage", "deep"], ["data", "conv", "deep", "level"]),
    ],
)
def test_state(
    argv: list[str], names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (report,) = as_json(capsys, write(tmp_path, GOOD), *argv)["files"]
    assert [layer["name"] for layer in report["layers"]] == names


def test_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, NET.format(shape=""))
    (report,) = as_json(capsys, path)["files"]
    assert report["ok"]
    assert report["inputs"] == {"data": None}
    assert [(d["severity"], d["code"]) for d in report["diagnostics"]] == [
        ("note", "unknown-input-shape")
    ]
    assert "--input-shape" in str(report["diagnostics"])
    (report,) = as_json(capsys, path, "--input-shape", "data=2,3,8,8")["files"]
    assert report["inputs"] == {"data": [2, 3, 8, 8]}
    assert report["outputs"] == {"conv": [2, 4, 6, 6]}
    assert report["diagnostics"] == []


def test_a_shape_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(tmp_path, GOOD), "--input-shape", "data=1,3,2,2"]) == 1
    assert "error[" in capsys.readouterr().err


def test_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, GOOD.replace("kernel_size: 3", "kernel_size: ${K}"))
    assert main(["check", path]) == 1
    assert "K" in capsys.readouterr().err
    (report,) = as_json(capsys, path, "-D", "K=5")["files"]
    assert report["outputs"] == {"conv": [1, 4, 4, 4]}


def test_own_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = write(
        tmp_path,
        """message LayerParameter { optional OwnParameter own_param = 9000; }
           message OwnParameter { optional float strength = 1; }""",
        "own.proto",
    )
    path = write(tmp_path, GOOD.replace('name: "conv"', 'name: "c" own_param { strength: 2 }'))
    assert main(["check", path]) == 1
    assert "own_param" in capsys.readouterr().err
    assert main(["check", path, "--schema", proto]) == 0


def test_old_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        'input: "a" input_dim: [1, 1, 2, 2]\nlayers { name: "r" type: RELU bottom: "a" top: "b" }'
    )
    (report,) = as_json(capsys, write(tmp_path, text))["files"]
    assert report["ok"]
    assert [(c["step"], c["line"]) for c in report["changes"]] == [("v1", 2), ("inputs", 1)]


def test_mistake_in_an_old_format_stands_where_it_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """input: "a" input_dim: [1, 1, 2, 2]
layers { layer { name: "p" type: "padding" pad: 1 } bottom: "a" top: "p" }
layers { layer { name: "c" type: "conv" num_output: 1 kernelsize: 9 } bottom: "p" top: "c" }"""
    (report,) = as_json(capsys, write(tmp_path, text))["files"]
    (diagnostic,) = report["diagnostics"]
    assert diagnostic["line"] == 3


def test_what_an_upgrade_leaves_out_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'name: "a"\ninput_dim: 1'
    (report,) = as_json(capsys, write(tmp_path, text))["files"]
    assert report["ok"]
    (diagnostic,) = report["diagnostics"]
    assert (diagnostic["severity"], diagnostic["line"]) == ("warning", 2)


def test_solver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'net: "x.prototxt" base_lr: 0.1 lr_policy: "fixed" solver_type: ADAM')
    (report,) = as_json(capsys, path)["files"]
    assert (report["kind"], report["ok"]) == ("solver", True)
    bad = write(tmp_path, 'net: "x.prototxt" base_lr: 0.1 lr_plicy: "fixed"')
    (report,) = as_json(capsys, bad)["files"]
    assert report["diagnostics"][0]["help"][0].startswith("did you mean `lr_policy`")


def test_label_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, 'item { name: "none" label: 0 display_name: "background" }')
    (report,) = as_json(capsys, path)["files"]
    assert (report["kind"], report["ok"]) == ("label map", True)


def test_absent_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.prototxt")]) == 1
    assert "none.prototxt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["a.prototxt", "--phase", "BOTH"],
        ["a.prototxt", "--input-shape", "data"],
        ["a.prototxt", "--input-shape", "data=1,0"],
        ["a.prototxt", "--input-shape", "data=1,x"],
        ["a.prototxt", "-D", "K"],
        ["a.prototxt", "--level", "x"],
    ],
)
def test_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *argv]) == 2
    assert "netc check: error: " in capsys.readouterr().err


def test_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netc", "check", "-", "--json"],
        input=b'layer { name: "\xff" type: "Relu" bottom: "x" top: "y" }',
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    (report,) = json.loads(done.stdout)["files"]
    assert report["file"] == "<stdin>"
    assert report["diagnostics"][0]["code"] == "unknown-layer-type"
    assert "layer `\\xff`" in report["diagnostics"][0]["message"]
    assert done.stderr == b""
