"""Layer families (for colours) and short descriptions of layers, for drawings."""

from __future__ import annotations

from netc.analysis.profile import LayerProfile, NetProfile
from netc.ir.types import show
from netc.ops.catalog import CATALOG, LAYERS, has_role
from netc.ops.pooling import PoolingParams
from netc.ops.role import FAMILIES as FAMILIES_OF_OPS
from netc.ops.role import Role

FAMILIES: tuple[str, ...] = (*FAMILIES_OF_OPS, "unknown")


def family(layer: LayerProfile) -> str:
    """The family of a layer, one of ``FAMILIES``."""
    if not layer.known:
        return "unknown"
    op = LAYERS.get(layer.type)
    return op.family if op else "data"  # a fork's data layer, whose tops are inputs


def detail(profile: NetProfile, layer: LayerProfile) -> str:
    """A layer's main parameters: ``64, 3x3/2 p1`` is num_output, kernel/stride, pad; or empty."""
    if layer.node is None:
        return ""
    params = layer.node.params
    parts = [_outputs(params), _method(params), _window(profile, layer), _groups(params)]
    return ", ".join(part for part in parts if part)


def _outputs(params: object) -> str:
    return str(params.num_output) if hasattr(params, "num_output") else ""


def _method(params: object) -> str:
    """MAX or AVE, SUM or PROD, the ratio of a Dropout."""
    for name in ("method", "operation"):
        value = getattr(params, name, "")
        if isinstance(value, str) and value:
            whole = isinstance(params, PoolingParams) and params.window.whole
            return f"global {value}" if whole else value
    ratio = getattr(params, "ratio", None)
    return f"{ratio:g}" if isinstance(ratio, float) else ""


def _window(profile: NetProfile, layer: LayerProfile) -> str:
    node = layer.node
    shapes = [profile.shape(name) for name in (*layer.inputs, *layer.outputs)]
    if node is None or not layer.inputs or None in shapes:
        return ""
    known = [shape for shape in shapes if shape is not None]
    number = len(layer.inputs)
    window = CATALOG[node.op].window(node.params, known[:number], known[number:])
    if window.whole or not window.kernel or has_role(node.op, Role.CROP):
        return ""
    text = show(window.kernel)
    text += _unless(window.stride, 1, "/") + _unless(window.pad, 0, " p")
    return text + _unless(window.dilation, 1, " d")


def _unless(values: tuple[int, ...], usual: int, mark: str) -> str:
    """The values after a mark; nothing where all are as usual."""
    if set(values) <= {usual}:
        return ""
    return mark + (str(values[0]) if len(set(values)) == 1 else show(values))


def _groups(params: object) -> str:
    group = getattr(params, "group", 1)
    return f"{group} groups" if isinstance(group, int) and group > 1 else ""
