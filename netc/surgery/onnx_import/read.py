"""From a model's file to a net: shapes inferred, constants folded, each node by its rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.boundary import reason, strangers_bytes
from netc.diagnostics import Collector, Diagnostic, NetcError
from netc.ir.graph import Array
from netc.ir.types import Shape
from netc.memory import check_memory
from netc.ops.array import AnyArray
from netc.schema.convert import to_protobuf
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.surgery.build import message_of, with_layers
from netc.surgery.onnx_import.model import Building, OnnxNode
from netc.surgery.onnx_import.rules import RULES

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        GraphProto,
        ModelProto,
        NodeProto,
        TensorProto,
        TensorShapeProto,
        ValueInfoProto,
    )

_PLAIN = ("", "ai.onnx")
_SIZES = 1 << 14  # elements of a list of sizes, such as a Reshape reads
_FOLDED = 1 << 24  # elements of a constant that is worked out of others


class Imported(NamedTuple):
    """A net made from an ONNX model.

    Attributes:
        message: the net, with an Input layer.
        weights: layer -> float32 arrays.
        renamed: output of the model -> its blob, where the names differ.
    """

    message: Message
    weights: dict[str, list[Array]]
    renamed: Mapping[str, str]


def import_onnx(path: Path, inputs: Mapping[str, Shape] | None = None) -> Imported:
    """Convert an ONNX model to a net and weights.

    Args:
        path: the model; external data must be in the same folder.
        inputs: input -> shape, where the model leaves more sizes open than the batch.

    Raises:
        NetcError: missing-package, without onnx; not-onnx; unknown-input-shape; not-caffe, for
            each node that Caffe's layers cannot express.
    """
    onnx = _onnx()
    model = _loaded(onnx, path)
    try:
        return _imported(onnx, model, dict(inputs or {}))
    except NetcError:
        raise
    except Exception:
        _check_well_formed(onnx, model, path)
        raise


def _check_well_formed(onnx: ModuleType, model: ModelProto, path: Path) -> None:
    """Tell of a model that no rule could be right about: attributes of the wrong type, none ...

    Raises:
        NetcError: not-onnx.
    """
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        message = f"`{path}` is no well-formed ONNX model: {reason(error)}"
        raise NetcError(Diagnostic("not-onnx", message)) from None


def _imported(onnx: ModuleType, model: ModelProto, inputs: dict[str, Shape]) -> Imported:
    _check_domains(model)
    if not model.graph.node:
        raise NetcError(Diagnostic("not-onnx", "the model has no nodes"))
    model = _inferred(onnx, model, inputs)
    building, opset = _start(onnx, model)
    found = Collector()
    for proto in model.graph.node:
        with found.catching():
            _node(onnx, building, proto, opset)
    found.check()
    return _finished(model, building)


def _onnx() -> ModuleType:
    try:
        import onnx
        import onnx.checker
        import onnx.reference
        import onnx.shape_inference
    except ImportError:
        message = "ONNX models are read by the package `onnx`, which is not installed"
        help = ("pip install 'netc[onnx]'",)
        raise NetcError(Diagnostic("missing-package", message, help=help)) from None
    found: ModuleType = onnx
    return found


def _loaded(onnx: ModuleType, path: Path) -> ModelProto:
    try:
        size = path.stat().st_size
        check_memory(3 * size, f"the model `{path}`")
        model: ModelProto = onnx.load(str(path), load_external_data=False)
        outside = sum(_bytes_outside(tensor, path.parent) for tensor in _tensors(model.graph))
        check_memory(3 * (size + outside), f"the model `{path}` with its external data")
        onnx.load_external_data_for_model(model, str(path.parent))
        return model
    except NetcError:
        raise
    except Exception as error:
        message = f"`{path}` cannot be read as an ONNX model: {reason(error)}"
        raise NetcError(Diagnostic("not-onnx", message)) from None


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """The constants of a graph and of those within its nodes."""
    yield from graph.initializer
    for attribute in (a for node in graph.node for a in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _bytes_outside(tensor: TensorProto, folder: Path) -> int:
    """Bytes of a tensor that are read from a file beside the model."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    if "length" in said:
        return int(said["length"])
    return (folder / said["location"]).stat().st_size if "location" in said else 0


def _check_domains(model: ModelProto) -> None:
    """Refuse nodes of others' sets of operators, which no inference of shapes knows.

    Raises:
        NetcError: not-caffe.
    """
    foreign = [
        Diagnostic(
            "not-caffe",
            f"node `{node.name or node.output[0]}` ({node.op_type}) cannot be said in Caffe: there "
            f"is no layer of its kind in the set `{node.domain}`",
        )
        for node in model.graph.node
        if node.domain not in _PLAIN
    ]
    if foreign:
        raise NetcError(foreign)


def _inferred(onnx: ModuleType, model: ModelProto, given: dict[str, Shape]) -> ModelProto:
    """The model with all shapes; an open first size is 1.

    Raises:
        NetcError: unknown-input-shape, not-onnx.
    """
    constants = {entry.name for entry in model.graph.initializer}
    for entry in model.graph.input:
        if entry.name not in constants:
            dims = entry.type.tensor_type.shape.dim
            shape = given.get(entry.name) or _known_shape(entry.name, dims)
            del dims[:]
            for size in shape:
                dims.add().dim_value = size
    for entry in (*model.graph.output, *model.graph.value_info):
        entry.type.tensor_type.ClearField("shape")
    try:
        plain: ModelProto = onnx.shape_inference.infer_shapes(model)
        if any(map(_is_long_list, plain.graph.value_info)):  # it would be copied at each node
            return plain
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        message = f"the model's shapes cannot be inferred: {reason(error)}"
        raise NetcError(Diagnostic("not-onnx", message)) from None


def _is_long_list(value: ValueInfoProto) -> bool:
    """True of values of one axis that are no sizes of anything, but too long for that."""
    dims = value.type.tensor_type.shape.dim
    return len(dims) == 1 and dims[0].dim_value > _SIZES


def _known_shape(name: str, dims: Iterable[TensorShapeProto.Dimension]) -> Shape:
    sizes = [dim.dim_value or None for dim in dims]
    if sizes and sizes[0] is None:
        sizes[0] = 1
    known = tuple(size for size in sizes if size)
    if len(known) < len(sizes) or not sizes:
        complaint = ",".join(str(size or "?") for size in sizes)
        message = (
            f"the model does not tell all of the shape of input `{name}`: {complaint or 'nothing'}"
        )
        help = (f"give it with --input-shape {name}=1,CHANNELS,HEIGHT,WIDTH",)
        raise NetcError(Diagnostic("unknown-input-shape", message, help=help))
    return known


def _start(onnx: ModuleType, model: ModelProto) -> tuple[Building, int]:
    graph = model.graph
    layer = load_schema().message("NetParameter").fields["layer"].message
    assert layer is not None
    shapes = {}
    for entry in (*graph.input, *graph.value_info, *graph.output):
        tensor = entry.type.tensor_type
        sizes = [dim.dim_value for dim in tensor.shape.dim]
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            shapes[entry.name] = tuple(sizes)
    constants = {tensor.name: _array(onnx, tensor) for tensor in graph.initializer}
    readers = Counter(str(name) for node in graph.node for name in node.input)
    building = Building(layer, shapes, constants, readers)
    for name, array in constants.items():
        shapes[name] = tuple(array.shape)
    for entry in graph.input:
        if entry.name not in constants:
            _input(building, entry.name)
    versions = [entry.version for entry in model.opset_import if entry.domain in _PLAIN]
    return building, max(versions, default=13)


def _array(onnx: ModuleType, tensor: TensorProto) -> AnyArray:
    def complaint(error: Exception) -> NetcError:
        message = f"the array `{tensor.name}` is damaged: {reason(error)}"
        return NetcError(Diagnostic("not-onnx", message))

    with strangers_bytes(complaint):
        array: AnyArray = onnx.numpy_helper.to_array(tensor)
    return array


def _input(building: Building, name: str) -> None:
    shape = {"shape": [{"dim": list(building.shapes[name])}]}
    fields = {"name": building.name(name), "type": "Input", "top": [name], "input_param": shape}
    building.layers.append(message_of(building.type, fields))
    building.blobs[name] = name


def _node(onnx: ModuleType, building: Building, proto: NodeProto, opset: int) -> None:
    """One node: worked out where it is constant, else by its rule.

    Raises:
        NetcError: not-caffe.
    """
    attributes = {a.name: _attribute(onnx, a) for a in proto.attribute}
    node = OnnxNode(building, proto, attributes, opset)
    try:
        if _folded(onnx, node):
            return
        rule = RULES.get(proto.op_type) if proto.domain in _PLAIN else None
        if rule is None:
            node.refuse("there is no layer of its kind")
        rule(node)
    except NetcError:
        for output in proto.output:  # so that what follows is not told of as well
            building.blobs.setdefault(str(output), str(output))
        raise


def _attribute(onnx: ModuleType, attribute: AttributeProto) -> object:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _folded(onnx: ModuleType, node: OnnxNode) -> bool:
    """Work a node out whose inputs are constants, or that asks for a known shape."""
    building, proto = node.building, node.proto
    names = [str(name) for name in proto.input if name]
    if node.op == "Shape" and names[0] in building.shapes:
        building.constants[node.output] = np.array(building.shapes[names[0]], np.int64)
        return True
    if node.op == "Constant" or (names and all(name in building.constants for name in names)):
        found = _evaluated(onnx, node, {name: building.constants[name] for name in names})
        for output, array in zip(proto.output, found, strict=False):
            building.constants[str(output)] = np.asarray(array)
            building.shapes[str(output)] = tuple(np.asarray(array).shape)
        return True
    return False


def _evaluated(onnx: ModuleType, node: OnnxNode, feeds: dict[str, AnyArray]) -> list[AnyArray]:
    if sum(np.asarray(array).size for array in feeds.values()) > _FOLDED:
        node.refuse("it works on constants of more than 16 million elements")
    if node.op in ("If", "Loop", "Scan", "ConstantOfShape", "Expand", "Tile", "Range"):
        # Numbers that are repeated may be floats; what tells a size is whole, but for a range's.
        given = [np.asarray(a) for a in feeds.values() if a.size < 9]
        sizes = [
            float(np.prod(np.abs(a.astype(np.float64))))
            for a in given
            if a.dtype.kind in "iu" or node.op == "Range"
        ]
        if node.op in ("If", "Loop", "Scan") or max(sizes, default=0) > _FOLDED:
            node.refuse("it makes constants of any size")
    try:
        helper = onnx.helper
        made = [helper.make_tensor_value_info(n, 1, None) for n in node.proto.output]
        ins = [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype), np.asarray(a).shape
            )
            for n, a in feeds.items()
        ]
        graph = helper.make_graph([node.proto], "folded", ins, made)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
        return list(onnx.reference.ReferenceEvaluator(model).run(None, feeds))
    except Exception as error:
        node.refuse(f"its constants cannot be worked out: {reason(error)}")


def _finished(model: ModelProto, building: Building) -> Imported:
    type = load_schema().message("NetParameter")
    renamed = {}
    for entry in model.graph.output:
        blob = building.blobs.get(entry.name)
        if blob is None:
            message = f"the output `{entry.name}` is a constant, which no net gives back"
            raise NetcError(Diagnostic("not-caffe", message))
        if entry.name in building.pads:
            message = f"the output `{entry.name}` is a Pad's, and only layers with windows pad"
            raise NetcError(Diagnostic("not-caffe", message))
        if blob != entry.name:
            renamed[entry.name] = blob
    net = message_of(type, {"name": model.graph.name or "net"})
    return Imported(_readable(with_layers(net, building.layers)), building.weights, renamed)


def _readable(net: Message) -> Message:
    """The net, whose texts must be such as any other file can hold.

    Raises:
        NetcError: not-onnx.
    """

    def complaint(error: Exception) -> NetcError:
        return NetcError(Diagnostic("not-onnx", f"the model has a bad name: {reason(error)}"))

    with strangers_bytes(complaint):
        to_protobuf(net)
    return net
