"""Which layers of a text read data from outside, and what they tell of their tops' shapes."""

from __future__ import annotations

from collections.abc import Sequence

from netc.ops.catalog import LAYERS
from netc.ops.define import ErasedOp, LayerContext
from netc.ops.forks.inputs import PYTHON_INPUT, unlisted_data_layer
from netc.ops.python import PYTHON, is_implemented
from netc.ops.source_layer import PartialShape, SourceParams
from netc.schema.message import Message


def source_op(layer: Message) -> ErasedOp | None:
    """The op of a layer that reads data from outside, None for every other."""
    op = LAYERS.get(layer.get("type"))
    if op is None:
        return unlisted_data_layer(layer)
    if op.name == PYTHON.name and not layer.get("bottom"):
        param = layer.get("python_param")
        return None if is_implemented(param.get("module"), param.get("layer")) else PYTHON_INPUT
    return op if op.source else None


def source_params(layer: Message, phase: str = "TEST") -> SourceParams | None:
    """The parameters of a layer that reads data from outside, None for every other.

    Raises:
        NetcError: a field of the layer is wrong.
    """
    op = source_op(layer)
    if op is None:
        return None
    context = LayerContext(phase, len(layer.get("bottom")), len(layer.get("top")))
    params = op.params(layer, context)
    return params if isinstance(params, SourceParams) else None


def told_shapes(layer: Message, params: SourceParams) -> Sequence[PartialShape | None]:
    """The tops' shapes as far as the text tells them."""
    known = params.completed(params.shapes, partly=True)
    return [*known, *(None,) * (len(layer.get("top")) - len(known))]
