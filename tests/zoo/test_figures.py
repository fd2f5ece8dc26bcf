"""Each net of the table is right in both phases, and has the parameters and MACs published."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from netc.analysis.cost import graph_cost
from netc.data import prototxt_dir
from netc.frontend import Built, build, read_net
from tests.zoo.table import NETS, Net, public_figures

each = pytest.mark.parametrize("net", NETS, ids=lambda net: net.net)


@lru_cache(maxsize=1)
def built(net: Net, phase: str = "TEST") -> Built:
    return build(read_net(net.path, define=net.defined).message, phase=phase)


def macs_of_an_image(net: Net) -> int:
    graph = built(net).graph
    batch = graph.shape(graph.inputs[0])[0]
    macs, rest = divmod(graph_cost(graph).total.macs, batch)
    assert rest == 0
    return macs


@each
def test_checks_without_a_word(net: Net) -> None:
    assert [d.message for d in built(net).diagnostics] == []


@each
def test_parameters(net: Net) -> None:
    if net.parameters:
        assert graph_cost(built(net).graph).total.parameters == int(net.parameters)


@each
def test_macs(net: Net) -> None:
    if net.macs:
        assert macs_of_an_image(net) == int(net.macs)
    if net.macs_about:  # counts normalisation, rectifiers and pooling too, by at most 8 %
        assert 0.92 < macs_of_an_image(net) / (1e6 * float(net.macs_about)) <= 1


@each
def test_checks_in_train(net: Net) -> None:
    assert [d.message for d in built(net, "TRAIN").diagnostics] == []


@pytest.mark.parametrize(("stride", "mebibytes"), [("32", 519), ("16", 514), ("8", 513)])
def test_fcn_as_in_convnet_burden(stride: str, mebibytes: int) -> None:
    """Which tells them of images of 384 by 384: parameters in MiB, and 125 G multiply-adds."""
    define = {"stride": stride, "height": "384", "width": "384"}
    found = build(read_net(prototxt_dir() / "fcn.netc", define=define).message)
    cost = graph_cost(found.graph).total
    assert not found.diagnostics
    assert round(4 * cost.parameters / 2**20) == mebibytes
    assert round(cost.macs / 1e9) == 125


def test_every_source_is_in_the_table() -> None:
    files = {path.stem for path in prototxt_dir().glob("*.netc")}
    assert files == {net.file for net in NETS}


def test_every_parameter_has_a_source() -> None:
    assert [net.net for net in NETS if net.parameters and not net.parameters_from] == []
    assert [net.net for net in NETS if net.macs and "|" not in net.macs_from] == []


def test_cited_figures_stand_there(corpus: Path) -> None:
    path = corpus.parent / "reference" / "figures.tsv"
    if not path.is_file():
        pytest.skip(f"the public figures are not at {path}")
    figures = public_figures(path)
    cited = [(net.parameters_from, "params", net.parameters) for net in NETS]
    cited += [(net.macs_from, "macs", net.macs) for net in NETS]
    cited += [(net.about_from, "macs", net.macs_about) for net in NETS]
    assert [c for c in cited if "|" in c[0] and c not in figures] == []
