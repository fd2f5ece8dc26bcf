"""Gradients of GuidedDropout, Insanity, SeLuDropout and GradientScaler.

What was drawn in the forward pass is drawn again from the generator's key.
"""

from __future__ import annotations

from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.forks.guided import (
    GRADIENT_SCALER,
    GUIDED_DROPOUT,
    INSANITY,
    SELU_DROPOUT,
    GradientScalerParams,
    GuidedDropoutParams,
    InsanityParams,
    SeLuDropoutParams,
    gradient_factor,
    guided_factor,
    insanity_factor,
    selu_kept,
)
from netc.ops.gradients.define import INPUT, Gradient, Reads, Saved, gradients, of


def _guided(params: GuidedDropoutParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    key = saved.inputs[2] if len(saved.inputs) > 2 else None
    factor = guided_factor(params, tops[0], saved.inputs[1], key)
    return (tops[0] * factor).astype(tops[0].dtype)


def _insanity(params: InsanityParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    x = saved.inputs[0]
    return tops[0] * namespace(x).where(x > 0, 1, insanity_factor(params, x, key))


def _selu(params: SeLuDropoutParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    if not params.sample:
        return tops[0]
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    result: AnyArray = tops[0] * selu_kept(params, tops[0], key) * tops[0].dtype.type(params.scale)
    return result


def _scaler(params: GradientScalerParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    key = saved.inputs[1] if len(saved.inputs) > 1 else None
    result: AnyArray = tops[0] * tops[0].dtype.type(gradient_factor(params, key))
    return result


def _scaler_inexact(graph: Graph, node: Node) -> str:
    return "GradientScaler passes its input on, and gives back another gradient on purpose"


GRADIENTS = gradients(
    of(GUIDED_DROPOUT, Gradient(_guided, Reads(inputs=(1,)), ignored=(1,))),
    of(SELU_DROPOUT, Gradient(_selu)),
    of(INSANITY, Gradient(_insanity, INPUT)),
    of(GRADIENT_SCALER, Gradient(_scaler, inexact=_scaler_inexact, host=True)),
)
