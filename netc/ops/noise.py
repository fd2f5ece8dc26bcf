"""Noise of happynear/caffe-windows (noise_layer.cpp): what is added to a blob in training.

Gaussian numbers, whose deviation is in parts of the bottom's root mean square, or even ones. They
are netc's own. Outside of training the bottom is passed on.
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import LayerContext, OpDef, same_shape
from netc.ops.fields import bad_value, reject_unknown_fields
from netc.ops.random import layer_number, uniform
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class NoiseParams:
    """What is added: ``mean``, and numbers of a deviation or of a range to both sides.

    ``active`` is whether anything is, in this phase; ``gaussian`` is None for even numbers.
    """

    active: bool
    gaussian: float | None
    range: float
    mean: float
    seed: int


def _parse(layer: Message, context: LayerContext) -> NoiseParams:
    p = reject_unknown_fields(layer.get("noise_param"), "gaussian_std", "uniform_range", "bias")
    for name in ("gaussian_std", "uniform_range"):
        if not 0 <= p.get(name) < float("inf"):
            raise bad_value(p, name, "must be at least 0")
    gaussian = p.get("gaussian_std") if p.has("gaussian_std") else None
    given = gaussian is not None or p.has("uniform_range")
    return NoiseParams(
        given and context.phase == "TRAIN",
        gaussian,
        p.get("uniform_range"),
        p.get("bias"),
        layer_number(layer.get("name")),
    )


def _noise(params: NoiseParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    x, *keys = inputs
    if not params.active:
        return (x,)
    key = keys[0] if keys else None
    drawn = uniform(x, x.shape, params.seed, key)
    if params.gaussian is None:
        added = (2 * drawn - 1) * params.range
    else:
        added = _normal(params, x, drawn, key) * params.gaussian
    return ((x + (added + params.mean)).astype(x.dtype),)


def _normal(params: NoiseParams, x: AnyArray, drawn: AnyArray, key: AnyArray | None) -> AnyArray:
    """Normal numbers by Box and Muller, times the root mean square of ``x``."""
    xp = namespace(x)
    turn = uniform(x, x.shape, params.seed, key, 1)
    normal = xp.sqrt(-2 * xp.log(1 - drawn)) * xp.cos(2 * np.pi * turn)
    result: AnyArray = normal * xp.sqrt((x * x).mean())
    return result


NOISE = OpDef(
    name="Noise",
    arity=ONE_TO_ONE,
    params=_parse,
    shape=same_shape,
    cost=per_output(8),
    reference=_noise,
    draws=lambda params: params.active,
    family="activation",
)

OPS = (NOISE,)
