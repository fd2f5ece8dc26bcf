"""The gradients of Noise and RandomNoise: what arrives is passed on, whatever the noise was."""

from __future__ import annotations

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.noise import NOISE, RANDOM_NOISE, NoiseParams, RandomNoiseParams
from netc.ops.gradients.define import NOTHING, Gradient, Saved, gradients, of


def _noise(params: object, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return tops[0]


def _inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(NoiseParams)
    return _GROWS if params.active and params.gaussian else None


def _random_inexact(graph: Graph, node: Node) -> str | None:
    return None if node.params_as(RandomNoiseParams).factor is None else _GROWS


_GROWS = "the noise, which grows with the bottom, counts as constant"

GRADIENTS = gradients(
    of(NOISE, Gradient(_noise, NOTHING, inexact=_inexact)),
    of(RANDOM_NOISE, Gradient(_noise, NOTHING, inexact=_random_inexact)),
)
