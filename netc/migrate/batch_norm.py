"""BatchNorm layers with three ``param``: their rates become 0."""

from __future__ import annotations

from netc.migrate.change import Change, Upgraded, each
from netc.schema.message import Entry, Message

_STATISTICS = 3
_RATES = ("lr_mult", "decay_mult")


def freeze_statistics(net: Message) -> Upgraded:
    """The mean, variance and scale factor of BatchNorm are not learned.

    As Caffe's UpgradeNetBatchNorm: where a layer of type BatchNorm has exactly three ``param``
    their ``lr_mult`` and ``decay_mult`` become 0, and all else in them stays.
    """
    return each(net, "layer", _freeze)


def _freeze(layer: Message) -> Upgraded:
    params = layer.entries.get("param", ())
    if len(params) != _STATISTICS or layer.get("type") != "BatchNorm":
        return Upgraded(layer)
    if all(_is_frozen(param.value) for param in params):
        return Upgraded(layer)
    frozen = tuple(param._replace(value=_frozen(param)) for param in params)
    text = f"the rates of the 3 `param` of BatchNorm `{layer.get('name')}` became 0"
    change = Change("batch-norm", text, layer.name_span_of("param", 0))
    return Upgraded(layer.with_entries(param=frozen), (change,))


def _is_frozen(spec: Message) -> bool:
    return all(spec.has(name) and spec.get(name) == 0 for name in _RATES)


def _frozen(param: Entry) -> Message:
    spec: Message = param.value
    zeros = {name: (_zero(spec, name, param),) for name in _RATES}
    return spec.with_entries(**zeros)


def _zero(spec: Message, name: str, param: Entry) -> Entry:
    old = spec.entries.get(name)
    return old[-1]._replace(value=0.0) if old else Entry(0.0, param.span, param.name_span)
