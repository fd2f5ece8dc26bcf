from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netc.cli.main import main
from netc.ir.text import parse_graph
from netc.ops.params_from_text import load_params
from netc.passes.pipeline import ALL, EXACT

NET = """name: "transition"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 8 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "scale" scale_param { bias_term: true } }
layer { name: "drop" type: "Dropout" bottom: "scale" top: "scale" }
layer { name: "pool" type: "Pooling" bottom: "scale" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "pool" top: "pool" }
layer { name: "bn" type: "BatchNorm" bottom: "pool" top: "bn" }
layer { name: "tanh" type: "TanH" bottom: "pool" top: "tanh" }
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return str(path)


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    assert main(["passes", "--json", *argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def rows(text: str) -> dict[str, str]:
    """The table's rows by pass."""
    lines = text.split("pass ", 1)[1].split("\n\n")[0].splitlines()[2:]
    return {line.split()[0]: line for line in lines}


def test_table(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", net]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("transition: 7 layers become 4 steps,\n")
    assert "1,152 multiply-adds become 288\n" in out
    assert list(rows(out)) == [item.name for item in ALL]
    cells = rows(out)["pool-first"].split()
    assert cells[1:5] == ["5", "->", "5", "1"]
    assert "without --weights no array is taken to hold ones or zeros alone" in out
    assert "folded" not in out


def test_explain_groups_by_pass(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", "--explain", net]) == 0
    out = capsys.readouterr().out
    assert "\ndrop-identities\n  + Dropout changes nothing here\n      drop\n" in out
    assert "  + Scale folded into the Convolution before it, saves 144 multiply-adds\n" in out
    assert "      scale (conv)\n" in out
    assert (
        "  - what it follows is needed elsewhere too, 2 times\n      bn (conv); tanh (conv)" in out
    )
    assert "\nmerge-maps\n" not in out


def test_what_is_told_is_80_columns_wide(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("densenet121", "googlenet", "resnet50"):
        assert main(["passes", "--explain", str(nets / f"{name}.prototxt")]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80


def test_many_layers_are_not_all_listed(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(nets / "resnet50.prototxt")
    main(["passes", "--explain", path])
    out = capsys.readouterr().out
    assert "BatchNorm folded into the Convolution before it, 53 times" in out
    assert "and 47 more" in out
    (fold,) = (
        p for p in as_json(capsys, path)["passes"] if p["name"] == "fold-into-product-before"
    )
    assert len(fold["remarks"]) == 106


def test_json(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = as_json(capsys, net)
    assert told["net"] == "transition"
    assert (told["layers"], told["steps"]) == (7, 4)
    assert (told["macs_before"], told["macs_after"]) == (1152, 288)
    assert [item["name"] for item in told["passes"]] == [item.name for item in ALL]
    (pool,) = (item for item in told["passes"] if item["name"] == "pool-first")
    assert set(pool) == {"name", "nodes_before", "nodes_after", "seconds", "remarks"}
    (remark,) = pool["remarks"]
    assert remark["layers"] == ["conv", "pool"]
    assert remark["declined"] is False
    assert remark["saved"] > 0
    (refused,) = (
        r for item in told["passes"] for r in item["remarks"] if r["layers"] == ["tanh", "conv"]
    )
    assert refused["declined"] is True


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("exact", [item.name for item in EXACT]),
        ("fuse-epilogues", ["fuse-epilogues"]),
        ("merge-siblings,drop-dead", ["drop-dead", "merge-siblings"]),
    ],
)
def test_only_some(
    wanted: str, names: list[str], net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = as_json(capsys, "--passes", wanted, net)
    assert [item["name"] for item in told["passes"]] == names


def test_an_unknown_pass(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", "--passes", "fuse-epilogue", net]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error[unknown-pass]: there is no pass `fuse-epilogue`" in err
    assert "did you mean `fuse-epilogues`?" in err


def test_a_graph_is_printed(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", "--print-after", "drop-identities", net]) == 0
    out = capsys.readouterr().out
    text = out.partition("# after drop-identities\n")[2].partition("\n\n")[0]
    graph = parse_graph(text, load_params)
    assert [node.name for node in graph.nodes] == ["conv", "scale", "pool", "relu", "bn", "tanh"]
    told = as_json(capsys, "--print-after", "drop-identities", net)
    printed = {item["name"]: item["graph"] for item in told["passes"] if "graph" in item}
    assert printed == {"drop-identities": text + "\n"}


def test_weights_decide(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "conv": [rng.standard_normal((4, 8, 1, 1)), rng.standard_normal(4)],
        "scale": [np.ones(4), np.zeros(4)],
        "bn": [np.zeros(4), np.ones(4), np.ones(1)],
    }
    path = tmp_path / "weights.npz"
    np.savez(
        path,
        **{f"{k}/{i}": a.astype(np.float32) for k, v in arrays.items() for i, a in enumerate(v)},
    )
    assert main(["passes", "--explain", "--weights", str(path), net]) == 0
    out = capsys.readouterr().out
    assert "  + Scale changes nothing here\n" in out
    assert "without --weights" not in out


def test_a_mistake_in_the_net(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET.replace('bottom: "data"', 'bottom: "dta"'), encoding="utf-8")
    assert main(["passes", str(path)]) == 1
    assert "error[unknown-bottom]" in capsys.readouterr().err


def test_another_state(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", "--explain", "--phase", "TRAIN", net]) == 0
    out = capsys.readouterr().out
    assert "Dropout changes nothing" not in out
    assert main(["passes", "--input-shape", "data=2,8,6,6", net]) == 0
    assert "2,304 multiply-adds become 576" in capsys.readouterr().out
