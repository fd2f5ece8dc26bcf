from __future__ import annotations

from pathlib import Path

from netc.data import prototxt_dir
from netc.report.compare import Comparison, compare, table, to_json, totals
from netc.report.table import plain
from tests.analysis.profiles import conv, data, layer, profile_of
from tests.analysis.test_profile import UNKNOWN

OLD = (
    data(2, 3, 8, 8)
    + conv("a", "data", 4, 3)
    + layer("relu", "ReLU", "a", top="a")
    + conv("b", "a", 8, 3)
    + layer("gone", "Sigmoid", "b")
    + layer("fc", "InnerProduct", "gone", "inner_product_param { num_output: 5 }")
    + layer("prob", "Softmax", "fc")
)
NEW = (
    data(1, 3, 8, 8)
    + conv("a", "data", 4, 3)
    + layer("relu", "ReLU", "a", "relu_param { negative_slope: 0.5 }", top="a")
    + conv("b", "a", 6, 5)
    + layer("new", "TanH", "b")
    + layer("fc", "InnerProduct", "new", "inner_product_param { num_output: 5 }")
    + layer("score", "Softmax", "fc")
)


def pairs(old: str, new: str) -> list[tuple[str, str, tuple[str, ...]]]:
    found = compare(profile_of(old), profile_of(new)).pairs
    return [(p.status, (p.second or p.first).path, p.differences) for p in found]  # type: ignore[union-attr]


def test_every_kind_of_difference_and_none_for_the_batch() -> None:
    assert pairs(OLD, NEW) == [
        ("same", "data", ()),
        ("same", "a", ()),
        ("changed", "relu", ("negative_slope default -> 0.5",)),
        (
            "changed",
            "b",
            (
                "output 8x8x8 -> 6x8x8",
                "parameters 288 -> 600",
                "num_output 8 -> 6",
                "kernel [3] -> [5]",
                "pad [1] -> [2]",
            ),
        ),
        ("added", "new", ()),
        ("removed", "gone", ()),
        ("changed", "fc", ("parameters 2,565 -> 1,925",)),
        ("renamed", "score", ("in A: prob",)),
    ]


def test_a_net_equals_itself(nets: Path) -> None:
    profile = profile_of(nets / "googlenet.prototxt")
    result = compare(profile, profile)
    assert result.equal and result.count("same") == len(profile.layers) == 143
    assert table(result).rows == ()


def test_each_layer_stands_once() -> None:
    result = compare(profile_of(OLD), profile_of(NEW))
    firsts = [p.first.path for p in result.pairs if p.first]
    seconds = [p.second.path for p in result.pairs if p.second]
    assert sorted(firsts) == sorted(item.name for item in result.first.layers)
    assert seconds == [item.name for item in result.second.layers]


def test_types_that_change() -> None:
    old = data(1, 3, 8, 8) + layer("act", "ReLU", "data")
    new = data(1, 3, 8, 8) + layer("act", "TanH", "data")
    assert pairs(old, new)[1] == ("changed", "act", ("type ReLU -> TanH",))


def test_unknown_layers_are_compared_by_what_is_known() -> None:
    assert {status for status, _, _ in pairs(UNKNOWN, UNKNOWN)} == {"same"}


def both() -> Comparison:
    return compare(profile_of(OLD), profile_of(NEW))


def test_table() -> None:
    text = plain(table(both()))
    assert "~ b      Convolution   6x8x8      600\n    output 8x8x8 -> 6x8x8\n" in text
    assert "- gone   Sigmoid       8x8x8\n" in text
    assert "= score  Softmax       5\n    in A: prob\n" in text
    assert "data" not in text
    assert "  data " in plain(table(both(), every=True))


def test_totals_are_of_one_image() -> None:
    rows = {row.cells[0]: row.cells[1:] for row in totals(both(), ("A", "B")).rows}
    assert rows["parameters"] == ("2,961", "2,633", "0.89")
    assert rows["MACs an image"] == ("27.9 k", "47.2 k", "1.69")
    assert rows["statistics"] == ("0", "0", "")


def test_json() -> None:
    out = to_json(both())
    assert out["counts"] == {"same": 2, "changed": 3, "renamed": 1, "added": 1, "removed": 1}
    assert out["totals"][1]["parameters"] == 2633
    assert out["layers"][0]["differences"] == ["negative_slope default -> 0.5"]
    assert out["equal"] is False


def test_defaults_may_be_written_or_not() -> None:
    old = data(1, 3, 8, 8) + conv("a", "data", 4, 3)
    new = old.replace("kernel_size: 3", "kernel_h: 3 kernel_w: 3 stride: 1 dilation: 1")
    assert new != old and [pair[0] for pair in pairs(old, new)] == ["same", "same"]


def test_a_net_of_the_literature_equals_its_public_file(nets: Path) -> None:
    ours = profile_of(prototxt_dir() / "googlenet.netc")
    assert compare(ours, profile_of(nets / "googlenet.prototxt")).equal
