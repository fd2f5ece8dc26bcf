"""``scale``, ``mean_file``, ``crop_size`` and ``mirror`` of V1 data layers to transform_param."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from netc.migrate.change import Change, Upgraded, each, put, submessage
from netc.schema.message import Message

_PARAM_OF: Mapping[str, str] = MappingProxyType(
    {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
)
_FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def move_data_transforms(net: Message) -> Upgraded:
    """Transformations given in the parameter of a V1 data layer move to its transform_param.

    They replace what transform_param itself says. V2 layers are left alone: Caffe ignores these
    fields there (upgrade_proto.cpp, UpgradeNetDataTransformation).
    """
    return each(net, "layers", _move)


def _move(layer: Message) -> Upgraded:
    param = _PARAM_OF.get(layer.get("type") or "")
    if param is None or not layer.has(param):
        return Upgraded(layer)
    old = submessage(layer, param)
    names = [name for name in _FIELDS if name in old.type.fields and old.has(name)]
    for name in names:
        layer = put(layer, ("transform_param", name), old.entries[name])
    if names:
        entry = layer.entries[param][-1]._replace(value=old.without(*names))
        layer = layer.with_entries(**{param: (entry,)})
    return Upgraded(layer, tuple(_change(old, param, name) for name in names))


def _change(old: Message, param: str, name: str) -> Change:
    text = f"`{name}` moved from `{param}` to `transform_param`"
    return Change("data-transform", text, old.name_span_of(name))
