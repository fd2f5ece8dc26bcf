"""Any net: upgrading twice is upgrading once, and nothing loses its place."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source, Span
from netc.migrate.change import Upgraded
from netc.migrate.generations import bind_net
from netc.migrate.names import V0_TO_V1, V1_TO_V2
from netc.migrate.solver import upgrade_solver
from netc.migrate.upgrade import STEPS, upgrade_net
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.parser import parse_document
from tests.migrate.texts import entries_of, net_of, plain

_BLOBS = st.sampled_from(["data", "a", "b", "label"])
_NUMBERS = st.integers(0, 4)


def _some(*texts: str) -> st.SearchStrategy[str]:
    """Some of the texts, each at most once."""
    return st.lists(st.sampled_from(texts), unique=True).map(" ".join)


def _repeated(name: str) -> st.SearchStrategy[str]:
    return st.lists(_NUMBERS, max_size=3).map(lambda ns: " ".join(f"{name}: {n}" for n in ns))


_ENDS = st.tuples(
    st.lists(_BLOBS, max_size=2).map(lambda bs: " ".join(f'bottom: "{b}"' for b in bs)),
    st.lists(_BLOBS, max_size=2).map(lambda bs: " ".join(f'top: "{b}"' for b in bs)),
).map(" ".join)
_V0_FIELDS = _some(
    "num_output: 3", "pad: 1", "kernelsize: 3", "stride: 2", "group: 1", "pool: AVE", "alpha: 2",
    "source: 's'", "batchsize: 3", "scale: 2", "cropsize: 8", "meanfile: 'm'", "concat_dim: 0",
    "new_height: 3", "det_crop_mode: 'warp'", "biasterm: false", "weight_filler { type: 'msra' }",
)  # fmt: skip
V0 = st.builds(
    "layers {{ layer {{ name: 'n' type: '{}' {} {} }} {} }}".format,
    st.sampled_from([*V0_TO_V1, "padding", "padding"]),
    _V0_FIELDS,
    _repeated("blobs_lr"),
    _ENDS,
)
V1 = st.builds(
    "layers {{ name: 'n' type: {} {} {} {} {} {} }}".format,
    st.sampled_from([*V1_TO_V2]),
    _repeated("blobs_lr"),
    _repeated("weight_decay"),
    st.lists(_BLOBS, max_size=3).map(lambda names: " ".join(f"param: '{n}'" for n in names)),
    _some(
        "data_param { scale: 2 mirror: true }", "concat_param { concat_dim: 2 }",
        "image_data_param { crop_size: 3 source: 's' }", "slice_param { slice_dim: 1 }",
        "transform_param { scale: 7 }", "include { phase: TEST }", "pooling_param { pad: 1 }",
    ),
    _ENDS,
)  # fmt: skip
V2 = st.builds(
    "layer {{ name: 'n' type: '{}' {} {} {} }}".format,
    st.sampled_from(["BatchNorm", "Concat", "Slice", "ReLU"]),
    st.lists(
        st.sampled_from(["param { }", "param { lr_mult: 1 }", "param { name: 'a' }"]), max_size=4
    ).map(" ".join),
    _some("concat_param { concat_dim: 2 }", "slice_param { slice_dim: 1 }"),
    _ENDS,
)
INPUTS = st.sampled_from(
    ["", "input: 'data'", "input: 'data' input_dim: [1, 2, 3, 4]", "input_dim: 3",
     "input: 'data' input_shape { dim: 3 }"]
)  # fmt: skip
NETS = st.builds(
    "name: 'net'\n{}\n{}".format,
    INPUTS,
    st.one_of(*(st.lists(layer, max_size=6).map("\n".join) for layer in (V0, V1, V2))),
)


def _upgraded(net: Message) -> Message | None:
    try:
        return upgrade_net(net)[0]
    except NetcError as error:
        assert all(d.span is not None for d in error.diagnostics)
        return None


@settings(deadline=None)
@given(NETS)
def test_upgrading_is_idempotent(text: str) -> None:
    net = _upgraded(net_of(text))
    if net is not None:
        assert upgrade_net(net) == (net, ())


@settings(deadline=None)
@given(NETS)
def test_each_step_is_idempotent(text: str) -> None:
    net = net_of(text)
    try:
        for step in STEPS:
            net, _ = step(net)
            again = step(net)
            assert again == Upgraded(net)
    except NetcError as error:
        assert all(d.span is not None for d in error.diagnostics)


def _spans(message: Message) -> Iterator[Span | None]:
    for entry in entries_of(message):
        yield entry.span
        yield entry.name_span
        if isinstance(entry.value, Message):
            yield entry.value.span


@settings(deadline=None)
@given(NETS)
def test_everything_stands_where_it_was_written(text: str) -> None:
    old = net_of(text)
    net = _upgraded(old)
    if net is not None:
        assert None not in set(_spans(net))
        assert set(_spans(net)) <= set(_spans(old))


@settings(deadline=None)
@given(NETS)
def test_upgrading_leaves_its_argument_alone(text: str) -> None:
    net = net_of(text)
    before = plain(net)
    _upgraded(net)
    assert plain(net) == before


def _rows(corpus: Path) -> list[dict[str, str]]:
    with open(corpus / "index.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _bound(path: Path, type: str) -> Message | None:
    source = Source(path.name, path.read_text(encoding="utf-8", errors="replace"))
    try:
        return bind_net(parse_document(source), load_schema().message(type))
    except NetcError:
        return None


# What Caffe's schema takes and its upgrade, or the net after it, then stops at.
REFUSED = {
    "dgschwend+netscope/presets/vgg-16.prototxt": "mixed-layers",
}


def test_corpus_nets(corpus: Path) -> None:
    accepted = 0
    refused = {}
    for row in _rows(corpus):
        if row["kind"] != "net":
            continue
        net = _bound(corpus / "files" / row["file"], "NetParameter")
        if net is None:
            assert row["accepted_by_bvlc"] == "0", row["file"]
            continue
        try:
            current, _ = upgrade_net(net)
        except NetcError as error:
            if row["accepted_by_bvlc"] == "1":
                refused[row["file"]] = error.diagnostics[0].code
            continue
        accepted += 1
        assert upgrade_net(current) == (current, ()), row["file"]
        assert not current.has("layers"), row["file"]
    assert refused == REFUSED
    assert accepted > 250


def test_corpus_solvers(corpus: Path) -> None:
    for row in _rows(corpus):
        if row["kind"] == "solver" and row["accepted_by_bvlc"] == "1":
            solver = _bound(corpus / "files" / row["file"], "SolverParameter")
            assert solver is not None, row["file"]
            current, _ = upgrade_solver(solver)
            assert not current.has("solver_type")
            assert upgrade_solver(current) == (current, ())


@pytest.mark.parametrize(
    "text", ["", "name: 'x'", "layers { }", "layer { }", "layers { layer { } }"]
)
def test_almost_empty_nets(text: str) -> None:
    _upgraded(net_of(text))
