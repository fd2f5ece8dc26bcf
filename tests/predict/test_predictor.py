"""`netc.Predictor`: any number of rows, on one plan, wherever it wakes up."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.backends.cpu.backend import CpuBackend
from netc.diagnostics import NetcError
from tests.predict.nets import NET, expected, write_net

ROWS = np.random.default_rng(1).normal(0, 50, (7, 3, 6, 6)).astype(np.float32)


@pytest.fixture
def net(tmp_path: Path) -> tuple[str, str]:
    return write_net(tmp_path)


@pytest.mark.parametrize("batch", [1, 3, 7, 32])
def test_any_number_of_rows_is_answered(net: tuple[str, str], batch: int) -> None:
    predictor = netc.Predictor(*net, batch=batch)
    want = expected(net, ROWS)["prob"]
    for rows in (1, 2, 7):
        got = predictor({"data": ROWS[:rows]})["prob"]
        np.testing.assert_allclose(got, want[:rows], rtol=1e-4)
    assert predictor({"data": ROWS[:0]})["prob"].shape == (0, 5)
    assert predictor.inputs == {"data": (3, 6, 6)} and predictor.outputs == {"prob": (5,)}


def test_one_plan_does_for_all(net: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []
    prepare = CpuBackend.prepare

    def counting(self: CpuBackend, graph: object, options: object) -> object:
        planned.append(1)
        return prepare(self, graph, options)  # type: ignore[arg-type]

    monkeypatch.setattr(CpuBackend, "prepare", counting)
    predictor = netc.Predictor(*net, batch=5)
    for rows in (1, 7, 4):
        predictor({"data": ROWS[:rows]})
    assert len(planned) == 1


def test_it_pickles_as_paths_and_compiles_where_it_wakes_up(
    net: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = netc.Predictor("net.prototxt", Path("net.npz"), batch=4, outputs=("fc",))
    told = pickle.dumps(predictor)
    assert len(told) < 1000 and b"net.npz" in told
    script = (
        "import pickle, sys, numpy as np\n"
        f"p = pickle.loads({told!r})\n"
        "assert 'numba' not in sys.modules and 'ray' not in sys.modules\n"
        "np.save(sys.argv[1], p({'data': np.load(sys.argv[2])})['fc'])\n"
        "assert not {'ray', 'pyspark', 'dask', 'pyarrow'} & set(sys.modules)\n"
    )
    np.save("rows.npy", ROWS)
    other = tmp_path / "elsewhere"
    other.mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "got.npy"), str(tmp_path / "rows.npy")]
    subprocess.run(command, check=True, cwd=other, timeout=300)
    want = expected(net, ROWS, outputs=("fc",))["fc"]
    np.testing.assert_allclose(np.load("got.npy"), want, rtol=1e-4, atol=1e-5)


def test_a_process_compiles_once_however_often_it_is_sent(net: tuple[str, str]) -> None:
    predictor = netc.Predictor(*net)
    again = [pickle.loads(pickle.dumps(predictor)) for _ in range(3)]
    assert {id(p.ready) for p in again} == {id(predictor.ready)}
    other = netc.Predictor(*net, batch=3)
    assert other.ready is not predictor.ready


def test_new_weights_are_another_net(net: tuple[str, str]) -> None:
    predictor = netc.Predictor(*net)
    before = predictor({"data": ROWS})["prob"]
    write_net(Path(net[0]).parent, seed=9)
    after = netc.Predictor(*net)({"data": ROWS})["prob"]
    assert not np.allclose(before, after, rtol=1e-3)


def test_crops_are_averaged_and_other_columns_pass(net: tuple[str, str]) -> None:
    predictor = netc.Predictor(*net, batch=4)
    crops = ROWS[:6].reshape(3, 2, 3, 6, 6)
    got = predictor({"data": crops, "name": np.array(["a", "b", "c"], object)})
    want = expected(net, ROWS[:6])["prob"].reshape(3, 2, 5).mean(1)
    np.testing.assert_allclose(got["prob"], want, rtol=1e-4)
    assert list(got["name"]) == ["a", "b", "c"] and "data" not in got


def test_an_ensemble_gives_the_mean(net: tuple[str, str], tmp_path: Path) -> None:
    other = write_net(tmp_path, name="other", seed=5)
    got = netc.Predictor(*net, ensemble=[other])({"data": ROWS})["prob"]
    want = (expected(net, ROWS)["prob"] + expected(other, ROWS)["prob"]) / 2
    np.testing.assert_allclose(got, want, rtol=1e-4)
    double = {"data": ROWS, "data@1": 2 * ROWS}
    got = netc.Predictor(*net, ensemble=[other])(double)
    want = (expected(net, ROWS)["prob"] + expected(other, 2 * ROWS)["prob"]) / 2
    np.testing.assert_allclose(got["prob"], want, rtol=1e-4)
    assert set(got) == {"prob"}


def test_a_net_that_names_its_batch_runs_in_it(tmp_path: Path) -> None:
    reshaped = NET.replace(
        'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }',
        """layer { name: "r" type: "Reshape" bottom: "fc" top: "r"
                   reshape_param { shape { dim: [2, 5] } } }
           layer { name: "prob" type: "Softmax" bottom: "r" top: "prob" }""",
    )
    net = write_net(tmp_path, reshaped)
    predictor = netc.Predictor(*net)
    assert predictor.batch == 2
    want = expected(write_net(tmp_path, NET, "plain"), ROWS)["prob"]
    np.testing.assert_allclose(predictor({"data": ROWS})["prob"], want, rtol=1e-4)


def test_boxes_are_as_many_as_there_are_in_each_row(tmp_path: Path) -> None:
    text = """
    layer { name: "loc" type: "Input" top: "loc" input_param { shape { dim: [1, 8] } } }
    layer { name: "conf" type: "Input" top: "conf" input_param { shape { dim: [1, 4] } } }
    layer { name: "prior" type: "DummyData" top: "prior"
            dummy_data_param { shape { dim: [1, 2, 8] }
                               data_filler { type: "constant" value: 0.5 } } }
    layer { name: "boxes" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
            top: "boxes" detection_output_param { num_classes: 2 background_label_id: 0
            nms_param { nms_threshold: 0.9 } keep_top_k: 5 confidence_threshold: 0.4 } }
    """
    path = tmp_path / "boxes.prototxt"
    path.write_text(text, encoding="utf-8")
    predictor = netc.Predictor(path, batch=2)
    conf = np.array([[0.9, 0.1, 0.9, 0.2], [0.2, 0.8, 0.9, 0.1], [0.0, 0.9, 0.0, 0.7]], np.float32)
    loc = np.random.default_rng(0).normal(0, 1, (3, 8)).astype(np.float32)
    got = predictor({"loc": loc, "conf": conf})["boxes"]
    assert got.dtype == object and len(got[0]) == 0
    assert all(boxes.shape[1] == 6 for boxes in got) and len(got[1]) == 1
    np.testing.assert_allclose(got[1][0, :2], [1, 0.8])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"batch": 0}, "bad-argument"),
        ({"batch": "x"}, "bad-argument"),
        ({"outputs": ("nope",)}, "unknown-output"),
        ({"net": 3}, "bad-argument"),
        ({"net": "missing.prototxt"}, "missing-file"),
    ],
)
def test_mistakes_are_told_at_once(
    net: tuple[str, str], change: dict[str, object], code: str
) -> None:
    given: dict[str, object] = {"net": net[0], "weights": net[1], **change}
    with pytest.raises(NetcError) as caught:
        netc.Predictor(**given)  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].code == code


def test_outputs_that_mix_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "loss.prototxt"
    path.write_text(
        'layer { name: "a" type: "Input" top: "a" top: "b" input_param { shape { dim: [4, 2] } } }'
        'layer { name: "l" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "l" }',
        encoding="utf-8",
    )
    with pytest.raises(NetcError) as caught:
        netc.Predictor(path)
    assert caught.value.diagnostics[0].code == "not-per-row"


def test_inputs_that_do_not_fit(net: tuple[str, str]) -> None:
    predictor = netc.Predictor(*net)
    for columns, code in (({}, "missing-input"), ({"data": ROWS[:, :2]}, "input-shape")):
        with pytest.raises(NetcError) as caught:
            predictor(columns)
        assert caught.value.diagnostics[0].code == code


def test_dense_evaluation_is_the_mean_over_all_windows(net: tuple[str, str]) -> None:
    predictor = netc.Predictor(*net, dense=True, batch=4)
    plain = expected(net, ROWS)["prob"]
    np.testing.assert_allclose(predictor({"data": ROWS})["prob"], plain, rtol=1e-4)
    wide = np.random.default_rng(2).normal(0, 50, (2, 3, 8, 7)).astype(np.float32)
    windows = [wide[:, :, y : y + 6, x : x + 6] for y in range(3) for x in range(2)]
    want = np.mean([expected(net, window)["prob"] for window in windows], 0)
    np.testing.assert_allclose(predictor({"data": wide})["prob"], want, rtol=1e-4)
    ragged = [wide[0], ROWS[3], wide[1]]
    got = predictor({"data": ragged})["prob"]
    np.testing.assert_allclose(got, [want[0], plain[3], want[1]], rtol=1e-4)


def test_an_inner_product_over_other_axes_has_no_dense_form(tmp_path: Path) -> None:
    net = write_net(tmp_path, NET.replace("num_output: 5", "num_output: 5 axis: 2"))
    with pytest.raises(NetcError) as caught:
        netc.Predictor(*net, dense=True)
    assert caught.value.diagnostics[0].code == "no-dense-form"
