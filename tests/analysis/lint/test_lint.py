from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from netc.analysis.lint import CODES, RULES, folded, lint
from netc.diagnostics import NetcError, Source
from netc.frontend import build, read_net
from tests.analysis.lint.nets import data, notes
from tests.analysis.lint.test_windows import ALEXNET, conv

# What there is to say of the classic nets, and no more: the poolings that PyTorch would round
# down, and the biases of ResNet-50's first layer, which its successors left out.
CLASSIC = {
    "alexnet": {},
    "densenet121": {},
    "googlenet": {"ceil-pooling": 4},
    "inceptionv3": {},
    "mobilenet": {},
    "resnet152": {"ceil-pooling": 1},
    "resnet50": {"ceil-pooling": 1, "bias-under-batch-norm": 1},
    "squeezenet11": {"ceil-pooling": 2},
    "vgg16": {},
}


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
@pytest.mark.parametrize("name", CLASSIC)
def test_classic_nets(nets: Path, name: str, phase: str) -> None:
    found = Counter(note.code for note in notes(nets / f"{name}.prototxt", phase))
    assert found == CLASSIC[name]


def test_codes_are_unique_and_told() -> None:
    assert len(CODES) == len(RULES)
    assert all(code == code.lower() and summary for code, summary in CODES.items())


TWO = data(224) + ALEXNET + conv("kernel_size: 1 pad: 1").replace('"c"', '"d"')


def test_lints_are_chosen_by_their_codes() -> None:
    built = build(read_net(Source("net", data(224) + ALEXNET)).message)
    graph, messages = built.graph, built.messages
    assert len(lint(graph, messages)) == 1
    assert lint(graph, messages, without=["uneven-stride"]) == ()
    assert lint(graph, messages, only=["ceil-pooling"]) == ()
    assert len(lint(graph, messages, only=["uneven-stride"])) == 1


def many(number: int) -> str:
    """A net with as many strides that do not fit."""
    return data(224) + "".join(
        ALEXNET.replace('"conv1"', f'"conv{index}"') for index in range(number)
    )


def test_many_notes_alike_become_one() -> None:
    assert len(folded(notes(many(2)))) == 2
    (three,) = folded(notes(many(3)))
    assert [note.span.line for note in three.notes if note.span] == [8, 12]
    (twenty,) = folded(notes(many(20)))
    assert len(twenty.notes) == 6
    assert twenty.notes[-1].message == "and 14 more like these (--all tells each)"


def test_no_net_of_the_corpus_breaks_a_lint(corpus: Path) -> None:
    """Every eighth file, in both phases; notes have places and the net's own words."""
    told = 0
    for path in sorted(corpus.rglob("*.prototxt"))[::8]:
        try:
            message = read_net(path).message
        except NetcError:
            continue
        for phase in ("TEST", "TRAIN"):
            built = build(message, phase=phase)
            for note in lint(built.graph, built.messages):
                assert note.span is not None and note.code in CODES
                told += 1
    assert told > 100
