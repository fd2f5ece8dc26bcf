"""Derives a deploy net from a training net: Input layers for data, predictions for losses.

Before::

    data, label = Data(); c = Convolution(data); loss = SoftmaxWithLoss(c, label)

After::

    data = Input(); c = Convolution(data); prob = Softmax(c)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from netc.diagnostics import Collector, Diagnostic, NetcError, did_you_mean, first_of
from netc.frontend import Built, build
from netc.ir.types import Shape
from netc.lower.before import layers_before
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.migrate.change import Change
from netc.ops.catalog import LAYERS
from netc.schema.message import Message
from netc.surgery.blobs import learned_blobs, unread_blobs
from netc.surgery.build import with_layers, with_texts
from netc.surgery.clean import without_training
from netc.surgery.heads import PASSES_REGIONS, class_of, role
from netc.surgery.predictions import predictions
from netc.surgery.sources import Sources, with_inputs
from netc.weights.model import Weights

_STEP = "deploy"


class Deployed(NamedTuple):
    """A net for inference.

    Attributes:
        message: the net, in the current format.
        changes: what was done to the training net, in order.
        built: its graph, with shapes.
        diagnostics: warnings and notes besides those of ``built``.
    """

    message: Message
    changes: tuple[Change, ...]
    built: Built
    diagnostics: tuple[Diagnostic, ...] = ()


def deploy(
    net: Message,
    *,
    state: NetState | None = None,
    inputs: Mapping[str, Shape] | None = None,
    until: Sequence[str] = (),
    batch: int = 1,
    weights: Weights | None = None,
) -> Deployed:
    """Derive the net for inference from a training net.

    Args:
        net: a NetParameter in the current format.
        state: the NetState, which selects the layers; by default TEST, with the stage "deploy" if
            the text has rules for it.
        inputs: input blob -> shape, where the text gives none, or in place of the text's.
        until: the output blobs; by default the losses' predictions and blobs that no layer reads.
        batch: the batch size of the inputs that replace data layers.
        weights: trained arrays, from which an image's channels follow where the text has none.

    Raises:
        NetcError: nothing-to-deploy, unknown-output, unknown-input-shape, and whatever is wrong
            with the net that is left.
    """
    shapes, changes = dict(inputs or {}), list[Change]()
    layers = _with_losses(net, _layers(net, state, changes))
    kept = with_layers(net, layers).without("state", "debug_info")
    kept = with_layers(kept, _regions_passed(kept.get("layer"), changes))
    headed, wanted = _headed(kept, tuple(until), changes)
    part = layers_before(headed, wanted)
    reported = {change.span for change in changes}
    changes += (change for change in _dropped(kept, part) if change.span not in reported)
    cleaned = with_layers(part, map(without_training, part.get("layer")))
    return _with_sources(net, cleaned, Sources(shapes, batch, weights), changes)


def _layers(net: Message, state: NetState | None, changes: list[Change]) -> tuple[Message, ...]:
    """The layers of the state, without their rules.

    Raises:
        NetcError: include-and-exclude.
    """
    if state is None:
        state = NetState("TEST", 0, ("deploy",) if _speaks_of_deploy(net) else ())
    if "deploy" in state.stages:
        changes.append(Change(_STEP, "the layers of stage `deploy` are taken, as the text has it"))
    found = Collector()
    layers = filter_layers(net, merged_state(net, state), found)
    found.check()
    layers = _with_region_samplers(net, layers)
    return tuple(layer.without("include", "exclude", "phase") for layer in layers)


def _with_region_samplers(net: Message, layers: tuple[Message, ...]) -> tuple[Message, ...]:
    """The layers, and at their places those of training that sample regions which no other makes.

    cascade-rcnn has them in the phase TRAIN alone, and another text for the phase TEST.
    """
    made = {top for layer in layers for top in layer.get("top")}
    lacking = {blob for layer in layers for blob in layer.get("bottom")} - made
    kept = {layer.get("name") for layer in layers}
    return tuple(
        layer
        for layer in net.get("layer")
        if layer in layers
        or (
            class_of(layer) in PASSES_REGIONS
            and layer.get("name") not in kept
            and lacking.intersection(layer.get("top")[:1])
        )
    )


def _with_losses(net: Message, layers: tuple[Message, ...]) -> tuple[Message, ...]:
    """The layers, and those of training's losses that read them where they have none."""
    if any(role(layer) == "loss" for layer in layers):
        return layers
    tops = {top for layer in layers for top in layer.get("top")}
    own = filter_layers(net, merged_state(net, NetState("TRAIN")), Collector())
    losses = (x for x in own if role(x) == "loss" and tops.intersection(x.get("bottom")))
    return (*layers, *losses)


def _speaks_of_deploy(net: Message) -> bool:
    rules = (r for x in net.get("layer") for f in ("include", "exclude") for r in x.get(f))
    return any("deploy" in r.get(f) for r in rules for f in ("stage", "not_stage"))


def _regions_passed(layers: Sequence[Message], changes: list[Change]) -> Iterator[Message]:
    """Layers that sample regions for training left out: what reads them reads the regions."""
    renamed: dict[str, str] = {}
    gone: set[str] = set()
    for layer in layers:
        kind = class_of(layer)
        if kind in PASSES_REGIONS and layer.get("bottom") and layer.get("top"):
            old, new = layer.get("top")[0], layer.get("bottom")[0]
            renamed[old] = new
            gone.update(layer.get("top")[1:])
            text = f"`{layer.get('name')}` ({kind}) went; what read `{old}` reads `{new}`"
            changes.append(Change(_STEP, text, layer.span))
            continue
        if layer.get("bottom") and gone.issuperset(layer.get("bottom")):
            gone.update(layer.get("top"))  # targets of several levels, joined
            continue
        layer = _without_targets(layer, gone)
        if renamed.keys() & set(layer.get("bottom")):
            bottoms = [renamed.get(blob, blob) for blob in layer.get("bottom")]
            layer = with_texts(layer, "bottom", bottoms)
        yield layer


def _without_targets(layer: Message, gone: set[str]) -> Message:
    """A layer without its last bottoms that are gone, where it need not have them.

    Cascade R-CNN's layers take targets beside the regions in training, and regions in inference.
    """
    op, bottoms = LAYERS.get(layer.get("type")), layer.get("bottom")
    left = len(bottoms)
    while left and bottoms[left - 1] in gone:
        left -= 1
    if op is None or role(layer) != "layer" or left == len(bottoms) or left < op.arity.bottoms[0]:
        return layer
    shorter = with_texts(layer, "bottom", bottoms[:left])
    if op.arity.same:
        gone.update(layer.get("top")[left:])
        shorter = with_texts(shorter, "top", layer.get("top")[:left])
    return shorter


def _headed(
    net: Message, until: tuple[str, ...], changes: list[Change]
) -> tuple[Message, tuple[str, ...]]:
    """The net with predictions for its losses, and the blobs that are given back.

    Raises:
        NetcError: nothing-to-deploy, unknown-output.
    """
    layers = net.get("layer")
    body = list(_without_losses(layers))
    if until:
        _check_known(until, body)
        return with_layers(net, body), until
    learned = learned_blobs(body)
    made, given = predictions(layers, learned, changes)
    headed = [*body, *made]
    wanted = dict.fromkeys((*given, *unread_blobs(layers, headed, learned, given)))
    if not wanted:
        message = "no layer is left but those of data, losses and scores"
        raise NetcError(Diagnostic("nothing-to-deploy", message, net.span))
    return with_layers(net, headed), tuple(wanted)


def _without_losses(layers: Sequence[Message]) -> Iterator[Message]:
    """The layers but losses, scores, and what reads blobs that these alone make.

    R-FCN adds the losses of each region up, and chooses regions by the sum.
    """
    gone: set[str] = set()
    for layer in layers:
        if role(layer) in ("layer", "source") and not gone.intersection(layer.get("bottom")):
            gone.difference_update(layer.get("top"))
            yield layer
        else:
            gone.update(set(layer.get("top")) - set(layer.get("bottom")))


def _check_known(until: Sequence[str], layers: Sequence[Message]) -> None:
    tops = [top for layer in layers for top in layer.get("top")]
    for name in until:
        if name not in tops:
            message = f"the net has no blob `{name}` once its losses and scores are gone"
            raise NetcError(Diagnostic("unknown-output", message, help=did_you_mean(name, tops)))


def _dropped(before: Message, after: Message) -> Iterator[Change]:
    """What went, one entry for each role."""
    left = {layer.get("name") for layer in after.get("layer")}
    words = {"loss": "a loss", "score": "a score", "sink": "a sink"}
    for layer in before.get("layer"):
        if layer.get("name") in left or role(layer) == "source":
            continue
        what = words.get(role(layer), "nothing that is given back depends on it")
        text = f"layer `{layer.get('name')}` ({layer.get('type')}) went: {what}"
        yield Change(_STEP, text, layer.span)


def _with_sources(net: Message, body: Message, sources: Sources, changes: list[Change]) -> Deployed:
    """The net with inputs in the place of data layers; the text's own batch where it must be.

    Raises:
        NetcError: unknown-input-shape, or what the net has errors of.
    """
    made = with_inputs(net, body, sources)
    built = build(made.message, inputs=made.shapes)
    if _errors(built):
        own = with_inputs(net, body, sources._replace(batch=None))
        other = build(own.message, inputs=own.shapes)
        if not _errors(other):
            text = f"the batch stays {own.batch}: the net cannot have {sources.batch}"
            changes = [*changes, *own.changes, Change(_STEP, text)]
            return Deployed(own.message, tuple(changes), other, own.diagnostics)
        raise NetcError(first_of(_errors(built)))
    return Deployed(made.message, (*changes, *made.changes), built, made.diagnostics)


def _errors(built: Built) -> list[Diagnostic]:
    return [d for d in built.diagnostics if d.severity == "error"]
