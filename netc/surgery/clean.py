"""Removes the fields of a layer that only training uses."""

from __future__ import annotations

from netc.schema.message import Entry, Message
from netc.surgery.build import map_params

_FILLERS = ("weight_filler", "bias_filler", "filler", "slope_filler", "scale_filler")
_RATES = ("lr_mult", "decay_mult")


def without_training(layer: Message) -> Message:
    """The layer without lr_mult and decay_mult, fillers, loss_weight and propagate_down.

    Fillers stay where nothing is learned (``lr_mult: 0``), since the filler may be the only source
    of such a layer's numbers.
    """
    fixed = bool(layer.get("param")) and all(p.get("lr_mult") == 0 for p in layer.get("param"))
    params = tuple(_shared_only(entry) for entry in layer.entries.get("param", ()))
    while params and not params[-1].value.entries:
        params = params[:-1]
    layer = layer.with_entries(param=params).without("loss_weight", "propagate_down")
    return layer if fixed else map_params(layer, _without_fillers)


def _shared_only(entry: Entry) -> Entry:
    return entry._replace(value=entry.value.without(*_RATES))


def _without_fillers(param: Message) -> Message:
    return param.without(*(name for name in _FILLERS if name in param.type.fields))
