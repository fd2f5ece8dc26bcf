from __future__ import annotations

from pathlib import Path

import pytest

import netc
from netc.diagnostics import NetcError, Source
from netc.report.memory import MAX_BATCH, Planner, budget, memory, parse_size, rebatched
from tests.analysis.profiles import conv, data, layer
from tests.analysis.test_cost import graph_of

SMALL = (
    data(2, 3, 8, 8)
    + conv("a", "data", 4, 3)
    + layer("relu", "ReLU", "a", top="a")
    + conv("b", "a", 8, 1)
    + layer("fc", "InnerProduct", "b", "inner_product_param { num_output: 5 }")
)

# Bytes an image that must be alive at once, as ../shared/reference/figures.tsv has them computed
# with a result beside each input; less where LRN writes over what it has read, and where a first
# layer and its pooling run in bands
LIVE = {
    "alexnet": 1779968,
    "googlenet": 3211264,
    "squeezenet11": 2007040,
    "mobilenet": 4816896,
    "vgg16": 25690112,
}


@pytest.mark.parametrize("name", LIVE)
def test_planned_memory_of_public_nets(nets: Path, name: str) -> None:
    graph = graph_of(nets / f"{name}.prototxt")
    used = memory(rebatched(graph, 1))
    assert used.planned == used.floor == LIVE[name]


def test_three_numbers() -> None:
    used = memory(graph_of(SMALL))
    assert used.weights == 4 * (108 + 32 + 8 * 64 * 5 + 5)
    assert used.caffe == 4 * 2 * (192 + 256 + 256 + 512 + 5)
    # b reads a: both are there at once
    assert used.planned == used.floor == 4 * 2 * (256 + 512)


def test_what_is_planned_is_what_runs() -> None:
    net = netc.compile(Source("small", SMALL))
    report = net.report()
    used = memory(net.graph)
    assert (used.planned, used.floor) == (report["arena_bytes"], report["arena_floor_bytes"])
    assert used.weights == report["weights_bytes"]


def test_a_plan_of_another_batch_is_that_of_a_net_with_it() -> None:
    planner = Planner.of(graph_of(SMALL))
    other = graph_of(SMALL.replace("dim: 2", "dim: 7", 1))
    assert planner is not None
    assert planner.bytes(other)[0] == memory(other).planned


def test_budget_is_the_largest_batch_that_fits() -> None:
    graph = graph_of(SMALL)
    for use in budget(graph, 10**6):
        assert use.batch
    netc_use, testing, training = budget(graph, 10**6)
    for use, factor in ((testing, 1), (training, 2)):
        assert use.batch is not None
        data = [factor * memory(rebatched(graph, use.batch + more)).caffe for more in (0, 1)]
        assert use.fixed + data[0] <= 10**6 < use.fixed + data[1]
    assert netc_use.batch is not None
    planned = [memory(rebatched(graph, netc_use.batch + more)).planned or 0 for more in (0, 1)]
    assert netc_use.fixed + planned[0] <= 10**6 < netc_use.fixed + planned[1]


def test_nothing_fits() -> None:
    assert [use.batch for use in budget(graph_of(SMALL), 1000)] == [0, 0, 0]


def test_everything_fits() -> None:
    tiny = data(1, 1) + layer("relu", "ReLU", "data", top="relu")
    assert [use.batch for use in budget(graph_of(tiny), 10**12)] == [MAX_BATCH] * 3


def test_a_net_that_fixes_its_batch() -> None:
    fixed = SMALL + layer("r", "Reshape", "b", "reshape_param { shape { dim: 2 dim: 8 dim: 64 } }")
    assert [use.batch for use in budget(graph_of(fixed), 10**9)] == [None] * 3
    with pytest.raises(NetcError, match="Reshape"):
        rebatched(graph_of(fixed), 3)
    mixed = data(2, 3, 8, 8) + layer(
        "fc", "InnerProduct", "data", "inner_product_param { num_output: 5 axis: 0 }"
    )
    with pytest.raises(NetcError, match=r"batch-misfit.*mixes the images"):
        rebatched(graph_of(mixed), 3)


def test_limits_of_blobs_hold_for_budgets() -> None:
    """2^31 - 1 elements a blob: 64x224x224 floats an image allow 668 images."""
    text = data(1, 64, 224, 224) + layer("relu", "ReLU", "data", top="relu")
    assert [use.batch for use in budget(graph_of(text), 10**14)] == [668] * 3


@pytest.mark.parametrize(
    ("text", "value"),
    {"12GB": 12 * 10**9, "8 GiB": 8 * 2**30, "1.5mb": 1500000, "77": 77, "2kB": 2000}.items(),
)
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "12QB", "nanB", "1e99", "12GBGB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)
