"""The layers that compute a loss's prediction: for SoftmaxWithLoss a Softmax without labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from netc.migrate.change import Change
from netc.schema.message import Message
from netc.surgery.build import message_of
from netc.surgery.heads import prediction, role

_STEP = "deploy"
_DETECTION_TAKES = ("num_classes", "share_location", "background_label_id", "code_type")

# What SSD's own scripts give a DetectionOutput (weiliu89/caffe, examples/ssd/ssd_pascal.py).
_DETECTION: Mapping[str, Any] = {
    "nms_param": {"nms_threshold": 0.45, "top_k": 400},
    "keep_top_k": 200,
    "confidence_threshold": 0.01,
}


def predictions(
    layers: Sequence[Message], learned: Collection[str], changes: list[Change]
) -> tuple[list[Message], list[str]]:
    """The layers that replace losses, and the blobs that hold predictions.

    Args:
        layers: the layers of the training net, in order.
        learned: blobs that depend on trained layers; a loss's other bottoms are labels.
        changes: each replacement is appended.
    """
    losses = [layer for layer in layers if role(layer) == "loss"]
    kept = [loss for loss in losses if not _is_auxiliary(loss, losses)]
    changes += (_left(loss) for loss in losses if loss not in kept)
    body = [layer for layer in layers if role(layer) in ("layer", "source")]
    heads = [x for x in kept if (found := prediction(x)) is not None and not found.detects]
    maker = _Maker(body, heads)
    made: list[Message] = []
    given: list[str] = []
    for loss in kept:
        for blob in _predicted(loss, learned):
            new, top = maker.made(loss, blob)
            made += new
            given.append(top)
            if new:
                message = f"`{loss.get('name')}` ({loss.get('type')}) became "
                names = ", ".join(f"{layer.get('type')} `{layer.get('name')}`" for layer in new)
                changes.append(Change(_STEP, message + names, loss.span))
    return made, given


def _predicted(loss: Message, learned: Collection[str]) -> Iterator[str]:
    """A loss's bottoms that follow from the net; of a softmax or detector the first alone."""
    bottoms = loss.get("bottom")
    if prediction(loss) is not None:
        yield from bottoms[:1]
    else:
        yield from (blob for blob in bottoms if blob in learned)


def _is_auxiliary(loss: Message, losses: Sequence[Message]) -> bool:
    """Whether a loss weighs less than another of its type and labels (GoogLeNet's first two)."""
    return any(
        other.get("type") == loss.get("type")
        and other.get("bottom")[1:2] == loss.get("bottom")[1:2] != ()
        and _weight(other) > _weight(loss)
        for other in losses
    )


def _weight(loss: Message) -> float:
    weights = loss.get("loss_weight")
    return float(weights[0]) if weights else 1.0


def _left(loss: Message) -> Change:
    name, weight = loss.get("name"), _weight(loss)
    message = (
        f"`{name}` went with its branch: its weight is {weight:g}, another's of its labels more"
    )
    return Change(_STEP, message, loss.span)


class _Maker:
    """Makes layers with names that are free."""

    def __init__(self, layers: Sequence[Message], heads: Sequence[Message]) -> None:
        self.layers = layers
        self.names = {x.get("name") for x in layers} | {b for x in layers for b in x.get("top")}
        self.single = len({head.get("bottom")[:1] for head in heads}) == 1
        self.known: dict[tuple[str, str], str] = {
            (x.get("type"), x.get("bottom")[0]): x.get("top")[0]
            for x in layers
            if x.get("bottom") and x.get("top")
        }

    def made(self, loss: Message, blob: str) -> tuple[list[Message], str]:
        """The layers of a prediction, none where there is nothing to do, and its blob."""
        wanted = prediction(loss)
        if wanted is None:
            return [], blob
        kind = wanted.kind
        if (kind, blob) in self.known:
            return [], self.known[kind, blob]
        if wanted.detects:
            return self._detection(loss)
        name = self._free("prob" if self.single else f"{blob}_prob")
        self.known[kind, blob] = name
        fields: dict[str, Any] = {"name": name, "type": kind, "bottom": [blob], "top": [name]}
        axis = loss.get(wanted.axis_of).optional("axis") if wanted.axis_of else None
        if axis not in (None, 1):
            fields["softmax_param"] = {"axis": axis}
        return [message_of(loss.type, fields, loss.span)], name

    def _detection(self, loss: Message) -> tuple[list[Message], str]:
        """SSD's layers from the scores to the boxes (ssd_detect.py of weiliu89/caffe)."""
        param = loss.get("multibox_loss_param")
        loc, conf, priors = loss.get("bottom")[:3]
        classes = param.get("num_classes")
        reshaped, soft, flat = (
            self._free(f"{conf}_{end}") for end in ("reshape", "softmax", "flatten")
        )
        found = self._free("detection_out")
        message = {n: param.get(n) for n in _DETECTION_TAKES if param.has(n)}
        return [
            _layer(loss, reshaped, "Reshape", [conf],
                   reshape_param={"shape": {"dim": [0, -1, classes]}}),
            _layer(loss, soft, "Softmax", [reshaped], softmax_param={"axis": 2}),
            _layer(loss, flat, "Flatten", [soft], flatten_param={"axis": 1}),
            _layer(loss, found, "DetectionOutput", [loc, flat, priors],
                   detection_output_param={**message, **_DETECTION}),
        ], found  # fmt: skip

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self.names:
            number += 1
            free = f"{name}{number}"
        self.names.add(free)
        return free


def _layer(loss: Message, name: str, kind: str, bottoms: Sequence[str], **param: object) -> Message:
    fields = {"name": name, "type": kind, "bottom": list(bottoms), "top": [name], **param}
    return message_of(loss.type, fields, loss.span)
