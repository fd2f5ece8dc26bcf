"""Convolutions whose window is all of the input are inner products.

Before::

    a = Convolution 7x7(x; w, b); r = ReLU(a); y = Convolution 1x1(r; v, d)      x is N x C x 7 x 7

After::

    a = InnerProduct(x; w, b); r = ReLU(a); z = InnerProduct(r; v, d); y = Reshape(z)

Each has one place an image, so a kernel that lays places side by side to use each weight for
several of them has nothing to lay: one image is bound by reading the weights, which an inner
product's kernel streams. On one core the convolution's kernel read 10 GB/s of them at batch 1, a
matrix-vector product 40 and more. So the InnerProduct is the form that is kept, and a convolution
is made one. An InnerProduct over a feature map stays what it is.

Layers that act on each channel by itself are kept between two of them, on N x C values; the rest
of the net reads a Reshape, which moves nothing.
"""

from __future__ import annotations

from dataclasses import replace

from netc.ir.draft import Draft
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams, convolution_axes
from netc.ops.define import ShapeError
from netc.ops.linear import InnerProductParams
from netc.ops.reshaping import ReshapeParams
from netc.ops.role import Role
from netc.passes.base import Log, Pass
from netc.passes.linear import channels_are_axis_one, is_product
from netc.passes.maps import is_map


def whole_window_products(graph: Graph, log: Log) -> Graph:
    """InnerProducts for all such convolutions, each as far behind it as values may stay flat."""
    draft = Draft(graph)
    for node in draft:
        if has_role(node.op, Role.CONVOLUTION) and _covers_all(draft, node):
            _convert(draft, node, log)
    return draft.result()


def _covers_all(draft: Draft, node: Node) -> bool:
    """True if a convolution's only window is its input, no more and no less."""
    shape = draft.shape(node.inputs[0])
    if len(shape) < 3 or not is_product(node) or not channels_are_axis_one(node.params, shape):
        return False
    axes = convolution_axes(node.params_as(ConvolutionParams), shape)
    return all(a.pad == 0 and a.out == 1 and a.kernel == a.extent == a.size for a in axes)


def _convert(draft: Draft, node: Node, log: Log) -> None:
    convolution = node.params_as(ConvolutionParams)
    if convolution.group > 1:
        log.missed(f"its window is all of the input, in {convolution.group} groups", node.name)
        return
    params = InnerProductParams(convolution.num_output, bias=convolution.bias)
    value, shape = node.outputs[0], draft.shape(node.outputs[0])
    flat = draft.fresh_value(f"{value}~flat", value, shape[:2])
    vector = replace(
        node,
        op="InnerProduct",
        params=params,
        parameters=_flat_weights(draft, node),
        param_specs=(),
        outputs=(flat,),
    )
    before = draft.producer(node.inputs[0])
    draft.put(node.name, replace(vector, inputs=_read_flat(draft, node)))
    if before is not None and isinstance(before.params, ReshapeParams):
        draft.remove_unneeded(before)
    last, value, flat = _sink(draft, vector.name, value, flat)
    _drop_flattens(draft, value, flat)
    if draft.is_needed(value):
        name = f"{last}~shape"
        reshape = Node(name, "Reshape", ReshapeParams(shape), (flat,), (value,))
        draft.put_after(last, reshape)
    log.applied("its window is all of the input: it is an InnerProduct", node.name)


def _flat_weights(draft: Draft, node: Node) -> tuple[str, ...]:
    """The convolution's parameters, its windows as rows."""
    weight, *bias = node.parameters
    shape = draft.array(weight).shape
    name = f"{node.name}/0~folded"
    flat = draft.reshaped_parameter(name, weight, (shape[0], count(shape, 1)))
    return flat, *bias


def _read_flat(draft: Draft, node: Node) -> tuple[str, ...]:
    """A convolution's input, or the value that it reshapes without changing the first axis."""
    before = draft.producer(node.inputs[0])
    if before is None or not isinstance(before.params, ReshapeParams):
        return node.inputs
    shape = draft.shape(before.inputs[0])
    same = len(shape) > 1 and shape[0] == draft.shape(node.inputs[0])[0]
    return before.inputs if same else node.inputs


def _sink(draft: Draft, last: str, value: str, flat: str) -> tuple[str, str, str]:
    """Let the layers behind that can work on the flat value; the last one and its two values."""
    while (reader := draft.only_reader(value)) is not None and _takes_flat(draft, reader):
        value, shape = reader.outputs[0], draft.shape(flat)
        output = draft.fresh_value(f"{value}~flat", value, shape)
        draft.put(reader.name, replace(reader, inputs=(flat,), outputs=(output,)))
        last, flat = reader.name, output
    return last, value, flat


def _drop_flattens(draft: Draft, value: str, flat: str) -> None:
    """Let what reads a Flatten of the value read the flat one."""
    for reader in draft.readers(value):
        output = reader.outputs[0] if reader.outputs else ""
        same = has_role(reader.op, Role.VIEW) and draft.shape(output) == draft.shape(flat)
        if same and output not in draft.outputs:
            draft.remove(reader.name)
            draft.redirect(output, flat)


def _takes_flat(draft: Draft, node: Node) -> bool:
    """True if a layer acts on each channel alone and gives the same for a flattened value."""
    if not (has_role(node.op, Role.UNARY) or is_map(node)):
        return False
    if len(node.inputs) != 1 or len(node.outputs) != 1:
        return False
    shape = draft.shape(node.inputs[0])
    return count(shape, 2) == 1 and getattr(node.params, "axis", 1) == 1 and _fits(node, shape)


def _fits(node: Node, shape: Shape) -> bool:
    """True if its parameters are the same for the flat shape."""
    if getattr(node.params, "num_axes", 1) != 1:
        return False
    op, flat = CATALOG[node.op], shape[:2]
    try:
        same_shape = op.shape(node.params, [flat]) == (flat,)
    except ShapeError:
        return False
    return same_shape and op.weights(node.params, [shape]) == op.weights(node.params, [flat])


WHOLE_WINDOW_PRODUCTS = Pass("whole-window-products", whole_window_products)
