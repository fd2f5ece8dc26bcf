"""All upgrades of a net, in Caffe's order (upgrade_proto.cpp, UpgradeNetAsNeeded)."""

from __future__ import annotations

from netc.migrate.axes import rename_axes
from netc.migrate.batch_norm import freeze_statistics, statistics_first
from netc.migrate.bottoms import name_cropped_sizes, share_parameters
from netc.migrate.change import Change, Step
from netc.migrate.data_transform import move_data_transforms
from netc.migrate.dilation import rename_holes
from netc.migrate.fused_layers import split_fused
from netc.migrate.inputs import inputs_to_layers
from netc.migrate.priors import write_priors
from netc.migrate.v0 import upgrade_v0
from netc.migrate.v1 import check_not_mixed, upgrade_v1
from netc.schema.message import Message

__all__ = ["STEPS", "Change", "upgrade_net"]

STEPS: tuple[Step, ...] = (
    upgrade_v0,
    move_data_transforms,
    upgrade_v1,
    inputs_to_layers,
    statistics_first,
    freeze_statistics,
    rename_axes,
    rename_holes,
    write_priors,
    name_cropped_sizes,
    share_parameters,
    split_fused,
)


def upgrade_net(net: Message) -> tuple[Message, tuple[Change, ...]]:
    """A NetParameter in the current format, and what was changed, in order.

    Each step is idempotent and returns its argument when there is nothing to do; what moves keeps
    its spans.

    Raises:
        NetcError: for what Caffe drops or stops at; each step's docstring names the codes.
    """
    check_not_mixed(net)
    changes: list[Change] = []
    for step in STEPS:
        net, found = step(net)
        changes += found
    return net, tuple(changes)
