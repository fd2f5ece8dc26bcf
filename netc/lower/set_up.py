"""The layers of a net as Caffe holds them once they are set up, which is how it writes them.

BVLC/caffe src/caffe/net.cpp, Init and ToProto. netc's own graph comes from the text; this is for
files that Caffe's tools read.
"""

from __future__ import annotations

from netc.diagnostics import Collector
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.lower.splits import with_splits
from netc.ops.catalog import CATALOG, has_role
from netc.ops.role import Role
from netc.schema.message import Entry, Message

_STATISTICS = 3  # of BatchNorm: mean, variance, and what both are divided by


def set_up(net: Message, state: NetState) -> tuple[Message, ...]:
    """The layers of a net in a state, in order, with what setting them up adds.

    Split layers, the net's phase (net.cpp:73), the weight 1 of a loss layer's top
    (loss_layer.cpp:11) and a `param` of `lr_mult` 0 for each of BatchNorm's statistics
    (batch_norm_layer.cpp:39).

    Args:
        net: an upgraded NetParameter.
        state: phase, level and stages.
    """
    kept = filter_layers(net, merged_state(net, state), Collector())
    return tuple(_set_up(placed.layer, state.phase) for placed in with_splits(kept))


def _set_up(layer: Message, phase: str) -> Message:
    type, added = layer.get("type"), dict[str, tuple[Entry, ...]]()
    if not layer.has("phase"):
        added["phase"] = (Entry(phase),)
    if type in CATALOG and CATALOG[type].loss and not layer.get("loss_weight"):
        added["loss_weight"] = (Entry(1.0),)
    if has_role(type, Role.BATCH_NORM):
        added["param"] = _still(layer)
    return layer.with_entries(**added)


def _still(layer: Message) -> tuple[Entry, ...]:
    specs = layer.entries.get("param", ())
    spec = layer.type.fields["param"].message
    assert spec is not None
    more = range(_STATISTICS - len(specs))
    return (*specs, *(Entry(Message(spec, {"lr_mult": (Entry(0.0),)})) for _ in more))
