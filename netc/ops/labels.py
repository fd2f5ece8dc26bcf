"""What losses and accuracies share: labels, labels to ignore, class weights and the divisor."""

from __future__ import annotations

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, namespace
from netc.ops.define import ShapeError
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.numbers import one_of
from netc.schema.message import Message

_MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def parse_ignore_label(message: Message) -> int | None:
    """``ignore_label`` of a LossParameter or AccuracyParameter; None where it is not written."""
    ignored: int | None = message.optional("ignore_label")
    return ignored


def loss_param(layer: Message, *more: str) -> Message:
    """The layer's LossParameter.

    Args:
        layer: the layer.
        more: fields of forks that the layer reads besides BVLC's.

    Raises:
        NetcError: unsupported-field, at a field that is not read.
    """
    return reject_unknown_fields(
        layer.get("loss_param"), "ignore_label", "normalization", "normalize", *more
    )


def parse_normalization(loss: Message, default: str = "VALID") -> str:
    """How a loss is normalised: FULL, VALID, BATCH_SIZE or NONE.

    Where ``normalization`` is not written the older ``normalize`` counts: true is VALID, false is
    BATCH_SIZE. Where neither is, it is ``default``.

    Raises:
        NetcError: unsupported-value, for a mode that only a fork has.
    """
    if not loss.has("normalization"):
        if loss.has("normalize"):
            return "VALID" if loss.get("normalize") else "BATCH_SIZE"
        return default
    return one_of(loss, "normalization", _MODES)


def ohem_normalization(layer: Message) -> tuple[str, float]:
    """How the OHEM losses of R-FCN are normalised: the mode, and the divisor of PRE_FIXED, else 1.

    Raises:
        NetcError: unsupported-field or unsupported-value, at the field.
    """
    loss = reject_unknown_fields(
        layer.get("loss_param"),
        *("ignore_label", "normalization", "normalize", "pre_fixed_normalizer"),
    )
    if loss.get("normalization") == "PRE_FIXED":
        return "PRE_FIXED", loss.get("pre_fixed_normalizer")
    return parse_normalization(loss), 1.0


def class_weights(loss: Message) -> tuple[float, ...] | str | None:
    """Factors of the loss of each class in SegNet's fork; None where all are 1.

    ``"frequency"`` stands for its first release: one over the number of the class's labels in the
    batch.

    Raises:
        NetcError: missing-field, for weights without `weight_by_label_freqs`, without which they
            have no effect.
    """
    weights = tuple(fork_field(loss, "class_weighting", ()))
    if fork_field(loss, "weight_by_label_freqs", False):
        return weights or "frequency"
    if weights and not loss.has("weight_by_label_freqs"):
        raise loss.error(
            "class_weighting",
            "missing-field",
            "`class_weighting` is given without `weight_by_label_freqs`",
            "add `weight_by_label_freqs: true`, or remove the weights, which do nothing without",
        )
    return None


def label_weights(
    weights: tuple[float, ...] | str | None, index: AnyArray, kept: AnyArray, like: AnyArray
) -> AnyArray:
    """The weight of each label, in the dtype of ``like``; 0 where a label is left out.

    Args:
        weights: as :func:`class_weights` gives them.
        index: labels, as :func:`class_labels` gives them.
        kept: which of them count, in the same shape.
        like: an array of the dtype and of the library.
    """
    xp = namespace(like)
    if weights is None:
        return kept.astype(like.dtype)
    if isinstance(weights, str):
        found = xp.bincount(index[kept].reshape(-1), minlength=1 + int(index.max(initial=0)))
        each = 1 / xp.maximum(found, 1)
    else:
        each = xp.asarray(weights)
    return xp.where(kept, each[index], 0).astype(like.dtype)


def divisor(mode: str, outer: int, inner: int, valid: AnyArray | np.int64) -> AnyArray | float:
    """What a loss is divided by, at least 1 (GetNormalizer of softmax_loss_layer.cpp).

    Args:
        mode: FULL (all predictions), VALID (those that count), BATCH_SIZE (items) or NONE (1).
        outer: items.
        inner: predictions of an item.
        valid: predictions that count.
    """
    if mode == "VALID":
        return namespace(valid).maximum(valid, 1)
    return max({"FULL": outer * inner, "BATCH_SIZE": outer, "NONE": 1}[mode], 1)


def class_labels(
    labels: AnyArray, classes: int, ignored: int | None = None
) -> tuple[AnyArray, AnyArray]:
    """Labels as int64 indices, and which of them count, both in the labels' shape.

    Fractions are cut off as a C++ cast does; a label that is left out has index 0.

    Args:
        labels: numbers, of any shape.
        classes: how many there are.
        ignored: the label that is left out; None for none.

    Raises:
        NetcError: label-out-of-range, where Caffe would read outside of its memory.
    """
    xp = namespace(labels)
    whole = xp.trunc(labels.astype(xp.float64))
    kept = xp.ones(labels.shape, dtype=bool) if ignored is None else whole != ignored
    wrong = kept & ~((whole >= 0) & (whole < classes))
    if wrong.any():
        raise wrong_label(float(labels[wrong][0]), classes)
    return xp.where(kept, whole, 0).astype(xp.int64), kept


def wrong_label(label: float, classes: int) -> NetcError:
    """The error label-out-of-range, of a label that is none of so many classes."""
    range_ = f"0 to {classes - 1}" if classes else "none"
    return NetcError(
        Diagnostic(
            "label-out-of-range",
            f"label {label:g} is no class, the {classes} classes are {range_}",
            help=("`ignore_label` leaves a label out where the layer has it",),
            value=label,
        )
    )


def check_batch(first: Shape, second: Shape) -> None:
    """Check that prediction and label have the same first dimension (loss_layer.cpp).

    Raises:
        ShapeError: they have not.
    """
    if not first or not second or first[0] != second[0]:
        raise ShapeError(
            "the first dimensions must be equal: the prediction is "
            f"{show(first)} and the label {show(second)}"
        )


def check_label_count(data: Shape, labels: Shape, axis: int) -> None:
    """Check that there is one label for each prediction; ``axis`` of ``data`` holds the classes.

    Raises:
        ShapeError: there are more or fewer.
    """
    wanted = count(data, 0, axis) * count(data, axis + 1)
    if count(labels) != wanted:
        around = data[:axis] + data[axis + 1 :]
        raise ShapeError(
            f"{wanted} labels are needed, one for each prediction along axis {axis} of "
            f"{show(data)}, and the label {show(labels)} has {count(labels)}",
            help=(f"a label of {show(around)} fits; its values are 0 to {data[axis] - 1}",),
        )
