"""Lints about what is trained: normalisation, biases, dropout, losses."""

from __future__ import annotations

from collections.abc import Iterator

from netc.analysis.lint.rule import LintedNet, LintRule
from netc.diagnostics import Diagnostic, Note
from netc.ir.graph import Node
from netc.ir.types import count
from netc.ops.batch_norm import BatchNormParams
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.cross_entropy import SoftmaxLossParams
from netc.ops.linear import InnerProductParams
from netc.ops.normalization import SoftmaxParams
from netc.ops.rectifiers import ReLUParams
from netc.ops.role import Role
from netc.ops.scale_bias import OperandParams

_PRODUCTS = Role.PRODUCT | Role.LOCAL_PRODUCT
_REORDERING = Role.VIEW | Role.PERMUTATION | Role.COPY


def lone_batch_norms(subject: LintedNet) -> Iterator[Diagnostic]:
    """batch-norm-without-scale: BatchNorm layers after which nothing learns a scale and shift.

    Not where only products read them: those can learn both themselves.
    """
    for node in subject.of(Role.BATCH_NORM):
        if not isinstance(node.params, BatchNormParams):
            continue
        readers = subject.readers(node.outputs[0])
        scaled = node.params.fillers is not None or any(has_role(r.op, Role.SCALE) for r in readers)
        if not readers or scaled or all(has_role(r.op, _PRODUCTS) for r in readers):
            continue
        yield subject.note(
            "batch-norm-without-scale",
            node,
            "Caffe's BatchNorm only normalises, and no Scale layer after it learns a scale and a "
            "shift",
            'add `layer { type: "Scale" ... scale_param { bias_term: true } }` after it',
            at=("type",),
        )


def batch_statistics(subject: LintedNet) -> Iterator[Diagnostic]:
    """batch-statistics-in-test: in TEST an item's result depends on the rest of its batch."""
    if subject.graph.phase != "TEST":
        return
    for node in subject.of(Role.BATCH_NORM):
        if isinstance(node.params, BatchNormParams):
            stored, field = node.params.use_global_stats, "use_global_stats"
            help = "remove `use_global_stats: false`, a leftover of training: TEST has true"
        else:
            stored = getattr(node.params, "inference", False) or getattr(
                node.params, "stored", False
            )
            field, help = "bn_param", "write `bn_mode: INFERENCE` once the statistics are folded in"
        if not stored:
            yield subject.note(
                "batch-statistics-in-test",
                node,
                "it normalises by the statistics of the batch, so that an image's answer depends "
                "on the other images of its batch",
                help,
                at=(field, "type"),
            )


def shiftless_scales(subject: LintedNet) -> Iterator[Diagnostic]:
    """scale-without-bias: Scale layers after a BatchNorm that have no bias."""
    for node in subject.of(Role.SCALE):
        before = subject.producer(node.inputs[0])
        after = subject.readers(node.outputs[0])
        if (
            before is None
            or not isinstance(before.params, BatchNormParams)
            or len(node.inputs) > 1
            or node.params_as(OperandParams).bias_filler
        ):
            continue
        if not after or all(has_role(r.op, Role.BIAS | _PRODUCTS) for r in after):
            continue
        yield subject.note(
            "scale-without-bias",
            node,
            "it learns no shift, and the BatchNorm before it has none either",
            "add `bias_term: true` to `scale_param`; Caffe's default is false",
            at=("scale_param", "type"),
        )


def cancelled_biases(subject: LintedNet) -> Iterator[Diagnostic]:
    """bias-under-batch-norm: biases that the BatchNorm after them subtracts again with the mean."""
    for node in subject.of(_PRODUCTS):
        readers = subject.readers(node.outputs[0])
        normalised = bool(readers) and all(has_role(r.op, Role.BATCH_NORM) for r in readers)
        if not normalised or not node.params_as(ConvolutionParams, InnerProductParams).bias:
            continue
        parameter = subject.graph.parameters.get(node.parameters[-1]) if node.parameters else None
        number = count(parameter.shape) if parameter and parameter.shape else 0
        parameters = f"its {number:,} biases" if number else "its biases"
        yield subject.note(
            "bias-under-batch-norm",
            node,
            f"{parameters} have no effect in training: `{readers[0].name}` takes them away with "
            "the mean",
            "write `bias_term: false` in a net that is still to be trained",
            at=("bias_term", "convolution_param", "inner_product_param"),
            notes=(Note(f"`{readers[0].name}` reads it here", readers[0].span),),
        )


def dropped_before_norm(subject: LintedNet) -> Iterator[Diagnostic]:
    """dropout-before-batch-norm: the variance differs between training and testing.

    Li et al., Understanding the disharmony between dropout and batch normalization, CVPR 2019.
    """
    for node in subject.of(Role.BATCH_NORM):
        before = subject.producer(node.inputs[0])
        if before is not None and has_role(before.op, Role.DROPOUT):
            yield subject.note(
                "dropout-before-batch-norm",
                node,
                f"the variance it stores is that of `{before.name}` dropping, and in testing "
                "nothing is dropped",
                "move the Dropout behind the last BatchNorm",
                at=("bottom",),
                notes=(Note("the Dropout is here", before.span),),
            )


def after_losses(subject: LintedNet) -> Iterator[Diagnostic]:
    """activation-after-loss: activations that read a loss."""
    for node in subject.of(Role.NONLINEARITY | Role.DROPOUT):
        before = subject.producer(node.inputs[0])
        if before is not None and CATALOG[before.op].loss:
            yield subject.note(
                "activation-after-loss",
                node,
                f"it works on the loss `{subject.blob(node.inputs[0])}`",
                "it likely belongs before the layer of scores",
                at=("bottom",),
                notes=(Note(f"the loss `{before.name}` is here", before.span),),
            )


def clipped_scores(subject: LintedNet) -> Iterator[Diagnostic]:
    """clipped-scores: ReLU right before a softmax or a loss."""
    for node in subject.of(Role.SIGNED_SCORES):
        before = subject.producer(node.inputs[0])
        if before is not None and _clips(before):
            yield subject.note(
                "clipped-scores",
                node,
                f"`{before.name}` (ReLU) makes every negative score 0 before it",
                "remove that ReLU: scores are to be of both signs",
                at=("bottom",),
                notes=(Note("the ReLU is here", before.span),),
            )


def _clips(node: Node) -> bool:
    return has_role(node.op, Role.RECTIFIER) and not node.params_as(ReLUParams).negative_slope


def squashed_twice(subject: LintedNet) -> Iterator[Diagnostic]:
    """softmax-twice and sigmoid-twice: a softmax of a softmax, a sigmoid of a sigmoid."""
    for kind, role in (("softmax", Role.SOFTMAX), ("sigmoid", Role.SIGMOID)):
        for node in subject.of(role):
            before = _behind_looks(subject, node.inputs[0])
            if before is not None and has_role(before.op, role) and not CATALOG[before.op].loss:
                yield subject.note(
                    f"{kind}-twice",
                    node,
                    f"its input went through a {kind} already, in `{before.name}`",
                    f"remove `{before.name}`"
                    + (", which the loss does itself" if CATALOG[node.op].loss else ""),
                    at=("bottom",),
                    notes=(Note(f"the first {kind} is here", before.span),),
                )


def _behind_looks(subject: LintedNet, value: str) -> Node | None:
    """The producer of a value, behind layers that only reorder it."""
    node = subject.producer(value)
    while node is not None and has_role(node.op, _REORDERING):
        node = subject.producer(node.inputs[0])
    return node


def lonely_softmaxes(subject: LintedNet) -> Iterator[Diagnostic]:
    """softmax-of-one: softmax over one class."""
    for node in subject.of(Role.SOFTMAX):
        shape = subject.graph.values[node.inputs[0]].shape
        axis = node.params_as(SoftmaxParams, SoftmaxLossParams).axis
        if shape is not None and -len(shape) <= axis < len(shape) and shape[axis] == 1:
            yield subject.note(
                "softmax-of-one",
                node,
                f"the softmax is over 1 class and gives 1 always; "
                f"`{subject.blob(node.inputs[0])}` has 1 element along axis {axis}",
                "score 2 classes, or use a sigmoid",
                at=("axis", "bottom"),
            )


def idle_activations(subject: LintedNet) -> Iterator[Diagnostic]:
    """idle-activation: ReLU of what is never negative."""
    for node in subject.of(Role.RECTIFIER):
        before = subject.producer(node.inputs[0])
        if before is not None and (_clips(before) or has_role(before.op, Role.NON_NEGATIVE)):
            yield subject.note(
                "idle-activation",
                node,
                f"it changes nothing: `{before.name}` ({before.op}) gives no negative number",
                "remove one of the two",
                at=("type",),
                notes=(Note(f"`{before.name}` is here", before.span),),
            )


RULES = (
    LintRule(
        "batch-statistics-in-test",
        "a normalisation whose answer depends on the rest of the batch",
        batch_statistics,
    ),
    LintRule("batch-norm-without-scale", "a BatchNorm with no Scale after it", lone_batch_norms),
    LintRule("scale-without-bias", "a Scale after BatchNorm that has no shift", shiftless_scales),
    LintRule("bias-under-batch-norm", "a bias that a BatchNorm takes away", cancelled_biases),
    LintRule("dropout-before-batch-norm", "Dropout right before BatchNorm", dropped_before_norm),
    LintRule("activation-after-loss", "an activation of a loss", after_losses),
    LintRule("clipped-scores", "a ReLU right before a softmax or a loss", clipped_scores),
    LintRule("softmax-twice", "a softmax of a softmax", squashed_twice),
    LintRule("sigmoid-twice", "a sigmoid of a sigmoid", squashed_twice),
    LintRule("softmax-of-one", "a softmax over one class", lonely_softmaxes),
    LintRule("idle-activation", "a ReLU of what is never negative", idle_activations),
)
