"""``caffe.draw``: a NetParameter as a picture, by Graphviz's ``dot`` (pycaffe's draw.py)."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import netc.compat.pycaffe.proto.caffe_pb2 as caffe_pb2
from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.report.graphviz import drawn, program
from netc.schema.protobuf import ProtobufMessage

_COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_OTHER, _BLOB = "#6495ED", "#E0E0E0"
_UPRIGHT = ("TB", "BT")


def get_pooling_types_dict() -> dict[int, str]:
    """Number -> name of the methods of pooling."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: ProtobufMessage) -> str:
    """What stands at the arrow out of a layer: how many maps it makes, or the batch."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: ProtobufMessage) -> list[float]:
    """The rates of a layer's weights and bias.

    Raises:
        NetcError: value-count (ValueError), for more than two.
    """
    if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        return []
    rates = [float(spec.lr_mult) for spec in layer.param]
    if len(rates) > 2:
        message = f"layer `{layer.name}` has {len(rates)} rates, and weights and bias are two"
        raise also(NetcError(Diagnostic("value-count", message)), ValueError)
    return rates + [1.0] * (2 - len(rates))


def get_layer_label(layer: ProtobufMessage, rankdir: str, display_lrm: bool = False) -> str:
    """What stands in a layer's box, in quotes.

    Args:
        layer: a LayerParameter.
        rankdir: LR or RL for a line each, TB or BT for one line.
        display_lrm: whether rates are told.

    Raises:
        NetcError: as :func:`get_layer_lr_mult`.
    """
    parts = list(_label_lines(layer))
    rates = get_layer_lr_mult(layer) if display_lrm else []
    if rates:
        parts.append("lr mult: " + ", ".join(map(str, rates)))
    return '"' + (" " if rankdir in _UPRIGHT else r"\n").join(parts) + '"'


def _label_lines(layer: ProtobufMessage) -> Iterator[str]:
    yield layer.name
    if layer.type in ("Convolution", "Deconvolution"):
        param = layer.convolution_param
        yield f"({layer.type})"
        yield f"kernel size: {param.kernel_size[0] if len(param.kernel_size) else 1}"
        yield f"stride: {param.stride[0] if len(param.stride) else 1}"
        yield f"pad: {param.pad[0] if len(param.pad) else 0}"
    elif layer.type == "Pooling":
        param = layer.pooling_param
        yield f"(Pooling {get_pooling_types_dict()[param.pool]})"
        yield f"kernel size: {param.kernel_size}"
        yield f"stride: {param.stride}"
        yield f"pad: {param.pad}"
    else:
        yield f"({layer.type})"


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a type's boxes."""
    return _COLOURS.get(layertype, _OTHER)


def dot_text(
    caffe_net: ProtobufMessage,
    rankdir: str,
    phase: int | None = None,
    rates: bool = False,
    edges: bool = True,
) -> str:
    """The picture as Graphviz reads it: layers as boxes, blobs as octagons."""
    lines = ["digraph net {", f"rankdir={rankdir};", "node [style=filled];"]
    blobs: set[str] = set()
    for layer in caffe_net.layer:
        if phase is not None and not _is_in(layer, phase):
            continue
        box = f"{layer.name}_{layer.type}"
        label = get_layer_label(layer, rankdir, rates)[1:-1].replace('"', r"\"")
        colour = choose_color_by_layertype(layer.type)
        lines.append(f'{_quoted(box)} [shape=box, label="{label}", fillcolor="{colour}"];')
        lines += [f"{_quoted('blob ' + name)} -> {_quoted(box)};" for name in layer.bottom]
        edge = get_edge_label(layer).strip('"') if edges else ""
        lines += [
            f"{_quoted(box)} -> {_quoted('blob ' + name)} [label={_quoted(edge)}];"
            for name in layer.top
        ]
        blobs.update((*layer.bottom, *layer.top))
    lines += [
        f'{_quoted("blob " + name)} [shape=octagon, label={_quoted(name)}, fillcolor="{_BLOB}"];'
        for name in sorted(blobs)
    ]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', r"\"") + '"'


def _is_in(layer: ProtobufMessage, phase: int) -> bool:
    """Whether a layer's include and exclude rules keep it in a phase."""
    if len(layer.include):
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def get_pydot_graph(
    caffe_net: ProtobufMessage,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> object:
    """The picture as an object of the package pydot, for scripts that change it or write it.

    Args:
        caffe_net, rankdir, phase, display_lrm: as :func:`draw_net`.
        label_edges: whether how many maps a layer makes stands at its arrows.

    Raises:
        NetcError: missing-package, without pydot.
    """
    try:
        import pydot
    except ImportError:
        help = "pip install pydot, or call draw_net or draw_net_to_file, which do without it"
        error = Diagnostic("missing-package", "get_pydot_graph needs pydot", help=(help,))
        raise NetcError(error) from None
    text = dot_text(caffe_net, rankdir, phase, display_lrm, label_edges)
    return pydot.graph_from_dot_data(text)[0]


def draw_net(
    caffe_net: ProtobufMessage,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """A net's picture.

    Args:
        caffe_net: a NetParameter.
        rankdir: LR, RL, TB or BT.
        ext: the format: png, svg, pdf ...
        phase: of the layers drawn; None for all.
        display_lrm: whether rates are told.

    Raises:
        NetcError: missing-program, where Graphviz is not installed; failed-program.
    """
    return drawn(program(), ext, dot_text(caffe_net, rankdir, phase, display_lrm))


def draw_net_to_file(
    caffe_net: ProtobufMessage,
    filename: str | PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write a net's picture, in the format of the file's suffix.

    Raises:
        NetcError: cannot-write, and as :func:`draw_net`.
    """
    path = Path(filename)
    picture = draw_net(caffe_net, rankdir, path.suffix[1:] or "png", phase, display_lrm)
    with replacing(path) as temporary:
        temporary.write_bytes(picture)
