"""BatchNorm layers with three ``param``: their rates become 0; those of NVIDIA's first releases:
their ``param`` come in the order of its later ones.
"""

from __future__ import annotations

from netc.migrate.change import Change, Upgraded, each
from netc.schema.message import Entry, Message

_STATISTICS = 3
_OWN = 2  # NVIDIA's scale and bias
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


def statistics_first(net: Message) -> Upgraded:
    """NVIDIA's first releases have scale, bias, mean, variance; its later ones statistics first.

    A layer with its ``scale_filler`` whose first ``param`` has a rate is of the former: a statistic
    has none. The third to fifth may have none either then, else the layer stays as it is.
    """
    return each(net, "layer", _statistics_first)


def _statistics_first(layer: Message) -> Upgraded:
    params = layer.entries.get("param", ())
    if layer.get("type") != "BatchNorm" or not params or not _scales(layer):
        return Upgraded(layer)
    own, statistics = params[:_OWN], params[_OWN : _OWN + _STATISTICS]
    if own[0].value.get("lr_mult") == 0 or len(params) > _OWN + _STATISTICS:
        return Upgraded(layer)
    if any(param.value.get("lr_mult") != 0 for param in statistics):
        return Upgraded(layer)
    missing = _STATISTICS - len(statistics)
    zeros = tuple(own[0]._replace(value=_unnamed(own[0])) for _ in range(missing))
    text = (
        f"the `param` of BatchNorm `{layer.get('name')}` are in the order of NVIDIA's first "
        "releases, scale and bias before the statistics; they came behind these"
    )
    change = Change("statistics", text, layer.name_span_of("param", 0))
    return Upgraded(layer.with_entries(param=(*statistics, *zeros, *own)), (change,))


def _scales(layer: Message) -> bool:
    message = layer.get("batch_norm_param")
    return "scale_filler" in message.type.fields and message.has("scale_filler")


def _unnamed(param: Entry) -> Message:
    return _frozen(param).without("name")


def _is_frozen(spec: Message) -> bool:
    return all(spec.has(name) and spec.get(name) == 0 for name in _RATES)


def _frozen(param: Entry) -> Message:
    spec: Message = param.value
    zeros = {name: (_zero(spec, name, param),) for name in _RATES}
    return spec.with_entries(**zeros)


def _zero(spec: Message, name: str, param: Entry) -> Entry:
    old = spec.entries.get(name)
    return old[-1]._replace(value=0.0) if old else Entry(0.0, param.span, param.name_span)
