"""Layers that add noise to a blob. The numbers are netc's own.

Noise of happynear/caffe-windows (noise_layer.cpp) draws Gaussian numbers, whose deviation is in
parts of the bottom's root mean square, or even ones; outside of training the bottom is passed on.
RandomNoise of pulkitag/caffe (random_noise_layer.cpp) adds Gaussian numbers in both phases.
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.numeric import np
from netc.ops.activation import ONE_TO_ONE
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.cost import per_output
from netc.ops.define import LayerContext, OpDef, TypeReading, copies, erased, same_shape
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
        root = namespace(x).sqrt((x * x).mean())
        added = _normal(params.seed, x, drawn, key) * root * params.gaussian
    return ((x + (added + params.mean)).astype(x.dtype),)


def _normal(seed: int, x: AnyArray, drawn: AnyArray, key: AnyArray | None) -> AnyArray:
    """Normal numbers by Box and Muller, in the shape of ``x``."""
    xp = namespace(x)
    turn = uniform(x, x.shape, seed, key, 1)
    normal: AnyArray = xp.sqrt(-2 * xp.log(1 - drawn)) * xp.cos(2 * np.pi * turn)
    return normal


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


@dataclass(frozen=True, slots=True)
class RandomNoiseParams:
    """Noise of ``mean`` and ``deviation``; ``factor`` is None, or an element's own share of it.

    With ``factor`` the mean is 0 and an element's deviation is ``factor`` times its absolute value,
    or times the mean absolute value of the bottom where it is 0.
    """

    mean: float
    deviation: float
    factor: float | None
    seed: int


_RANDOM = ("mu", "sigma", "adaptive_sigma", "adaptive_factor")


def _parse_random(layer: Message, context: LayerContext) -> RandomNoiseParams:
    p = reject_unknown_fields(layer.get("random_noise_param"), *_RANDOM)
    adaptive = p.get("adaptive_sigma")
    name = "adaptive_factor" if adaptive else "sigma"
    if not 0 < p.get(name) < float("inf"):
        raise bad_value(p, name, "must be above 0")
    factor = p.get("adaptive_factor") if adaptive else None
    number = layer_number(layer.get("name"))
    return RandomNoiseParams(p.get("mu"), p.get("sigma"), factor, number)


def _random_noise(
    params: RandomNoiseParams, inputs: Arrays, weights: Arrays
) -> tuple[AnyArray, ...]:
    x, *keys = inputs
    xp, key = namespace(x), keys[0] if keys else None
    normal = _normal(params.seed, x, uniform(x, x.shape, params.seed, key), key)
    if params.factor is None:
        return ((x + (normal * params.deviation + params.mean)).astype(x.dtype),)
    size = xp.abs(x)
    own = xp.where(size == 0, size.sum(dtype=np.float64) / max(1, x.size), size)
    return ((x + normal * own * params.factor).astype(x.dtype),)


def _told(layer: Message) -> TypeReading | None:
    """The fork's GPU code reads ``mu`` in one case more, and ``sigma`` in none."""
    p = layer.get("random_noise_param")
    adaptive = p.get("adaptive_sigma")
    if p.get("mu") == 0 if adaptive else p.get("sigma") == 1:
        return None
    field = "mu" if adaptive else "sigma"
    by = "adds `mu` to it before it is scaled" if adaptive else "takes 1 in the place of `sigma`"
    said = f"the noise is that of the fork's code for CPUs; its code for GPUs {by}"
    told = (f"random_noise_param.{field}", said, ())
    return TypeReading(erased(RANDOM_NOISE), told)


RANDOM_NOISE = OpDef(
    name="RandomNoise",
    arity=ONE_TO_ONE,
    params=_parse_random,
    shape=same_shape,
    cost=per_output(8),
    memory=copies(8),
    reference=_random_noise,
    draws=lambda params: True,
    family="activation",
    reading=_told,
)

OPS = (NOISE, RANDOM_NOISE)
