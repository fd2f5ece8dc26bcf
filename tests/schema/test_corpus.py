"""Every public text binds if a Caffe takes it; every other one is refused at a place in it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from netc.diagnostics import NetcError
from netc.schema.bind import bind
from netc.schema.guess import guess_message
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.ast import Document
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source

KINDS = {"net": "NetParameter", "solver": "SolverParameter", "labelmap": "LabelMap"}

# No single caffe.proto at hand takes these, but the fields of two forks together do.
TAKEN_BY_THE_UNION = {
    "BVLC+caffe/@pull-1022/examples/mnist/mnist_autoencoder.prototxt",
    "lim0606+caffe-googlenet-bn/@old/train_val_inception_bn.prototxt",
    # its layers' own caffe.proto was not searched; the list of layers says what they take
    "ZhiwenShao+JAANet/model/deploy.prototxt",
    "ZhiwenShao+JAANet/model/BP4D_train_val.prototxt",
    # its fields are in yuqj1991's caffe.proto, which the index had not searched
    "ZheC+Realtime_Multi-Person_Pose_Estimation/training/example_proto/pose_train_test.prototxt",
}


# Repositories whose fields are read off their texts, or off a caffe.proto that the index had not.
READ_OFF_TEXTS = (
    "HyeonwooNoh+", "ShaoqingRen+", "soeaver+", "torrvision+", "yahoo+CaffeOnSpark/", "yjxiong+",
    "wenguanwang+", "DengPingFan+", "ZhaofanQiu+", "BVLC+caffe/@pull-5381/", "TimoSaemann+",
    "Cysu+", "rksltnl+", "yulequan+", "daijifeng001+MNC/", "PKU-ICST-MIPL+",
    "dlunion+CaffeLSTM-OCR/", "jay-mahadeokar+pynetbuilder/models/cifar10/resnet_110/",
)  # fmt: skip


@pytest.fixture(scope="module")
def index(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def document(corpus: Path, row: dict[str, str]) -> Document:
    return parse_document(read_source(corpus / "files" / row["file"]))


def message(corpus: Path, row: dict[str, str]) -> Message:
    kind = KINDS.get(row["kind"], "NetParameter")
    return bind(document(corpus, row), load_schema().message(kind))


def is_taken(row: dict[str, str]) -> bool:
    return row["accepted_by_bvlc"] == "1" or row["accepted_by"] != "-"


def test_what_some_caffe_takes_binds(corpus: Path, index: list[dict[str, str]]) -> None:
    wrong = {}
    taken = [row for row in index if is_taken(row)]
    for row in taken:
        try:
            message(corpus, row)
        except NetcError as error:
            wrong[row["file"]] = str(error)
    assert not wrong
    assert len(taken) == 799


def test_what_none_takes_is_refused_at_a_place(corpus: Path, index: list[dict[str, str]]) -> None:
    bound = set()
    for row in index:
        if not is_taken(row):
            try:
                message(corpus, row)
            except NetcError as error:
                assert all(d.span is not None for d in error.diagnostics), row["file"]
            else:
                bound.add(row["file"])
    assert {file for file in bound if not file.startswith(READ_OFF_TEXTS)} == TAKEN_BY_THE_UNION


def test_each_text_is_known_for_what_it_is(corpus: Path, index: list[dict[str, str]]) -> None:
    known = load_schema()
    for row in index:
        if row["kind"] in KINDS and is_taken(row):
            guess = guess_message(document(corpus, row), known)
            assert guess.name == KINDS[row["kind"]], row["file"]
