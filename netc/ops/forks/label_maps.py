"""Layers of forks that read label maps: BiasChannel, UniqueLabel, SegAccuracy.

bias_channel_layer.cpp, unique_label_layer.cpp and seg_accuracy_layer.cpp of DeepLab's Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.axes import need_four_axes
from netc.ops.define import (
    Arity,
    LayerContext,
    OpDef,
    ShapeError,
    full_extent,
)
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.numbers import required_number
from netc.schema.message import Message

_TWO_TO_ONE = Arity(bottoms=(2, 2), tops=(1, 1))


@dataclass(frozen=True, slots=True)
class BiasChannelParams:
    """What is added to the channels of the classes that an image's label map has.

    Args:
        background: added to the channel of label 0, or of ``background_label``.
        foreground: added to those of all other labels.
        ignored: labels that add nothing.
        each: values are added at the label's place only, not in the whole channel
            (``label_type: PIXEL``).
        background_label: with ``each``, the channel whose every place gets ``background``; None
            where the text has neither it nor a ``bg_bias``.
    """

    background: float
    foreground: float
    ignored: tuple[int, ...]
    each: bool
    background_label: int | None


def _parse_bias_channel(layer: Message, context: LayerContext) -> BiasChannelParams:
    names = ("bg_bias", "fg_bias", "ignore_label", "background_label", "label_type")
    message = reject_unknown_fields(layer.get("bias_channel_param"), *names)
    known = message.has("background_label") or message.has("bg_bias")
    return BiasChannelParams(
        message.get("bg_bias"),
        message.get("fg_bias"),
        _several(message, "ignore_label"),
        message.get("label_type") == "PIXEL",
        message.get("background_label") if known else None,
    )


def _bias_channel_shape(params: BiasChannelParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return (inputs[0],)


def _bias_channel(
    params: BiasChannelParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """A label that is ignored, or has no channel, adds nothing (bias_channel_layer.cpp)."""
    y, labels = np.array(inputs[0]), np.asarray(inputs[1]).astype(np.int64)
    for image, own in enumerate(labels.reshape(len(labels), -1)):
        flat = y[image].reshape(y.shape[1], -1)
        for at, label in enumerate(own.tolist()):
            if label in params.ignored or not 0 <= label < len(flat):
                continue
            if params.each:
                _add_at(params, flat, label, at)
            else:
                flat[label] += np.float32(params.foreground if label else params.background)
    return (y,)


def _add_at(params: BiasChannelParams, flat: AnyArray, label: int, at: int) -> None:
    """At a place of a known background the background's channel is raised whatever it shows."""
    if params.background_label is not None:
        flat[params.background_label, at] += np.float32(params.background)
    if label != params.background_label:
        flat[label, at] += np.float32(params.foreground)


BIAS_CHANNEL = OpDef(
    "BiasChannel",
    _TWO_TO_ONE,
    _bias_channel_shape,
    _bias_channel,
    params=_parse_bias_channel,
    family="joining",
    host=True,
)


@dataclass(frozen=True, slots=True)
class UniqueLabelParams:
    """The labels of each image in rising order: a top (num, ``most``, 1, 1), padded with -1.

    ``ignored`` labels are left out, ``forced`` ones are always given.
    """

    most: int
    ignored: frozenset[int]
    forced: frozenset[int]


def _parse_unique(layer: Message, context: LayerContext) -> UniqueLabelParams:
    message = reject_unknown_fields(
        layer.get("unique_label_param"), "max_labels", "ignore_label", "force_label"
    )
    most, forced = required_number(message, "max_labels"), _several(message, "force_label")
    if most <= len(set(forced)):
        raise bad_value(message, "max_labels", f"must be more than the {len(set(forced))} forced")
    return UniqueLabelParams(most, frozenset(_several(message, "ignore_label")), frozenset(forced))


def _several(message: Message, name: str) -> tuple[int, ...]:
    """The values of a field that may be given once or many times."""
    if not message.has(name):
        return ()
    value = message.get(name)
    return tuple(value) if isinstance(value, tuple) else (value,)


def _unique_shape(params: UniqueLabelParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    return ((inputs[0][0], params.most, 1, 1),)


def _unique(params: UniqueLabelParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """The labels that an image has, in rising order; the rest is -1.

    Raises:
        NetcError: label-out-of-range, where an image has more.
    """
    labels = np.asarray(inputs[0])
    y = np.full((len(labels), params.most, 1, 1), -1, np.float32)
    for image, own in enumerate(labels.reshape(len(labels), -1).astype(np.int64)):
        found = (set(own.tolist()) - params.ignored) | params.forced
        if len(found) > params.most:
            raise _too_many(len(found), params.most)
        y[image, : len(found), 0, 0] = sorted(found)
    return (y,)


def _too_many(number: int, most: int) -> NetcError:
    return NetcError(
        Diagnostic(
            "label-out-of-range",
            f"an image has {number} labels, and `max_labels` is {most}",
            help=("raise `max_labels`, or leave labels out by `ignore_label`",),
        )
    )


UNIQUE_LABEL = OpDef(
    "UniqueLabel",
    ONE_TO_ONE,
    _unique_shape,
    _unique,
    params=_parse_unique,
    window=full_extent,
    family="joining",
    host=True,
)


@dataclass(frozen=True, slots=True)
class SegAccuracyParams:
    """Pixel accuracy, mean recall and mean intersection over union, as a top (1, 1, 1, 3).

    Pixels with ``ignored`` labels do not count.
    """

    ignored: tuple[int, ...]


def _parse_seg(layer: Message, context: LayerContext) -> SegAccuracyParams:
    message = reject_unknown_fields(
        layer.get("seg_accuracy_param"), "ignore_label", "metric", "reset"
    )
    return SegAccuracyParams(_several(message, "ignore_label"))


def _seg_shape(params: SegAccuracyParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    data, label = inputs
    need_four_axes(data, "SegAccuracy")
    if label != (data[0], 1, *data[2:]):
        raise ShapeError(f"the label of {show(data)} must have 1 channel, it is {show(label)}")
    return ((1, 1, 1, 3),)


@quietly
def _seg_accuracy(
    params: SegAccuracyParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    """Accuracy of pixels, mean recall of classes, mean intersection over union.

    Of equal scores the last class counts. A class that is neither there nor predicted is left out
    of the recall, and has an intersection over union of 1 (confusion_matrix.cpp).
    """
    scores, label = (np.asarray(array) for array in inputs)
    classes = scores.shape[1]
    truth, guess = label[:, 0].astype(np.int64), classes - 1 - scores[:, ::-1].argmax(axis=1)
    counted = (truth >= 0) & (truth < classes) & ~np.isin(truth, params.ignored)
    pairs = truth[counted] * classes + guess[counted]
    table = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    hits, true, made = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    union = true + made - hits
    whole = np.where(union == 0, 1, hits / np.maximum(union, 1)).mean()
    values = [_mean(hits.sum(), np.array(true.sum())), _mean(hits, true), whole]
    return (np.array(values, np.float32).reshape(1, 1, 1, 3),)


def _mean(parts: AnyArray, wholes: AnyArray) -> float:
    """The mean of the ratios whose divisor is not 0."""
    there = np.atleast_1d(wholes) > 0
    ratios = np.atleast_1d(parts)[there] / np.atleast_1d(wholes)[there]
    return float(ratios.mean()) if len(ratios) else 0.0


SEG_ACCURACY = OpDef(
    "SegAccuracy",
    _TWO_TO_ONE,
    _seg_shape,
    _seg_accuracy,
    params=_parse_seg,
    window=full_extent,
    family="joining",
    host=True,
)

OPS = (BIAS_CHANNEL, UNIQUE_LABEL, SEG_ACCURACY)
