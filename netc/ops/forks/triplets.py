"""Python layers of three triplet losses, as built in (Schroff et al. 2015, FaceNet).

Norm2Layer, TripletSelectLayer and TripletLayer of the module ``tripletlosslayer`` are those of
luhaofang's tripletloss and its many copies; L2NormLayer and TripletLayer of ``tripletloss_layer``
are hizhangp/triplet's, TripletLossLayer0 and 1 those of TuBui/Triplet_Loss_SBIR. A batch of the
first has anchors, rows like them and rows unlike them, a third each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, quietly
from netc.ops.define import ShapeError
from netc.ops.param_str import parse_param_str
from netc.ops.python import PythonContext, register_built_in

_MARGIN = 1.0  # of a TripletLayer without ``param_str``


def _rows(shape: Shape, layer: str) -> Shape:
    if len(shape) < 2 or count(shape, 2) != 1:
        raise ShapeError(f"`{layer}` takes rows of numbers, its bottom is {show(shape)}")
    return shape[:2]


def _rows_shape(layer: str) -> Callable[[Sequence[Shape], str, PythonContext], tuple[Shape, ...]]:
    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        if len(inputs) != 1:
            raise ShapeError(f"`{layer}` takes one bottom, it has {len(inputs)}")
        return (_rows(inputs[0], layer),)

    return shape


def _lengths(x: AnyArray) -> AnyArray:
    """Of each row, (rows, 1); 1 where all its elements are 0, as scikit-learn has it."""
    size = np.sqrt((x * x).sum(axis=1, keepdims=True))
    result: AnyArray = np.where(size == 0, size.dtype.type(1), size)
    return result


@quietly
def _normalized(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    x = inputs[0].reshape(inputs[0].shape[:2])
    return (x / _lengths(x),)


@quietly
def _normalized_slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray, ...]:
    """(dy |x| - (x . dy) x / |x|) / |x|^2; NaN of a row of zeros, as there."""
    x = inputs[0].reshape(inputs[0].shape[:2])
    size = np.sqrt((x * x).sum(axis=1, keepdims=True))
    inner = (x * tops[0]).sum(axis=1, keepdims=True)
    return (((tops[0] * size - inner * x / size) / size**2).reshape(inputs[0].shape),)


# TripletSelectLayer


def _select_shape(
    inputs: Sequence[Shape], param_str: str, context: PythonContext
) -> tuple[Shape, ...]:
    if not inputs:
        raise ShapeError("`TripletSelectLayer` takes rows of numbers, it has no bottom")
    rows, width = _rows(inputs[0], "TripletSelectLayer")
    if rows < 3:
        raise ShapeError(
            "`TripletSelectLayer` takes anchors, rows like them and rows unlike them, as many of "
            f"each: the bottom is {show(inputs[0])}"
        )
    return ((rows // 3, width),) * 3


def _chosen(x: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Which rows become each triplet's, (triplets, 3), and their squared distances.

    Rows like and unlike are sorted by their distance from the first anchor, the farthest first;
    those of one distance stay in order. Rows behind three times a whole third are left out.
    """
    third = len(x) // 3
    square = ((x - x[:1]) ** 2).sum(axis=1)
    like, unlike = square[third : 2 * third], square[2 * third : 3 * third]
    first, second = (np.argsort(-part, kind="stable") for part in (like, unlike))
    rows = np.stack([np.arange(third), third + first, 2 * third + second], axis=1)
    return rows, like[first], unlike[second]


@quietly
def _select(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
    x = inputs[0].reshape(inputs[0].shape[:2])
    rows, _, _ = _chosen(x)
    return tuple(x[rows[:, i]] for i in range(3))


@quietly
def _select_slopes(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[AnyArray | None, ...]:
    """To the rows they came from, save of triplets whose like row is no nearer than the unlike."""
    x = inputs[0].reshape(inputs[0].shape[:2])
    rows, like, unlike = _chosen(x)
    kept = (like < unlike)[:, None]
    made = np.zeros_like(x)
    for i, top in enumerate(tops[:3]):
        made[rows[:, i]] = np.where(kept, top, 0)
    return (made.reshape(inputs[0].shape), *(None,) * (len(inputs) - 1))


# TripletLayer, TripletLossLayer0 and 1


@dataclass(frozen=True, slots=True)
class TripletRule:
    """A triplet's loss is ``margin`` + |f a - p|^2 - |f a - n|^2 with f = ``anchor``, at least 0.

    Gradients are multiplied by ``weight``; None stands for that of the loss.
    """

    margin: float
    anchor: float = 1.0
    weight: float | None = None


Rule = Callable[[str], TripletRule]


def _luhaofang(param_str: str) -> TripletRule:
    if not param_str.strip():
        return TripletRule(_MARGIN, weight=1.0)
    margin = parse_param_str(param_str, "TripletLayer", {"margin": None})["margin"]
    return TripletRule(float(margin), weight=1.0)


def _hizhangp(param_str: str) -> TripletRule:
    margin = parse_param_str(param_str, "TripletLayer", {"margin": None})["margin"]
    return TripletRule(float(margin))


def _sketches(param_str: str) -> TripletRule:
    known = {"margin": None, "loss_weight": None}
    given = parse_param_str(param_str, "TripletLossLayer0", known)
    return TripletRule(float(given["margin"]), 1.0, float(given["loss_weight"]))


def _scaled_sketches(param_str: str) -> TripletRule:
    known = {"margin": None, "loss_weight": None, "anchor_scale": None}
    given = parse_param_str(param_str, "TripletLossLayer1", known)
    return TripletRule(
        float(given["margin"]), float(given["anchor_scale"]), float(given["loss_weight"])
    )


def _triplets(rule: TripletRule, inputs: Arrays) -> tuple[AnyArray, AnyArray, AnyArray]:
    """The scaled anchors less the like and the unlike rows, and each triplet's loss before 0."""
    anchor, like, unlike = (x.reshape(x.shape[:2]) for x in inputs)
    anchor = anchor.dtype.type(rule.anchor) * anchor
    near, far = anchor - like, anchor - unlike
    each = anchor.dtype.type(rule.margin) + (near**2).sum(axis=1) - (far**2).sum(axis=1)
    return near, far, each


def _register_loss(module: str, layer: str, rule_of: Rule, share: float) -> None:
    """A triplet loss that is ``share`` of the mean over triplets."""

    def shape(inputs: Sequence[Shape], param_str: str, context: PythonContext) -> tuple[Shape, ...]:
        rule_of(param_str)
        if len(inputs) != 3 or len(set(inputs)) != 1:
            raise ShapeError(
                f"`{layer}` takes anchors, rows like and rows unlike them in one shape; the "
                f"bottoms are {', '.join(map(show, inputs))}"
            )
        _rows(inputs[0], layer)
        return ((1,),)

    @quietly
    def run(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        _, _, each = _triplets(rule_of(param_str), inputs)
        total = np.maximum(each, 0).sum(dtype=np.float64) * share / max(1, len(each))
        return (np.asarray(total, inputs[0].dtype).reshape(1),)

    @quietly
    def slopes(
        inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
    ) -> tuple[AnyArray, ...]:
        rule = rule_of(param_str)
        near, far, each = _triplets(rule, inputs)
        kind = near.dtype.type
        weight = tops[0].reshape(()) if rule.weight is None else kind(rule.weight)
        kept = (each > 0)[:, None] * kind(2 * share / max(1, len(each))) * weight
        made = (kind(rule.anchor) * kept * (near - far), -kept * near, kept * far)
        return tuple(part.reshape(x.shape) for part, x in zip(made, inputs, strict=True))

    register_built_in(module, layer, run, shape, gradient=slopes)


register_built_in("norm2layer", "Norm2Layer", _normalized, _rows_shape("Norm2Layer"))
register_built_in(
    "tripletselectlayer", "TripletSelectLayer", _select, _select_shape, gradient=_select_slopes
)
for _module in ("l2norm_layer", "triplet.l2norm_layer"):
    register_built_in(
        _module, "L2NormLayer", _normalized, _rows_shape("L2NormLayer"),
        gradient=_normalized_slopes,
    )  # fmt: skip
_register_loss("tripletlosslayer", "TripletLayer", _luhaofang, 0.5)
_register_loss("tripletloss_layer", "TripletLayer", _hizhangp, 1.0)
_register_loss("triplet_loss", "TripletLossLayer0", _sketches, 0.5)
_register_loss("triplet_loss", "TripletLossLayer1", _scaled_sketches, 0.5)
