"""The CPU backend's kernels by op. An op that is not here runs by its definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netc.backends.cpu.emit.boxes import (
    chooses_proposals,
    emit_detection_output,
    emit_proposal,
    emit_python,
)
from netc.backends.cpu.emit.channel_gradients import emit_running
from netc.backends.cpu.emit.drawn import emit_drop_path, emit_dropout
from netc.backends.cpu.emit.elementwise import emit_axpy, emit_elementwise
from netc.backends.cpu.emit.embedding import emit_embed
from netc.backends.cpu.emit.emission import EmitContext, Emitter, by_definition
from netc.backends.cpu.emit.filtering import emit_filter
from netc.backends.cpu.emit.gradients import emit_gradient
from netc.backends.cpu.emit.linear import emit_inner_product
from netc.backends.cpu.emit.local import emit_local
from netc.backends.cpu.emit.losses import emit_pair_loss, emit_softmax_loss
from netc.backends.cpu.emit.moves import (
    emit_concat,
    emit_copy,
    emit_crop,
    emit_nothing,
    emit_permute,
    emit_reshape,
    emit_shuffle,
    emit_slice,
    emit_tile,
)
from netc.backends.cpu.emit.normalization import emit_lrn, emit_softmax
from netc.backends.cpu.emit.pooling import emit_lp_pooling, emit_pooling, emit_spp
from netc.backends.cpu.emit.products import (
    emit_convolution,
    emit_deconvolution,
    emit_siblings,
)
from netc.backends.cpu.emit.ranks import emit_finish, emit_start
from netc.backends.cpu.emit.recurrent import emit_lstm, emit_rnn
from netc.backends.cpu.emit.reduced import emit_reduced, kept_concat, kept_max_pool
from netc.backends.cpu.emit.regions import emit_psroi_pooling, emit_roi_pooling
from netc.backends.cpu.emit.resizing import emit_interp, emit_upsample
from netc.backends.cpu.emit.statistics import emit_argmax, emit_normalization, emit_normalize
from netc.backends.cpu.emit.training import (
    emit_clip_scale,
    emit_gradient_update,
    emit_parameter,
    emit_update,
)
from netc.backends.cpu.emit.yolo import emit_region_output, emit_yolo
from netc.backends.cpu.lowering import LoweredNode
from netc.backends.shared.dispatch import emitter_of
from netc.diagnostics import InternalError
from netc.ir.graph import Graph, Node
from netc.ops.catalog import CATALOG, has_role
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.gradient_update import NAME as GRADIENT_UPDATE
from netc.ops.ranks import FINISH, START
from netc.ops.reduced import REDUCED_CONVOLUTION, REDUCED_DECONVOLUTION, REDUCED_INNER_PRODUCT
from netc.ops.role import Role
from netc.ops.siblings import NAME as SIBLINGS
from netc.ops.update import CLIP, RUNNING, UPDATE

# By the first stage's op for a fused chain.
EMITTERS: Mapping[str, Emitter] = {
    **{op.name: emit_elementwise for op in CATALOG.values() if op.role & Role.EPILOGUE},
    "ArgMax": emit_argmax,
    "Axpy": emit_axpy,
    "BatchNorm": emit_normalization,
    "BN": emit_normalization,
    CLIP: emit_clip_scale,
    "Concat": emit_concat,
    "Convolution": emit_convolution,
    "Crop": emit_crop,
    "CropCenter": emit_crop,
    "Deconvolution": emit_deconvolution,
    "DetectionOutput": emit_detection_output,
    "DetectionOutputRegion": emit_region_output,
    "Dropout": emit_dropout,
    "DropPath": emit_drop_path,
    "Embed": emit_embed,
    "EuclideanLoss": emit_pair_loss,
    "Filter": emit_filter,
    "Flatten": emit_reshape,
    GRADIENT: emit_gradient,
    GRADIENT_UPDATE: emit_gradient_update,
    "InnerProduct": emit_inner_product,
    "Interp": emit_interp,
    "Local": emit_local,
    "LocallyConnected": emit_local,
    "LpPooling": emit_lp_pooling,
    "LRN": emit_lrn,
    "LSTM": emit_lstm,
    "MVN": emit_normalization,
    "Normalize": emit_normalize,
    "Parameter": emit_parameter,
    "Permute": emit_permute,
    "Pooling": emit_pooling,
    "Proposal": emit_proposal,
    "PSROIPooling": emit_psroi_pooling,
    "Python": emit_python,
    REDUCED_CONVOLUTION: emit_reduced,
    REDUCED_DECONVOLUTION: emit_reduced,
    REDUCED_INNER_PRODUCT: emit_reduced,
    RUNNING: emit_running,
    "Reshape": emit_reshape,
    START: emit_start,
    FINISH: emit_finish,
    "RNN": emit_rnn,
    "ROIPooling": emit_roi_pooling,
    "ShuffleChannel": emit_shuffle,
    SIBLINGS: emit_siblings,
    "SigmoidCrossEntropyLoss": emit_pair_loss,
    "Silence": emit_nothing,
    "Slice": emit_slice,
    "Softmax": emit_softmax,
    "SoftmaxWithLoss": emit_softmax_loss,
    "Split": emit_copy,
    "SPP": emit_spp,
    "Tile": emit_tile,
    UPDATE: emit_update,
    "Upsample": emit_upsample,
    "YoloDetectionOutput": emit_yolo,
    "Yolov3DetectionOutput": emit_yolo,
}

# Layers that choose rows and write how many into an array of the caller's: by kernels, or by their
# definitions into the same places. All others are planned around (netc.backends.cpu.dynamic).
BOUNDED: Mapping[str, Callable[[Node], bool]] = {
    "DetectionOutput": lambda node: True,
    "DetectionOutputRegion": lambda node: True,
    "YoloDetectionOutput": lambda node: True,
    "Yolov3DetectionOutput": lambda node: True,
    "Proposal": lambda node: True,
    "ProposalOfOne": lambda node: True,
    "Python": chooses_proposals,
}


def reports_rows(node: Node) -> bool:
    """True of a layer that chooses rows and can say how many it wrote."""
    return node.op in BOUNDED and BOUNDED[node.op](node)


def can_be_bounded(node: Node) -> bool:
    """True of a layer that chooses rows and that can be planned for the most there can be.

    A Filter can be, and is where nothing can be planned late. Elsewhere what follows it runs for
    the items alone that it chose, which is what the layer is for.
    """
    return reports_rows(node) or node.op == "Filter"


def is_empty(graph: Graph, node: Node) -> bool:
    """True if a value of the node has no elements: that is no work for a kernel."""
    return any(0 in graph.shape(value) for value in (*node.inputs, *node.outputs))


def _emitter(context: EmitContext, node: Node) -> Emitter | None:
    """The node's kernels: of its op, or of one that passes on what is kept in fewer bits."""
    kept = [context.kept.get(value) for value in node.outputs]
    if len(kept) != 1 or kept[0] is None:
        return emitter_of(EMITTERS, node)
    number = kept[0]
    if has_role(node.op, Role.CONCAT):
        return lambda context, node: kept_concat(context, node, number)
    if has_role(node.op, Role.POOLING):
        return lambda context, node: kept_max_pool(context, node, number)
    return emitter_of(EMITTERS, node)


def has_kernels(context: EmitContext, node: Node) -> bool:
    """True if kernels run a node whose values ``context`` has views of, or nothing has to."""
    if is_empty(context.graph, node):
        return True
    emitter = _emitter(context, node)
    return emitter is not None and emitter(context, node) is not None


def lower(context: EmitContext, node: Node) -> LoweredNode:
    """A node's record.

    Raises:
        InternalError: a convolution leaves an input in the caller's order that it should convert.
    """
    emitter = None if is_empty(context.graph, node) else _emitter(context, node)
    sweeps = None if emitter is None else emitter(context, node)
    if sweeps is None and node.name in context.images:
        raise InternalError(f"layer `{node.name}`: its input is not converted by any kernel")
    return LoweredNode(node, tuple(by_definition(context, node) if sweeps is None else sweeps))
