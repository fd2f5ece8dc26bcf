"""No text makes a command fail in a way that is not told as a mistake of the text."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netc.cli.main import main

BASES = (
    """name: "v0" input: "data" input_dim: [1, 3, 8, 8]
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 group: 1 blobs_lr: 1. }
  bottom: "pad" top: "c" }
layers { layer { name: "cat" type: "concat" concat_dim: 1 } bottom: "c" bottom: "c" top: "d" }
""",
    """name: "v1" input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 weight_decay: 0 param: "w"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layers { name: "s" type: SLICE bottom: "c" top: "a" top: "b" slice_param { slice_dim: 1 } }
layers { name: "data2" type: DATA top: "x" data_param { source: "s" batch_size: 2 crop_size: 4 } }
""",
    """name: "v2" layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data" param { } param { } param { } }
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 3 pad: 1 } }
layer { name: "r" type: "Reshape" bottom: "p" top: "r" reshape_param { shape { dim: [0, -1] } } }
layer { name: "ip" type: "InnerProduct" bottom: "r" top: "ip"
  inner_product_param { num_output: 3 } include { phase: TEST } }
""",
    'net: "n.prototxt" base_lr: 0.1 lr_policy: "step" solver_type: ADAM test_iter: 3',
)
WORDS = st.sampled_from(
    ["{", "}", "[", "]", ":", ";", ",", '"', "'", "#", "\n", "-", "0", "-1", "9" * 30, "1e999",
     "inf", "nan", "true", "layer", "layers", "type", "MAX", "CONVOLUTION", '"Concat"', "layer {",
     "dim: 0", "axis: 99", "axis: -9", "group: 7", "kernel_size: 0", "stride: 0", "pad: 4000000000",
     "num_output: 4294967295", "input: 'x'", "top: 'data'", "bottom: 'data'", "$X", "\x00", "é",
     "slice_point: [1, 1]", "input_dim: 3", "name: 'c'", "param { name: 'w' }", "x" * 300]
)  # fmt: skip
EDITS = st.tuples(st.floats(0, 1), st.integers(0, 12), WORDS | st.just(""))


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    """The text with characters taken out, and words put in their place."""
    for where, length, word in edits:
        at = int(where * len(text))
        text = text[:at] + word + text[at + length :]
    return text


def outcome(argv: list[str]) -> tuple[int, str]:
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        return main(argv), error.getvalue()


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(BASES), st.lists(EDITS, min_size=1, max_size=4))
def test_check(tmp_path: Path, base: str, edits: list[tuple[float, int, str]]) -> None:
    path = tmp_path / "a.prototxt"
    path.write_text(edited(base, edits), encoding="utf-8")
    code, error = outcome(["check", str(path)])
    assert code in (0, 1), error
    assert (code == 1) == ("error[" in error)


@pytest.mark.parametrize("base", BASES)
def test_the_texts_are_right_before_they_are_edited(base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.prototxt"
    path.write_text(base, encoding="utf-8")
    code, told = outcome(["check", str(path)])
    assert code == 0
    assert "error[" not in told


@pytest.mark.skipif(os.name == "nt", reason="pipes end in another way there")
@pytest.mark.parametrize("command", ["check", "summary"])
def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path, command: str) -> None:
    net = tmp_path / "net.prototxt"
    layers = (f'layer {{ name: "l{i}" phase: NONSENSE }}' for i in range(3000))
    net.write_text("\n".join(layers))
    line = [sys.executable, "-m", "netc", command, str(net), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert b"Traceback" not in told
