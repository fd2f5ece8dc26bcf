"""What a training layer becomes in a deploy net: a loss its prediction, an Accuracy nothing.

Apart from ONNX's operators this is the only table of layer types in this folder; all other code
asks for a layer's role. The role of an unknown type is guessed from its name, by the naming
conventions of forks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import netc.ops.role as roles
from netc.analysis.source_layers import source_op
from netc.ops.catalog import LAYERS, has_role
from netc.ops.define import no_weights
from netc.schema.message import Message

Role = Literal["source", "loss", "score", "sink", "layer"]

_SCORES = ("Accuracy", "Evaluate", "ConfusionMatrix")
_SINKS = frozenset({"Silence", "HDF5Output", "MatWrite"})
_EVALUATIONS = frozenset({"EvalDetection", "LabelSpecificAdd", "DetectionGroupAccuracy"})

# Python layers of detectors that make targets for losses: the top that inference has under the
# name of a bottom (py-faster-rcnn, lib/rpn).
PASSES_REGIONS: Mapping[str, tuple[str, ...]] = {
    "ProposalTargetLayer": ("rois",),
    "ProposalTarget": ("rois",),
}


def role(layer: Message) -> Role:
    """The role of a layer for inference: "source", "sink", "score", "loss" or "layer"."""
    kind = layer.get("type")
    if source_op(layer) is not None:
        return "source"
    if kind in _SINKS:
        return "sink"
    if any(word in kind for word in _SCORES) or kind in _EVALUATIONS:
        return "score"
    op = LAYERS.get(kind)
    named = class_of(layer)
    if (op is not None and op.loss) or "Loss" in named or (kind == "Python" and _weighs(layer)):
        return "loss"
    return "layer"


def _weighs(layer: Message) -> bool:
    return any(weight != 0 for weight in layer.get("loss_weight"))


def class_of(layer: Message) -> str:
    """A layer's type; for a Python layer the name of its class."""
    kind = layer.get("type")
    return str(layer.get("python_param").get("layer") if kind == "Python" else kind)


def reads_data(layer: Message) -> bool:
    """Whether a layer reads databases or files, and so is replaced by an Input layer."""
    without_data = has_role(layer.get("type"), roles.Role.FED | roles.Role.FILLED)
    return source_op(layer) is not None and not without_data


def learns(layer: Message) -> bool:
    """Whether layers of this type have trained arrays."""
    op = LAYERS.get(layer.get("type"))
    return op is not None and op.weights is not no_weights


class Prediction(NamedTuple):
    """The layer that computes a loss's prediction.

    Attributes:
        kind: its type.
        axis_of: the loss's message from which it takes `axis`; empty where it has no axis.
        detects: whether it is SSD's detection head of four layers.
    """

    kind: str
    axis_of: str = ""
    detects: bool = False


def prediction(loss: Message) -> Prediction | None:
    """The layer that replaces a loss in inference; None where its bottom is the prediction."""
    kind = loss.get("type")
    if kind == "InfogainLoss":
        return Prediction("Softmax", "infogain_loss_param")
    if "Softmax" in kind and "Loss" in kind:
        return Prediction("Softmax", "softmax_param")
    if kind.startswith(("SigmoidCrossEntropy", "WeightedSigmoidCrossEntropy")):
        return Prediction("Sigmoid")
    if kind == "FocalLoss":
        return Prediction("Softmax", "softmax_param")
    if kind in ("MultiBoxLoss", "MultiBoxFocalLoss", "MultiBoxSSDLoss"):
        return Prediction("DetectionOutput", detects=True)
    return None
