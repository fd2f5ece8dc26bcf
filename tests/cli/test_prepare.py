"""How images become an input: the text says it, the command's options win."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netc.cli.main import main
from netc.diagnostics import NetcError, Source
from netc.frontend import read_net
from netc.predict.prepare import NOTHING, ImageOptions, preprocessing, transforms_of_inputs

OPTIONS: dict[str, Any] = {
    "mean": None, "scale": None, "raw_scale": None, "channel_order": None, "resize": None,
    "crops": None,
}  # fmt: skip


def options(**given: object) -> ImageOptions:
    return ImageOptions(**{**OPTIONS, **given})


def said(block: str, folder: Path | None = None):  # type: ignore[no-untyped-def]
    text = f"input data: [1, 3, 4, 4] {{ {block} }}\n-> relu\n"
    return transforms_of_inputs(read_net(Source("t.netc", text)).message, folder)["data"]


def test_without_a_word_it_is_as_caffes_nets_want_it() -> None:
    how = preprocessing((1, 3, 4, 5), options())
    assert (how.size, how.channels, how.resize, how.crops) == ((4, 5), 3, None, "center")
    assert (how.channel_order, how.raw_scale, how.mean, how.scale) == ("BGR", 255.0, None, 1.0)


def test_the_text_says_it() -> None:
    block = "mean: [1, 2, 3] scale: 0.5 order: RGB resize: [6, 8] crop: TEN"
    how = preprocessing((1, 3, 4, 4), options(), said(block))
    assert how.mean is not None and how.mean.tolist() == [1, 2, 3]
    assert (how.scale, how.channel_order, how.resize, how.crops) == (0.5, "RGB", (6, 8), "ten")
    assert preprocessing((1, 3, 4, 4), options(), said("resize: 9")).resize == 9


def test_options_win() -> None:
    block = "mean: [1, 2, 3] scale: 0.5 order: RGB resize: 6 crop: TEN range: [-1, 1]"
    given = options(
        mean="7", scale=2.0, raw_scale=1.0, channel_order="BGR", resize=8, crops="center"
    )
    how = preprocessing((1, 3, 4, 4), given, said(block))
    assert how.mean is not None and how.mean.tolist() == [7]
    assert (how.scale, how.raw_scale, how.channel_order) == (2.0, 1.0, "BGR")
    assert (how.resize, how.crops) == (8, "center")


def test_a_range_says_what_black_and_white_are() -> None:
    how = preprocessing((1, 3, 4, 4), options(), said("range: [-1, 1]"))
    assert how.raw_scale == 2
    assert how.mean is not None and how.mean.tolist() == [1]
    both = preprocessing((1, 3, 4, 4), options(), said("range: [10, 20] mean: [1, 2, 3]"))
    assert both.raw_scale == 10
    assert both.mean is not None and both.mean.tolist() == [-9, -8, -7]


def test_a_mean_file_is_found_beside_the_net(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.array([4, 5, 6], dtype=np.float32))
    how = preprocessing((1, 3, 4, 4), options(), said('mean: "mean.npy"', tmp_path))
    assert how.mean is not None and how.mean.tolist() == [4, 5, 6]


def test_a_plain_text_says_it_in_transform_param() -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } '
        "transform_param { mean_value: 9 scale: 0.25 } }"
    )
    found = transforms_of_inputs(read_net(Source("t", text)).message, None)["data"]
    assert (found.mean, found.scale) == ((9.0,), 0.25)


@pytest.mark.parametrize("fields", ["range: 3", "range: [1, 1]", "resize: 0", "resize: [1, 2, 3]"])
def test_numbers_that_mean_nothing(fields: str) -> None:
    text = f'layer {{ name: "d" type: "Input" top: "d" transform_param {{ {fields} }} }}'
    with pytest.raises(NetcError) as caught:
        transforms_of_inputs(read_net(Source("t", text)).message, None)
    assert caught.value.diagnostics[0].code == "bad-preprocessing"


def test_a_mean_file_that_is_not_there_is_told_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(NetcError) as caught:
        preprocessing((1, 3, 4, 4), options(), said('mean: "mean.npy"', tmp_path))
    (found,) = caught.value.diagnostics
    assert found.code == "missing-file"
    assert found.span and (found.span.line, found.span.text) == (1, '"mean.npy"')


def test_an_image_is_no_vector() -> None:
    with pytest.raises(NetcError):
        preprocessing((1, 3), options(), NOTHING)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Any]:
    assert main(["run", *arguments, "--json", "--backend", "reference"]) == 0
    (out,) = json.loads(capsys.readouterr().out)["outputs"].values()
    return np.array(out["values"]).ravel().round(3).tolist()  # type: ignore[no-any-return]


@pytest.fixture()
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (2, 2), (200, 100, 50)).save(path)
    return path


def test_run_obeys_the_text_and_its_options_win(
    tmp_path: Path, red: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "net.netc"
    block = "{ mean: [10, 20, 30] scale: 0.1 order: RGB }"
    net.write_text(f"input data: [1, 3, 1, 1] {block}\n-> Power(shift: 0)\n")
    given = ("--input", f"data={red}")
    assert run(capsys, str(net), *given) == [19.0, 8.0, 2.0]
    assert run(capsys, str(net), *given, "--scale", "1") == [190.0, 80.0, 20.0]
    assert run(capsys, str(net), *given, "--channel-order", "BGR", "--mean", "0") == [5, 10, 20]


def test_run_takes_arrays_with_channels_last_where_the_text_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "net.netc"
    net.write_text("input data: [1, 2, 1, 2] { layout: NHWC }\n-> Power(shift: 0)\n")
    np.save(tmp_path / "a.npy", np.array([[[[1, 2], [3, 4]]]], dtype=np.float32))
    assert run(capsys, str(net), "--input", f"data={tmp_path / 'a.npy'}") == [1, 3, 2, 4]
