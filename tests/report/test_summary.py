from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from netc.analysis.structure import ModuleGroup, structure
from netc.report.summary import (
    CSV_NAMES,
    SummaryLine,
    csv_rows,
    lines,
    module_line,
    table,
    to_json,
    totals,
)
from netc.report.table import as_csv
from tests.analysis.profiles import conv, data, layer, profile_of
from tests.analysis.test_profile import UNKNOWN


def module(net: Path | str, name: str) -> SummaryLine:
    """The sums of the module of a name."""
    profile = profile_of(net)
    parts = (p for p in structure(profile).parts if isinstance(p, ModuleGroup))
    return module_line(profile, next(p for p in parts if p.path == name))


# The figures of the textbooks


def test_vgg16(nets: Path) -> None:
    """The rows of the table in the CS231n notes ("VGGNet in detail"), which has each row right.

    Its total, "24M * 4 bytes ~= 93MB", is no sum of its rows (cs231n/cs231n.github.io#88): they
    are 15.2 million numbers, 61 MB or 58 MiB, which is also what convnet-burden gives.
    """
    profile = profile_of(nets / "vgg16.prototxt")
    rows = {line.path: line for line in lines(profile)}
    notes = {
        "input": (224 * 224 * 3, 0),
        "conv1_1": (224 * 224 * 64, 1728),
        "conv1_2": (224 * 224 * 64, 36864),
        "pool1": (112 * 112 * 64, 0),
        "conv2_1": (112 * 112 * 128, 73728),
        "conv2_2": (112 * 112 * 128, 147456),
        "pool2": (56 * 56 * 128, 0),
        "conv3_1": (56 * 56 * 256, 294912),
        "conv3_2": (56 * 56 * 256, 589824),
        "conv3_3": (56 * 56 * 256, 589824),
        "pool3": (28 * 28 * 256, 0),
        "conv4_1": (28 * 28 * 512, 1179648),
        "conv4_2": (28 * 28 * 512, 2359296),
        "conv4_3": (28 * 28 * 512, 2359296),
        "pool4": (14 * 14 * 512, 0),
        "conv5_1": (14 * 14 * 512, 2359296),
        "conv5_2": (14 * 14 * 512, 2359296),
        "conv5_3": (14 * 14 * 512, 2359296),
        "pool5": (7 * 7 * 512, 0),
        "fc6": (4096, 102760448),
        "fc7": (4096, 16777216),
        "fc8": (1000, 4096000),
    }
    for name, (numbers, weights) in notes.items():
        biases = rows[name].shapes[0][1] if weights and rows[name].shapes[0] else 0
        assert rows[name].bytes == 4 * numbers, name
        assert rows[name].parameters == weights + biases, name
    prob = 1000  # the notes leave the softmax out
    assert profile.blob_bytes == 4 * (sum(n for n, _ in notes.values()) + prob) == 60954432
    assert profile.cost.total.parameters == 138357544
    assert "             121 MB forward and backward" in totals(profile)


def test_alexnet_first_layer(nets: Path) -> None:
    """(11 * 11 * 3 + 1) * 96, and 96 planes of 55 by 55."""
    rows = {line.path: line for line in lines(profile_of(nets / "alexnet.prototxt"))}
    assert rows["conv1"].parameters == 34944
    assert rows["conv1"].shapes == ((10, 96, 55, 55),)


NAIVE = (
    data(1, 256, 28, 28)
    + conv("m/1x1", "data", 128, 1)
    + conv("m/3x3", "data", 192, 3)
    + conv("m/5x5", "data", 96, 5)
    + layer("m/pool", "Pooling", "data", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + layer("m/out", "Concat", "m/1x1 m/3x3 m/5x5 m/pool")
)
BOTTLENECK = (
    data(1, 256, 28, 28)
    + conv("m/1x1", "data", 128, 1)
    + conv("m/3x3_reduce", "data", 64, 1)
    + conv("m/3x3", "m/3x3_reduce", 192, 3)
    + conv("m/5x5_reduce", "data", 64, 1)
    + conv("m/5x5", "m/5x5_reduce", 96, 5)
    + layer("m/pool", "Pooling", "data", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + conv("m/pool_proj", "m/pool", 64, 1)
    + layer("m/out", "Concat", "m/1x1 m/3x3 m/5x5 m/pool_proj")
)


def test_inception_bottleneck() -> None:
    """CS231n 2017, lecture 9: 854M to "358M" operations on 28x28x256, 672 to 480 channels.

    The rows of the slide's second sum are 271M; 358M has its 3x3 convolution twice.
    """
    naive, bottleneck = module(NAIVE, "m"), module(BOTTLENECK, "m")
    assert naive.macs == 28 * 28 * 256 * (128 + 192 * 9 + 96 * 25) == 854196224
    assert bottleneck.macs == 271351808
    rows = {line.path: line for line in lines(profile_of(BOTTLENECK))}
    assert 271351808 + (rows["m/3x3"].macs or 0) == 358055936
    assert naive.shapes == ((1, 672, 28, 28),)
    assert bottleneck.shapes == ((1, 480, 28, 28),)


def inception_3a(reduced: bool) -> str:
    """GoogLeNet's first module, with its 1x1 reductions or straight from the input."""
    text = data(1, 192, 28, 28) + conv("m/1x1", "data", 64, 1)
    if reduced:
        text += conv("m/3x3r", "data", 96, 1) + conv("m/5x5r", "data", 16, 1)
    text += conv("m/3x3", "m/3x3r" if reduced else "data", 128, 3)
    text += conv("m/5x5", "m/5x5r" if reduced else "data", 32, 5)
    text += layer("m/pool", "Pooling", "data", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    if reduced:
        text += conv("m/proj", "m/pool", 32, 1)
    last = "m/proj" if reduced else "m/pool"
    return text + layer("m/out", "Concat", f"m/1x1 m/3x3 m/5x5 {last}")


def test_googlenet_3a_with_and_without_reduction(nets: Path) -> None:
    """Weights without biases; Szegedy et al. 2015, table 1, says 159K for 3a."""
    assert module(inception_3a(False), "m").parameters == 192 * (64 + 128 * 9 + 32 * 25) == 387072
    assert module(inception_3a(True), "m").parameters == 163328
    public = module(nets / "googlenet.prototxt", "inception_3a")
    assert public.parameters == 163328 + 64 + 96 + 128 + 16 + 32 + 32
    assert public.shapes == ((10, 256, 28, 28),)


# feature_mem of albanie/convnet-burden, MiB an image: every blob once. Its nets have BatchNorm out
# of place, so that those with BatchNorm are not comparable.
@pytest.mark.parametrize(("net", "mib"), {"vgg16": 58, "googlenet": 26}.items())
def test_convnet_burden(nets: Path, net: str, mib: int) -> None:
    profile = profile_of(nets / f"{net}.prototxt")
    assert round(profile.blob_bytes / (profile.batch or 1) / 2**20) == mib


# The table


SMALL = (
    data(2, 3, 8, 8)
    + conv("a/x", "data", 4, 3)
    + layer("a/relu", "ReLU", "a/x", top="a/x")
    + conv("a/y", "a/x", 6, 1)
    + layer("fc", "InnerProduct", "a/y", "inner_product_param { num_output: 5 }")
)


def cells(text: str, depth: int | None = None) -> list[tuple[str, ...]]:
    return [row.cells for row in table(profile_of(text), depth).rows]


def test_modules_stand_over_their_layers_with_their_sums() -> None:
    rows = cells(SMALL)
    assert [row[0] for row in rows] == ["data", "a", "  x", "  relu", "  y", "fc", "total"]
    assert rows[1] == ("a", "3 layers", "6x8x8", "132", "16.9 k", "5.12 kB", "3/1 p1")
    assert rows[2] == ("  x", "Convolution", "4x8x8", "108", "13.8 k", "2.05 kB", "3/1 p1")
    assert rows[3][3:6] == ("", "", "")
    assert rows[-1][:5] == ("total", "5 layers", "", "2,057", "20.7 k")


def test_depth_folds_modules() -> None:
    assert [row[0] for row in cells(SMALL, 1)] == ["data", "a", "fc", "total"]
    nested = data(1, 3, 8, 8) + conv("a/b/x", "data", 4, 3) + conv("a/b/y", "a/b/x", 4, 3)
    nested += conv("a/z", "a/b/y", 4, 3)
    assert [row[0] for row in cells(nested, 2)] == ["data", "a", "  b", "  z", "total"]


def test_what_is_unknown_is_marked() -> None:
    rows = {row[0].strip(): row for row in cells(UNKNOWN)}
    assert rows["odd"][1:] == ("Mystery", "?", "?", "?", "?", "")
    assert rows["total"][3] == "128 + ?"
    assert any("without the 2 layers marked ?" in line for line in totals(profile_of(UNKNOWN)))
    assert to_json(profile_of(UNKNOWN))["complete"] is False


def test_sums_of_a_module_with_unknown_layers() -> None:
    text = data(1, 3, 8, 8) + conv("a/x", "data", 4, 3) + layer("a/odd", "Mystery", "a/x")
    line = module(text, "a")
    assert (line.parameters, line.incomplete) == (108, True)
    assert cells(text)[1][3] == "108 + ?"


def test_batch_and_image_in_the_totals() -> None:
    lines = totals(profile_of(SMALL))
    assert "MACs         10,368 an image, 20.7 k for the batch" in lines


def test_statistics_count_as_parameters_of_their_layer() -> None:
    text = data(1, 3, 8, 8) + conv("c", "data", 4, 3) + layer("n", "BatchNorm", "c", top="c")
    assert cells(text)[2][:4] == ("n", "BatchNorm", "4x8x8", "9")
    assert "parameters   108 trained, and 9 of statistics" in totals(profile_of(text))


def test_json_is_exact() -> None:
    out = to_json(profile_of(SMALL))
    assert out["total"]["parameters"] == 2057
    assert out["total"]["activation_bytes"] == 4 * 2 * (192 + 256 + 384 + 5)
    assert out["total"]["activation_and_gradient_bytes"] == 4 * 2 * (192 + 2 * (256 + 384 + 5))
    module, first = out["layers"][1:3]
    assert (module["module"], module["name"], module["layers"]) == (True, "a", 3)
    assert first["name"] == "a/x" and first["outputs"] == [[2, 4, 8, 8]]
    assert first["receptive_field"] == {"size": [3, 3], "stride": [1.0, 1.0], "padding": [1, 1]}


def test_csv_is_exact_and_harmless() -> None:
    evil = data(1, 3, 8, 8) + conv("=cmd|' /C calc'!A0", "data", 4, 3)
    text = as_csv(CSV_NAMES, csv_rows(profile_of(evil)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[1]["name"] == "'=cmd|' /C calc'!A0"
    assert (rows[1]["parameters"], rows[1]["field"], rows[1]["padding"]) == ("108", "3x3", "1x1")


def test_no_memory_is_negative_where_only_inputs_have_sizes() -> None:
    text = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "records" batch_size: 32 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 2 } }
"""
    lines = totals(profile_of(text))
    assert "memory       0 B forward" in lines and "             0 B forward and backward" in lines
