"""The GPU backend's kernels by op. An op that is not here runs by its definition."""

from __future__ import annotations

from collections.abc import Mapping

from netc.backends.cuda.chains import RULES
from netc.backends.cuda.emission import CudaEmitContext, Emitter, fallback_step
from netc.backends.cuda.emit.convolution import emit_convolution, emit_siblings
from netc.backends.cuda.emit.deconvolution import emit_deconvolution
from netc.backends.cuda.emit.elementwise import (
    emit_axpy,
    emit_chain,
    emit_dropout,
    emit_identity,
    emit_nothing,
)
from netc.backends.cuda.emit.gradients import emit_gradient
from netc.backends.cuda.emit.inner_product import emit_inner_product
from netc.backends.cuda.emit.losses import emit_pair_loss, emit_softmax_loss
from netc.backends.cuda.emit.moves import emit_concat, emit_gather, emit_reshape, emit_slice
from netc.backends.cuda.emit.normalization import emit_lrn, emit_softmax
from netc.backends.cuda.emit.pooling import emit_pooling
from netc.backends.cuda.emit.recurrent import emit_recurrent
from netc.backends.cuda.emit.sums import emit_batch_norm, emit_running
from netc.backends.cuda.emit.training import emit_clip_scale, emit_parameter
from netc.backends.cuda.emit.updates import emit_update
from netc.backends.cuda.program import Steps
from netc.backends.shared.dispatch import emitter_of
from netc.ir.graph import Node
from netc.ops.gradient import NAME as GRADIENT
from netc.ops.siblings import NAME as SIBLINGS
from netc.ops.update import CLIP, RUNNING, UPDATE

# By the first stage's op for a fused chain.
EMITTERS: Mapping[str, Emitter] = {
    **{op: emit_chain for op in RULES},
    "Axpy": emit_axpy,
    "BatchNorm": emit_batch_norm,
    CLIP: emit_clip_scale,
    "Concat": emit_concat,
    "Convolution": emit_convolution,
    "Crop": emit_gather,
    "CropCenter": emit_gather,
    "Deconvolution": emit_deconvolution,
    "Dropout": emit_dropout,
    "DropPath": emit_dropout,
    "EuclideanLoss": emit_pair_loss,
    "Flatten": emit_reshape,
    GRADIENT: emit_gradient,
    "HDF5Output": emit_nothing,
    "Im2col": emit_gather,
    "InnerProduct": emit_inner_product,
    "LRN": emit_lrn,
    "LSTM": emit_recurrent,
    "Parameter": emit_parameter,
    "Permute": emit_gather,
    "Pooling": emit_pooling,
    "Reorg": emit_gather,
    "Reshape": emit_reshape,
    "RNN": emit_recurrent,
    RUNNING: emit_running,
    "ShuffleChannel": emit_gather,
    SIBLINGS: emit_siblings,
    "SigmoidCrossEntropyLoss": emit_pair_loss,
    "Silence": emit_nothing,
    "Slice": emit_slice,
    "Softmax": emit_softmax,
    "SoftmaxWithLoss": emit_softmax_loss,
    "Split": emit_identity,
    "Tile": emit_gather,
    UPDATE: emit_update,
}


def emit(emission: CudaEmitContext, node: Node) -> Steps:
    """A node's steps."""
    emitter = emitter_of(EMITTERS, node)
    steps = None if emitter is None else emitter(emission, node)
    return fallback_step(emission, node) if steps is None else steps
