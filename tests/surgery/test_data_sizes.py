"""Sizes that a mean image or a database in a training text's folder tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import NetcError
from netc.frontend import build, read_net
from netc.surgery.data_sizes import sizes_of_data
from netc.surgery.deploy import deploy
from tests.surgery.nets import net_of
from tests.surgery.test_deploy import TRAINED

MEAN = TRAINED.replace("data_param", 'transform_param { mean_file: "mean.npy" CROP } data_param')


@pytest.mark.parametrize(("crop", "size"), [("", (3, 6, 8)), ("crop_size: 5", (3, 5, 5))])
def test_a_picture_is_as_large_as_its_mean_or_what_is_cropped_of_it(
    crop: str, size: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "mean.npy", np.zeros((3, 6, 8), np.float32))
    train, out = tmp_path / "train.prototxt", tmp_path / "out.prototxt"
    train.write_text(MEAN.replace("CROP", crop))
    assert main(["deploy", str(train), "-o", str(out)]) == 0
    assert build(read_net(out).message).graph.shape("data") == (1, *size)
    if not crop:
        assert "`mean.npy` beside it does: 3x6x8" in capsys.readouterr().err


def test_a_database_in_the_folder_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    archive = tmp_path / "a.npz"
    np.savez(archive, data=np.zeros((9, 2, 4, 5), np.uint8), label=np.arange(9))
    assert main(["data", "make", str(archive), "-o", str(tmp_path / "x")]) == 0
    text = TRAINED.replace("batch_size", "backend: LMDB batch_size")
    found, told = sizes_of_data(tmp_path / "train.prototxt", net_of(text))
    assert found == {"data": (1, 2, 4, 5), "label": (1,)}
    assert "`x` beside it does" in told[0].message


@pytest.mark.parametrize("name", ["../mean.npy", "absent.npy", "broken.npy"])
def test_nothing_outside_the_folder_is_read_and_nothing_broken(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    np.save(tmp_path / "mean.npy", np.zeros((3, 6, 8), np.float32))
    (folder / "broken.npy").write_bytes(b"no array")
    net = net_of(MEAN.replace("mean.npy", name).replace("CROP", ""))
    assert sizes_of_data(folder / "train.prototxt", net) == ({}, [])


def help_of(text: str) -> str:
    with pytest.raises(NetcError) as caught:
        deploy(net_of(text))
    assert caught.value.diagnostics[0].code == "unknown-input-shape"
    return caught.value.diagnostics[0].help[-1]


def test_one_message_has_the_options_for_every_input() -> None:
    text = """
layer { name: "input" type: "HDF5Data" top: "x" top: "cont" top: "label"
  hdf5_data_param { source: "list" batch_size: 8 } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "lstm"
  recurrent_param { num_output: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "lstm" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
    told = help_of(text)
    # The batch of a data layer of sequences is its steps.
    assert told.startswith("for example: --input-shape x=8,2,")
    assert told.count("--input-shape") == 2 and " --input-shape cont=8,2" in told


def test_the_example_is_one_that_the_layers_take() -> None:
    text = TRAINED.replace('layer { name: "ip"', """
layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 5 } }
layer { name: "ip" """).replace('bottom: "data" top: "ip"', 'bottom: "b" top: "ip"')  # fmt: skip
    assert "data=1,6," in help_of(text)


def test_sums_of_losses_go_with_the_losses() -> None:
    text = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "each" type: "SoftmaxWithLossOHEM" bottom: "ip" bottom: "label"
  top: "t" top: "p" top: "each" loss_weight: 0 loss_weight: 0 loss_weight: 0 }
layer { name: "sum" type: "Eltwise" bottom: "each" bottom: "each" top: "sum" }
layer { name: "log" type: "Power" bottom: "sum" top: "log" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
    made = deploy(net_of(text)).message.get("layer")
    assert "sum" not in {layer.get("name") for layer in made}
    assert "log" not in {layer.get("name") for layer in made}
