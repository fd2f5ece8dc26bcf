"""Public prototxt files: what Caffe takes is taken, what it stops at is refused at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.corpus import Outcome, all_outcomes, refused

# Nets whose text BVLC Caffe's schema takes and that it stops at, besides golden/refused.tsv: file,
# phases, code, line of the first error, and why. All were read and worked out by hand.
_UNKNOWN = "unknown-layer-type"
ALSO_REFUSED: dict[tuple[str, str], tuple[str, int]] = {}


def _also(file: str, phases: str, code: str, line: int) -> None:
    ALSO_REFUSED.update({(file, phase): (code, line) for phase in phases.split()})


BOTH = "TEST TRAIN"
# Nothing produces the blobs outside of the stages `factored`, `unfactored`, `train-on-train` ...
_also("BVLC+caffe/@pull-1873/examples/coco_caption/lrcn.prototxt", "TEST", "unknown-bottom", 120)
_also("BVLC+caffe/@pull-1873/examples/coco_caption/lrcn.prototxt", "TRAIN", "unknown-bottom", 690)
_also("BVLC+caffe/@pull-2126/examples/mnist/mnist_xcov.prototxt", "TEST", "unknown-bottom", 58)
# The reshapes before the LSTM are of phase TEST alone.
_also("intel+caffe/examples/LRCN_activity_recognition/deploy_lstm.prototxt", "TRAIN",
      "unknown-bottom", 257)  # fmt: skip
# Layer types of a fork or of a pull request that was never merged, with fields that BVLC has.
_also("BVLC+caffe/@pull-2565/examples/elm/elm_classification_tr.prototxt", "TRAIN", _UNKNOWN, 40)
_also("BVLC+caffe/@pull-3052/examples/cifar10/cifar10_cm_train_test.prototxt", "TEST",
      _UNKNOWN, 225)  # fmt: skip
# SoftmaxWithLoss takes two bottoms (LossLayer::ExactNumBottomBlobs), here it has one.
_also("dgschwend+netscope/presets/inceptionv4.prototxt", BOTH, "bottom-count", 8319)
_also("dgschwend+netscope/presets/sq11b2a_e3.prototxt", "TRAIN", "bottom-count", 607)
_also("dgschwend+netscope/presets/squeezenet.prototxt", "TRAIN", "bottom-count", 632)
_also("dgschwend+netscope/presets/squeezenet_v11.prototxt", "TRAIN", "bottom-count", 631)
_also("dgschwend+netscope/presets/zynqnet.prototxt", "TRAIN", "bottom-count", 625)
# `layer` and `layers` in one file.
_also("dgschwend+netscope/presets/vgg-16.prototxt", BOTH, "mixed-layers", 2)
# Its crop of 229 (299 was meant) makes 112 rows: pooling rounds 54.5 + 1 up, convolution down.
_also("happynear+caffe-windows/@master/examples/pycaffe/Inception_ResNet_v2.prototxt", "TEST",
      "shape-mismatch", 230)  # fmt: skip

# Of golden/refused.tsv what a fork takes, and netc with it: intel/caffe's filler `gabor`.
_GABOR = "intel+caffe/models/intel_optimized_models/alexnet/train_val_gabor_init.prototxt"
TAKEN_BY_A_FORK = {(_GABOR, phase) for phase in BOTH.split()}

# What golden/refused.tsv says Caffe printed -> netc's code.
CODES = {"Unknown bottom blob": "unknown-bottom", "ExactNumBottomBlobs": "bottom-count"}


@pytest.fixture(scope="module")
def outcomes(corpus: Path) -> list[Outcome]:
    return all_outcomes(corpus)


def name(outcome: Outcome) -> tuple[str, str]:
    return outcome.row.file, outcome.phase


def test_no_file_breaks_netc(outcomes: list[Outcome]) -> None:
    assert [(name(o), o.crash) for o in outcomes if o.crash] == []


def test_each_error_says_where(outcomes: list[Outcome]) -> None:
    assert [name(o) for o in outcomes if not o.located] == []
    for outcome in outcomes:
        for error in outcome.errors:
            assert error.span is not None
            assert error.span.source.name.endswith(outcome.row.file)


def test_what_caffe_takes_has_no_error(outcomes: list[Outcome], golden: Path) -> None:
    known = (refused(golden / "refused.tsv") - TAKEN_BY_A_FORK) | set(ALSO_REFUSED)
    taken = [o for o in outcomes if o.row.by_bvlc]
    assert len(taken) > 800
    assert all(o.bound for o in taken)
    assert {name(o) for o in taken if o.errors} == known


def test_what_caffe_stops_at_is_refused_for_the_same_fault(
    outcomes: list[Outcome], golden: Path
) -> None:
    told = {}
    for line in (golden / "refused.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        file, phase, why = line.split("\t")
        if (file, phase) in TAKEN_BY_A_FORK:
            continue
        told[file, phase] = next(code for words, code in CODES.items() if words in why), why
    found = {name(o): o.errors for o in outcomes if name(o) in told}
    assert found.keys() == told.keys()
    for key, (code, why) in told.items():
        first = found[key][0]
        assert first.code == code, key
        layer = re.search(r"\(layer '(.*?)'|(\w+) Layer takes", why)
        assert layer is not None and layer[layer.lastindex or 0] in first.message, key


def test_what_caffe_would_stop_at_besides(outcomes: list[Outcome]) -> None:
    found = {name(o): o.errors[0] for o in outcomes if name(o) in ALSO_REFUSED and o.errors}
    assert {key: (d.code, d.span.line) for key, d in found.items() if d.span} == ALSO_REFUSED


def test_what_a_fork_takes_binds(outcomes: list[Outcome]) -> None:
    taken = [o for o in outcomes if o.row.by_fork]
    assert len(taken) > 1500
    assert [name(o) for o in taken if not o.bound] == []
