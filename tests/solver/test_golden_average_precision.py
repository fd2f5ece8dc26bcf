"""Average precisions of SSD's Caffe, by a solver and by `netc test`, also of lists that grow."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.ir.graph import Array
from netc.solver import testing
from netc.solver.log import CaffeLog
from netc.solver.solver import Solver

h5py = pytest.importorskip("h5py", reason="HDF5Data reads with h5py: pip install netc[hdf5]")

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "forks" / "data"
NAMES = sorted(path.stem for path in FOLDER.glob("ap_*.log"))
_LINE = re.compile(r"^([IWE])\d{4} [\d:.]+ +\d+ solver\.cpp:\d+\] (.*)$")
VERSIONS = {"11point": "11point", "maxintegral": "MaxIntegral", "integral": "Integral"}


def lines_of(text: str) -> list[tuple[str, ...]]:
    """Severity and text of the lines of a test, without the beginning."""
    found = (_LINE.match(line) for line in text.splitlines())
    lines = [match.groups() for match in found if match]
    return [one for one in lines if re.match(r"class|Missing| +Test net", one[1])]


def passes(name: str) -> str:
    """How many the solver's test makes."""
    found = re.search(r"test_iter: (\d+)", (FOLDER / f"{name}_solver.prototxt").read_text())
    assert found is not None
    return found[1]


def test_all_cases_are_there() -> None:
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_the_log_of_a_test(name: str) -> None:
    written = io.StringIO()
    solver = Solver(FOLDER / f"{name}_solver.prototxt")
    solver.listeners.append(CaffeLog(written))
    solver.solve()
    assert lines_of(written.getvalue()) == lines_of((FOLDER / f"{name}.log").read_text())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ap_quiet"])
def test_netc_test_tells_all_versions(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "none.npz", **{"other/0": np.zeros(1, np.float32)})
    net = str(FOLDER / f"{name}_test.prototxt")
    command = ["test", net, "--weights", str(tmp_path / "none.npz"), "--json"]
    assert main([*command, "--iterations", passes(name)]) == 0
    found = json.loads(capsys.readouterr().out)["average_precision"]["detection_eval"]
    version = VERSIONS[name.split("_")[1]]
    with np.load(FOLDER / f"{name}.npz") as golden:
        for label, precision in zip(golden["classes"], golden["ap"], strict=True):
            one = found["classes"][str(label)]
            assert one[version] == pytest.approx(float(precision), rel=2e-6)
            assert {"true_boxes", "detections", *VERSIONS.values()} == set(one)
        assert found["mean"][version] == pytest.approx(float(golden["map"]), rel=2e-6)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "none.npz", **{"other/0": np.zeros(1, np.float32)})
    net = str(FOLDER / "ap_11point_missing_test.prototxt")
    assert main(["test", net, "--weights", str(tmp_path / "none.npz"), "--iterations", "9"]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert told[0] == "average precision of detection_eval, of 9 batches:".split()
    assert told[1] == ["class", "true", "boxes", "detections", "11point", "MaxIntegral", "Integral"]
    assert [row[0] for row in told[3:]][:5] == ["1", "2", "3", "-----", "mean"]
    assert told[3][3] == "0.5606" and told[7][1] == "0.3838"


DETECTOR = """
layer { name: "in" type: "Input" top: "loc" top: "conf" top: "prior" top: "true"
        input_param { shape { dim: 1 dim: 8 } shape { dim: 1 dim: 6 }
                      shape { dim: 1 dim: 2 dim: 8 } shape { dim: 1 dim: 1 dim: 1 dim: 8 } } }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
        top: "found" detection_output_param { num_classes: 3 confidence_threshold: 0.5
        nms_param { nms_threshold: 0.45 } keep_top_k: 10 code_type: CENTER_SIZE } }
"""
EVALUATED = """
layer { name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "true" top: "eval"
        detection_evaluate_param { num_classes: 3 background_label_id: 0 overlap_threshold: 0.5 } }
"""
MORE = 'layer { name: "half" type: "Power" bottom: "found" top: "half" power_param { scale: 0.5 } }'


def batches() -> list[dict[str, Array]]:
    """Two boxes are found in the first picture, one elsewhere than the true one in the second."""
    boxes = [0.1, 0.1, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9]
    priors = np.array([boxes, [0.1, 0.1, 0.2, 0.2] * 2], np.float32)
    true = np.array([[0, 1, 0, 0.1, 0.1, 0.3, 0.3, 0]], np.float32)
    given = {"loc": np.zeros((1, 8), np.float32), "prior": priors[None]}
    both = np.array([[0, 0.9, 0.1, 0, 0.1, 0.8]], np.float32)
    one = np.array([[0, 0.1, 0.1, 0, 0.7, 0.2]], np.float32)
    return [{**given, "conf": conf, "true": true[None, None]} for conf in (both, one)]


def scores(text: str, backend: str) -> testing.Scores:
    tester = testing.Tester(netc.Source("net", text), [{}], feeds=batches(), backend=backend)
    return tester.score(2)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_lists_that_grow_and_shrink(backend: str) -> None:
    made = scores(DETECTOR + EVALUATED, backend)
    assert made.rows == {} and set(made.means) == {"eval"}
    first, second = made.classes["eval"].values()
    assert (first.true_boxes, first.detections) == (2, 2)
    assert (second.true_boxes, second.detections) == (0, 1)
    assert first.precisions["Integral"] == pytest.approx(0.5)
    assert made.means["eval"] == pytest.approx(0.25)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_was_found_has_a_number_of_rows_and_no_mean(backend: str) -> None:
    made = scores(DETECTOR, backend)
    assert dict(made.rows) == {"found": 3} and "found" not in made.means
    more = scores(DETECTOR + MORE, backend)
    assert dict(more.rows) == {"half": 3}


def test_a_solver_without_eval_type_scores_detections_too() -> None:
    train = """
    layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 1 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" loss_weight: 1
            inner_product_param { num_output: 1 } }"""
    text = f"""train_net_param {{ {train} }} test_net_param {{ {DETECTOR} {EVALUATED} }}
    test_iter: 2 test_interval: 1 base_lr: 0.1 lr_policy: "fixed" max_iter: 3
    snapshot_after_train: false"""
    solver = Solver(netc.Source("solver", text), test_feeds=[batches()])
    assert solver.test()["eval"] == pytest.approx(0.25)
    solver.step(1)
    assert solver.tests[0].classes["eval"][1].true_boxes == 2


def test_other_shapes_without_a_detector_are_refused_still() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
    layer { name: "p" type: "Power" bottom: "x" top: "p" }"""
    feeds = [{"x": np.zeros((n, 2), np.float32)} for n in (1, 2)]
    tester = testing.Tester(netc.Source("net", text), [{}], feeds=feeds)
    with pytest.raises(NetcError, match="a mean needs one shape in all passes"):
        tester.score(2)
