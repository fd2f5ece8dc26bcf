"""BatchNorm (batch_norm_layer.cpp of BVLC), and NVIDIA's with a scale and bias of its own.

The trained arrays are mean (channels,), variance (channels,) and the factor (1,) that both are to
be divided by; NVIDIA's adds scale and bias, (channels,) each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, count
from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.axes import need_axes, per_channel
from netc.ops.define import (
    POINTWISE,
    WHOLE,
    Affine,
    Cost,
    LayerContext,
    OpDef,
    WeightSpec,
    Window,
)
from netc.ops.fields import fork_field, reject_unknown_fields
from netc.ops.filler import CONSTANT_ONE, CONSTANT_ZERO, Filler, parse_filler
from netc.ops.role import Role
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class BatchNormParams:
    """How a channel (axis 1) is normalised (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
        use_global_stats: by the stored averages; else by the batch's own mean and variance.
        eps: added to the variance.
        moving_average_fraction: factor of the stored averages when a batch's are added to them.
        fillers: of NVIDIA's scale and bias; None where the layer has neither.
    """

    use_global_stats: bool = True
    eps: float = 1e-5
    moving_average_fraction: float = 0.999
    fillers: tuple[Filler, Filler] | None = None


def uses_batch_statistics(params: object) -> bool:
    """True for parameters of a BatchNorm that normalises by the batch's own mean and variance."""
    return isinstance(params, BatchNormParams) and not params.use_global_stats


_STATISTICS = 3  # mean, variance and the factor both are to be divided by
_NVIDIA_EPS = 1e-5  # the least that its batch_norm_layer.cpp takes


def _parse_batch_norm(layer: Message, context: LayerContext) -> BatchNormParams:
    message = layer.get("batch_norm_param")
    fillers = _own_fillers(message)
    reject_unknown_fields(
        message,
        *("use_global_stats", "moving_average_fraction", "eps", "scale_bias", "use_weight_bias"),
        *("scale_filler", "bias_filler") if fillers else _idle_fillers(message),
    )
    _check_untrained(layer)
    given = message.optional("use_global_stats")
    return BatchNormParams(
        context.phase == "TEST" if given is None else given,
        max(message.get("eps"), _NVIDIA_EPS) if fillers else message.get("eps"),
        message.get("moving_average_fraction"),
        fillers,
    )


def _own_fillers(message: Message) -> tuple[Filler, Filler] | None:
    """Fillers of the scale and bias of NVIDIA's fork; None where the text asks for neither."""
    scaled = fork_field(message, "scale_bias", False)
    filled = "scale_filler" in message.type.fields and message.has("scale_filler")
    if not scaled and not filled:
        return None
    scale = parse_filler(message.get("scale_filler")) if filled else CONSTANT_ONE
    biased = "bias_filler" in message.type.fields and message.has("bias_filler")
    return scale, parse_filler(message.get("bias_filler")) if biased else CONSTANT_ZERO


def _idle_fillers(message: Message) -> tuple[str, ...]:
    """Intel's fork fills by them the Scale layer that it merges in; without one they do nothing."""
    intel = "filler" in message.type.fields and message.has("filler")
    return ("filler", "bias_filler") if intel else ()


def _check_untrained(layer: Message) -> None:
    """The statistics are no parameters to train: each ``param`` must say ``lr_mult: 0``."""
    for spec in layer.get("param")[:_STATISTICS]:
        if spec.get("lr_mult") != 0:
            raise spec.error(
                "lr_mult",
                "trained-statistics",
                f"`lr_mult` {spec.get('lr_mult'):g} would train a statistic of BatchNorm, it must "
                "be 0",
                "write `param { lr_mult: 0 }`, or leave all `param` out",
            )


def _batch_norm_shape(params: BatchNormParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    need_axes(inputs[0], 2, "BatchNorm")
    return (inputs[0],)


def _batch_norm_weights(params: BatchNormParams, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    vector = (inputs[0][1],)
    own = tuple(WeightSpec(vector, filler) for filler in params.fillers or ())
    kept = (WeightSpec(shape, learned=False) for shape in (vector, vector, (1,)))
    return (*kept, *own)


def _batch_norm_cost(
    params: BatchNormParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Cost:
    return Cost(operations=(4 if params.fillers else 2) * count(outputs[0]))


def _batch_norm_window(
    params: BatchNormParams, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> Window:
    return POINTWISE if params.use_global_stats else WHOLE


def stored_statistics(
    mean: AnyArray, variance: AnyArray, factor: AnyArray
) -> tuple[AnyArray, AnyArray]:
    """Stored mean and variance, (channels,) each, divided by the stored ``factor`` (1,).

    Where the factor is 0 both are 0, as in batch_norm_layer.cpp.
    """
    xp = namespace(factor)
    divisor = factor.reshape(-1)[0]
    scale = xp.where(divisor == 0, divisor, 1 / xp.where(divisor == 0, 1, divisor))
    scale = scale.astype(mean.dtype)
    return mean * scale, variance * scale


def batch_statistics(x: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Mean and biased variance of each channel (axis 1) over all other axes; (channels,) each."""
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes)
    centred = x - per_channel(mean, x.ndim)
    return mean, (centred * centred).mean(axis=axes)


def _statistics(params: BatchNormParams, x: AnyArray, weights: Arrays) -> tuple[AnyArray, AnyArray]:
    if params.use_global_stats:
        return stored_statistics(*weights[:_STATISTICS])
    return batch_statistics(x)


def normalized(x: AnyArray, mean: AnyArray, variance: AnyArray, eps: float) -> AnyArray:
    """(x - mean) / sqrt(variance + eps), by the channels' (axis 1) elements of the two vectors."""
    deviation = namespace(x).sqrt(variance + np.float32(eps))
    return (x - per_channel(mean, x.ndim)) / per_channel(deviation, x.ndim)


def _batch_norm(params: BatchNormParams, inputs: Arrays, weights: Arrays) -> Arrays:
    (x,) = inputs
    with np.errstate(all="ignore"):
        mean, variance = _statistics(params, x, weights)
        y = normalized(x, mean, variance, params.eps)
        if params.fillers:
            scale, bias = (per_channel(weight, x.ndim) for weight in weights[_STATISTICS:])
            y = scale * y + bias
        return (y,)


def _train_batch_norm(
    params: BatchNormParams, inputs: Arrays, weights: Arrays
) -> tuple[Arrays, Arrays]:
    """The forward, and the averages with this batch added (batch_norm_layer.cpp).

    The stored variance is the unbiased one, and the stored factor is the sum of the weights that
    the batches so far have in the averages. NVIDIA's layer with its own scale keeps plain running
    averages instead.
    """
    outputs = _batch_norm(params, inputs, weights)
    if params.use_global_stats:
        return outputs, tuple(weights)
    (x,) = inputs
    with np.errstate(all="ignore"):
        mean, variance = batch_statistics(x)
    keep = np.float32(params.moving_average_fraction)
    old_mean, old_variance, old_factor, *own = weights
    if own:
        seen = (mean, variance + np.float32(params.eps))
        averages = [keep * a + (1 - keep) * b for a, b in zip(weights[:2], seen, strict=True)]
        return outputs, (*averages, old_factor, *own)
    samples = x.size // x.shape[1]
    unbiased = np.float32(samples / (samples - 1) if samples > 1 else 1)
    averages = [mean + keep * old_mean, unbiased * variance + keep * old_variance]
    return outputs, (*averages, keep * old_factor + 1)


def _batch_norm_moving(params: BatchNormParams) -> tuple[int, ...]:
    if params.use_global_stats:
        return ()
    return (0, 1) if params.fillers else (0, 1, 2)


def _batch_norm_affine(
    params: BatchNormParams, inputs: Sequence[Shape], weights: Arrays
) -> Affine | None:
    if not params.use_global_stats:
        return None
    precise = [weight.astype(np.float64) for weight in weights]
    mean, variance = stored_statistics(*precise[:_STATISTICS])
    deviation = np.sqrt(variance + params.eps)
    if not np.all(deviation > 0):
        return None
    scale, bias = precise[_STATISTICS:] if params.fillers else (1.0, 0.0)
    return Affine(scale / deviation, bias - scale * mean / deviation)


BATCH_NORM = OpDef(
    name="BatchNorm",
    affine=_batch_norm_affine,
    arity=ONE_TO_ONE,
    params=_parse_batch_norm,
    shape=_batch_norm_shape,
    weights=_batch_norm_weights,
    cost=_batch_norm_cost,
    window=_batch_norm_window,
    reference=_batch_norm,
    train=_train_batch_norm,
    moving=_batch_norm_moving,
    in_place=True,
    family="normalization",
    role=Role.BATCH_NORM | Role.WIDE_ARRAYS | Role.CHANNEL_VECTORS | Role.EPILOGUE | Role.FINISHING,
)

OPS = (BATCH_NORM,)
