"""Nets as fully convolutional ones, for images of any size.

An inner product over all of a blob of (channels, height, width) is a convolution with a kernel of
that height and width; on a larger blob it gives an answer for each place (Long, Shelhamer and
Darrell, "Fully convolutional networks for semantic segmentation", 2015, section 3.1; Caffe's
examples/net_surgery.ipynb). The surgery is :mod:`netc.surgery.forms`'s.
"""

from __future__ import annotations

from netc.backends.base import Progress
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.driver import compile
from netc.frontend import read_net
from netc.ir.graph import Graph
from netc.lower.rules import NetState
from netc.ops.catalog import has_role
from netc.ops.linear import InnerProductParams
from netc.ops.role import Role
from netc.predict.member import Member, PredictorOptions, compile_options, own_shapes
from netc.schema.convert import to_document
from netc.surgery.forms import ToConvolutions
from netc.surgery.loading import loaded
from netc.syntax.printer import print_document
from netc.weights import load_weights


def dense_net(member: Member, options: PredictorOptions, progress: Progress | None) -> CompiledNet:
    """A net whose inner products are convolutions, compiled for the input size in its text.

    Raises:
        NetcError: no-dense-form, where an inner product is not over a whole (channels, height,
            width) blob; what compiling raises.
    """
    shapes = own_shapes(member, options)
    wanted = {blob: (options.batch, *shape[1:]) for blob, shape in shapes.items()}
    message = read_net(member.net, define=dict(options.define), schema=options.schema).message
    state = NetState(options.phase, options.level, options.stages)
    trained = None if member.weights is None else load_weights(member.weights)
    before = loaded(message, trained, state, wanted, missing="fill")
    _check_axes(before.graph)
    dense, arrays = ToConvolutions(before).operated()
    # Where the file lacks a layer's arrays, compiling says so, or fills them as it is told to.
    weights = None if trained is None else {k: v for k, v in arrays.items() if k in trained}
    text = print_document(to_document(dense))
    return compile(
        Source(member.net, text), weights, inputs=wanted, **compile_options(options, progress)
    )


def _check_axes(graph: Graph) -> None:
    for node in graph.nodes:
        if has_role(node.op, Role.INNER_PRODUCT):
            axes = len(graph.shape(node.inputs[0]))
            if node.params_as(InnerProductParams).axis not in (1, 1 - axes) or axes not in (2, 4):
                message = f"layer `{node.name}` (InnerProduct) has no form as a convolution"
                raise NetcError(Diagnostic("no-dense-form", message, node.span))
