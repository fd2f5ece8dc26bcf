"""``netc bench``: times are not looked at, only that they are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.cli.main import main

TEXT = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "p" type: "Power" bottom: "data" top: "data" power_param { scale: 3 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
"""


def test_a_net_that_rewrites_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TEXT)
    assert main(["bench", str(path), "--rounds", "1", "--compare", "reference", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "c" in json.dumps(told["layers"])
