"""The gradient of Noise: what arrives is passed on, however large the noise was."""

from __future__ import annotations

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays
from netc.ops.gradients.define import NOTHING, Gradient, Saved, gradients, of
from netc.ops.noise import NOISE, NoiseParams


def _noise(params: NoiseParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    return tops[0]


def _inexact(graph: Graph, node: Node) -> str | None:
    params = node.params_as(NoiseParams)
    grows = params.active and params.gaussian
    return "the noise, which grows with the bottom, counts as constant" if grows else None


GRADIENTS = gradients(of(NOISE, Gradient(_noise, NOTHING, inexact=_inexact)))
