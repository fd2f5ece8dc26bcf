"""Rules of layers that PyTorch has no module for: detection, recurrence, statistics, reordering."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from netc.backends.reference import run_node
from netc.export.torch.expressions import function, number
from netc.export.torch.writer import TorchLayer
from netc.ir.types import count
from netc.ops.activation import ClipParams, ThresholdParams
from netc.ops.detection.detection_output import DetectionOutputParams
from netc.ops.detection.regions import ROIPoolingParams
from netc.ops.forks.activation import HardSigmoidParams, LogSoftmaxParams, SELUParams
from netc.ops.forks.permutation import ReorgParams
from netc.ops.forks.sequence import ReverseParams
from netc.ops.linear import EmbedParams
from netc.ops.normalization import MVNParams
from netc.ops.recurrent import RecurrentParams
from netc.ops.reduction import ArgMaxParams, ReductionParams
from netc.ops.reshaping import TileParams


def _constant(layer: TorchLayer) -> None:
    """What depends on shapes alone: a buffer with the numbers of these shapes."""
    node, graph = layer.node, layer.writer.graph
    given = [np.zeros(graph.shape(name), np.float32) for name in node.inputs]
    modules = [
        f"{layer.module(f'Constant({array.shape})', value=array)}()"
        for array in run_node(graph, node, given)
    ]
    layer.need("Constant")
    layer.give(*modules)


def _detections(layer: TorchLayer) -> None:
    params = layer.node.params_as(DetectionOutputParams)
    score = None if params.confidence is None else number(params.confidence)
    arguments = (
        f"{params.classes}, {params.share_location}, {params.background}, {params.code_type!r}, "
        f"{params.variance_in_target}, {params.keep}, {score}, {params.overlap!r}, "
        f"{params.eta!r}, {params.top}"
    )
    layer.need("DetectionOutput")
    layer.give(f"{layer.module(f'DetectionOutput({arguments})')}({', '.join(layer.inputs[:3])})")


def _roi_pooling(layer: TorchLayer) -> None:
    params = layer.node.params_as(ROIPoolingParams)
    x, regions = layer.inputs
    pad = f", {number(params.pad_ratio)}" if params.pad_ratio else ""
    sizes = f"{params.pooled_h}, {params.pooled_w}, {number(params.spatial_scale)}"
    layer.need("roi_pooling")
    layer.give(f"roi_pooling({x}, {regions}, {sizes}{pad})")


def _recurrent(layer: TorchLayer) -> None:
    """LSTM and RNN; a first state that is carried from call to call is not written."""
    params = layer.node.params_as(RecurrentParams)
    first, bias, *rest = layer.arrays
    static = rest.pop(0) if params.static else None
    arrays = {"input.weight": first, "input.bias": bias, "recurrent.weight": rest[0]}
    arguments = f"{first.shape[1]}, {params.num_output}, {params.gates}"
    x, cont, *more = layer.inputs
    given = [x, cont]
    if static is not None:
        arrays["static.weight"] = static
        arguments += f", {static.shape[1]}"
        given.append(more.pop(0))
    if params.gates == 1:
        arrays |= {"output.weight": rest[1], "output.bias": rest[2]}
    if more:
        given.append(f"states=({', '.join(more)},)")
    layer.need("Recurrent")
    call = f"{layer.module(f'Recurrent({arguments})', **arrays)}({', '.join(given)})"
    made = len(layer.node.outputs)
    layer.give_all(call if made == 3 else f"{call}[{'0' if made == 1 else f':{made}'}]")


def _embed(layer: TorchLayer) -> None:
    params = layer.node.params_as(EmbedParams)
    arrays = layer.arrays
    module = layer.module(
        f"nn.Embedding({params.input_dim}, {params.num_output})", weight=arrays[0]
    )
    text = f"{module}({layer.inputs[0]}.long())"
    if params.bias:
        layer.need("Factor")
        own = layer.module(f"Factor({arrays[1].shape}, weight=False)", bias=arrays[1])
        text = f"{own}({text})"
    layer.give(text)


def _mvn(layer: TorchLayer) -> None:
    params = layer.node.params_as(MVNParams)
    x = layer.inputs[0]
    if len(layer.shape()) != 4:
        x = f"{x}.reshape({x}.shape + (1,) * {4 - len(layer.shape())})"
    axes = (1, 2, 3) if params.across_channels else (2, 3)
    centred = f"{x} - {x}.mean({axes}, keepdim=True)"
    if not params.normalize_variance:
        layer.give(centred)
        return
    made = layer.writer.value(layer.node.outputs[0])
    variance, eps = f"{made}.square().mean({axes}, keepdim=True)", number(params.eps)
    inside = f"({variance} + {eps}).sqrt()"
    deviation = inside if params.eps_inside else f"({variance}.sqrt() + {eps})"
    layer.give(centred)
    layer.writer.lines.append(f"{made} = {made} / {deviation}")


def _argmax(layer: TorchLayer) -> None:
    params = layer.node.params_as(ArgMaxParams)
    x, axis = layer.inputs[0], params.axis
    layer.need("greatest")
    if axis is not None:
        axis %= len(layer.shape())
        found = f"greatest({x}, {params.top_k}, {axis})"
        values = f"{x}.gather({axis}, {found})"
        layer.give(values if params.out_max_val else f"{found}.to({x}.dtype)")
        return
    items = f"{x}.flatten(1)"
    found = f"greatest({items}, {params.top_k}, 1)"
    rows = [f"{found}.to({x}.dtype)"]
    if params.out_max_val:
        rows.append(f"{items}.gather(1, {found})")
    shape = ", ".join(map(str, layer.made()[1:]))
    layer.give(f"torch.stack([{', '.join(rows)}], 1).reshape(-1, {shape})")


def _reduction(layer: TorchLayer) -> None:
    params = layer.node.params_as(ReductionParams)
    x, shape = layer.inputs[0], layer.shape()
    axis = params.axis % len(shape)
    terms = {"ASUM": f"{x}.abs()", "SUMSQ": f"{x}.square()"}.get(params.operation, x)
    factor = np.float32(params.coeff)
    if params.operation == "MEAN":
        factor = factor / np.float32(count(shape[axis:]))
    layer.give(f"{terms}.flatten({axis}).sum({axis}) * {number(float(factor))}")


def _tile(layer: TorchLayer) -> None:
    params = layer.node.params_as(TileParams)
    axes = len(layer.shape())
    times = ["1"] * axes
    times[params.axis % axes] = str(params.tiles)
    layer.give(f"{layer.inputs[0]}.repeat({', '.join(times)})")


def _reorg(layer: TorchLayer) -> None:
    """darknet's order, see netc.ops.forks.permutation."""
    params = layer.node.params_as(ReorgParams)
    x, s = layer.inputs[0], params.stride
    _, channels, height, width = layer.shape()
    share = channels // s**2
    if params.reverse:
        blocks = f"{x}.reshape(-1, {s}, {s}, {share}, {height}, {width}).permute(0, 3, 4, 1, 5, 2)"
    else:
        whole = f"{x}.reshape(-1, {share}, {height}, {s}, {width}, {s})"
        blocks = f"{whole}.permute(0, 3, 5, 1, 2, 4)"
    sizes = ", ".join(map(str, layer.made()[1:]))
    layer.give(f"{blocks}.reshape(-1, {sizes})")


def _reverse(layer: TorchLayer) -> None:
    params = layer.node.params_as(ReverseParams)
    layer.give(f"{layer.inputs[0]}.flip({params.axes})")


def _clip(layer: TorchLayer) -> None:
    params = layer.node.params_as(ClipParams)
    bounds = f"{number(params.min)}, {number(params.max)}"
    layer.give(f"torch.clamp({layer.inputs[0]}, {bounds})")


def _threshold(layer: TorchLayer) -> None:
    params = layer.node.params_as(ThresholdParams)
    x = layer.inputs[0]
    layer.give(f"({x} > {number(params.threshold)}).to({x}.dtype)")


def _hard_sigmoid(layer: TorchLayer) -> None:
    params = layer.node.params_as(HardSigmoidParams)
    x = f"{layer.inputs[0]} * {number(params.alpha)} + {number(params.beta)}"
    layer.give(f"torch.clamp({x}, 0, 1)")


def _selu(layer: TorchLayer) -> None:
    params = layer.node.params_as(SELUParams)
    x, scale = layer.inputs[0], number(params.scale)
    layer.give(f"{scale} * F.elu({x}, {number(params.alpha)})")


def _log_softmax(layer: TorchLayer) -> None:
    params = layer.node.params_as(LogSoftmaxParams)
    layer.give(f"F.log_softmax({layer.inputs[0]}, dim={params.axis})")


_PLAIN: Mapping[str, str] = {
    "Atan": "torch.atan({})",
    "Ceil": "torch.ceil({})",
    "Cos": "torch.cos({})",
    "Floor": "torch.floor({})",
    "HardSwish": "F.hardswish({})",
    "HardTanH": "F.hardtanh({})",
    "Mish": "F.mish({})",
    "Sin": "torch.sin({})",
    "Softplus": "F.softplus({})",
    "Softsign": "F.softsign({})",
}

MORE_RULES: Mapping[str, Callable[[TorchLayer], None]] = {
    **{op: function(text) for op, text in _PLAIN.items()},
    "ArgMax": _argmax,
    "Clip": _clip,
    "ContinuationIndicator": _constant,
    "DetectionOutput": _detections,
    "Embed": _embed,
    "HardSigmoid": _hard_sigmoid,
    "LSTM": _recurrent,
    "LogSoftmax": _log_softmax,
    "MVN": _mvn,
    "Parameter": _constant,
    "PriorBox": _constant,
    "PriorBoxClustered": _constant,
    "RNN": _recurrent,
    "ROIPooling": _roi_pooling,
    "Reduction": _reduction,
    "Reorg": _reorg,
    "Reverse": _reverse,
    "SELU": _selu,
    "SeLU": _selu,
    "SeLu": _selu,
    "Threshold": _threshold,
    "Tile": _tile,
}
