"""Every layer type that has a gradient, against finite differences of its definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netc.diagnostics import NetcError, Source
from netc.gradcheck import check_gradient
from netc.ops.catalog import LAYERS
from netc.ops.gradients.catalog import GRADIENTS
from netc.ops.gradients.define import every_bottom
from tests.test_golden import GOLDEN, arrays
from tests.test_golden import params as params_of

GAUSSIAN = 'weight_filler { type: "gaussian" }'
LSTM_NODE = "num_cells: 3 " + " ".join(
    f'{gate}_weight_filler {{ type: "gaussian" }}'
    for gate in ("input", "input_gate", "forget_gate", "output_gate")
)
DENSE_BLOCK = ('numTransition: 2 growthRate: 2 Filter_Filler { type: "gaussian" } '
               "BN_Scaler_Filler { value: 1 } BN_Bias_Filler { value: 0.3 }")  # fmt: skip
FINE = ("quantization_param { bw_layer_in: 64 fl_layer_in: 40 bw_params: 64 fl_params: 40 "
        "bw_layer_out: 64 fl_layer_out: 40 }")  # fmt: skip
CASES: Mapping[str, list[tuple[str, dict[str, tuple[int, ...]]]]] = {
    "ReLU": [("", {}), ("relu_param { negative_slope: 0.1 }", {}),
             ("relu_param { negative_slope: -0.5 }", {})],
    "ReLU6": [("relu6_param { n: 0.5 }", {})],
    "PReLU": [("", {}), ("prelu_param { channel_shared: true }", {})],
    "ELU": [("elu_param { alpha: 0.5 }", {}), ("elu_param { alpha: -0.5 }", {})],
    "Clip": [("clip_param { min: -0.5 max: 0.4 }", {})],
    "Swish": [("swish_param { beta: 1.7 }", {})],
    "Power": [("power_param { power: 2 scale: 0.5 shift: 3 }", {}),
              ("power_param { power: 1 scale: -2 shift: 1 }", {}),
              ("power_param { power: 0 }", {}), ("power_param { power: -1.5 shift: 2 }", {}),
              ("power_param { power: 3 }", {})],
    "Exp": [("exp_param { base: 2 scale: 0.5 shift: 1 }", {})],
    "Log": [("log_param { base: 10 scale: 2 shift: 3 }", {})],
    "Dropout": [("dropout_param { dropout_ratio: 0.3 }", {})],
    "DropPath": [("drop_path_param { per_sample: true }", {"x0": (6, 3)})],
    "Eltwise": [("eltwise_param { operation: SUM coeff: 2 coeff: 1 coeff: -0.5 }", {"n": (3,)}),
                ("eltwise_param { operation: PROD }", {"n": (3,)}),
                ("eltwise_param { operation: MAX }", {"n": (3,)})],
    "Scale": [("scale_param { bias_term: true }", {}), ("scale_param { axis: 0 num_axes: 2 }", {}),
              ("scale_param { axis: 1 }", {"x1": (3, 5)}),
              ("scale_param { axis: 0 bias_term: true }", {"x1": (2, 3)}),
              ("scale_param { num_axes: -1 }", {}), ("scale_param { num_axes: 0 }", {})],
    "Bias": [("", {}), ("bias_param { axis: 2 num_axes: 2 }", {}),
             ("bias_param { axis: 1 }", {"x1": (3, 5)})],
    "Axpy": [("", {"x0": (2, 3), "x1": (2, 3, 5, 4), "x2": (2, 3, 5, 4)})],
    "InnerProduct": [(f"inner_product_param {{ num_output: 3 {GAUSSIAN} }}", {}),
                     (f"inner_product_param {{ num_output: 3 axis: 2 transpose: true {GAUSSIAN} }}",
                      {})],
    "Embed": [(f"embed_param {{ num_output: 3 input_dim: 6 {GAUSSIAN} }}", {"x0": (4, 2)})],
    "Convolution": [(f"convolution_param {{ num_output: 4 kernel_size: 3 {GAUSSIAN} }}",
                     {"n": (2,)})],
    "Deconvolution": [(f"convolution_param {{ num_output: 4 kernel_size: 2 {GAUSSIAN} }}", {})],
    "Im2col": [("convolution_param { kernel_size: 3 stride: 2 pad: 1 }", {})],
    "LocallyConnected": [(f"convolution_param {{ num_output: 4 kernel_size: 3 group: 2 pad: 1 "
                          f"stride: 2 {GAUSSIAN} }}", {"x0": (2, 4, 5, 4)})],
    "Local": [(f"local_param {{ num_output: 2 kernel_size: 2 {GAUSSIAN} }}", {})],
    "Pooling": [("pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }", {}),
                ("pooling_param { kernel_size: 3 stride: 2 pad: 1 }", {"tops": (2,)}),
                ("pooling_param { pool: AVE global_pooling: true }", {})],
    "SPP": [("spp_param { pyramid_height: 2 }", {}),
            ("spp_param { pyramid_height: 3 pool: AVE }", {"x0": (2, 2, 8, 9)}),
            ("spp_param { pyramid_height: 1 }", {})],
    "LpPooling": [("pooling_param { kernel_size: 3 stride: 2 }", {}),
                  ("pooling_param { kernel_size: 2 } lp_pooling_param { p: 3.5 }", {})],
    "BatchNorm": [("", {}), ("batch_norm_param { use_global_stats: true }", {}),
                  ("batch_norm_param { scale_bias: true }", {}),
                  ("batch_norm_param { scale_bias: true use_global_stats: true }", {})],
    "BN": [("bn_param { scale_filler { } }", {}),
           ("bn_param { bn_mode: INFERENCE }", {}),
           ("bn_param { slope_filler { } }", {}),
           ("bn_param { slope_filler { } frozen: true }", {})],
    "MVN": [("", {}), ("mvn_param { across_channels: true }", {}),
            ("mvn_param { add_eps_before_sqrt: true eps: 0.1 }", {}),
            ("mvn_param { add_eps_before_sqrt: true eps: 0.1 across_channels: true }", {}),
            ("mvn_param { normalize_variance: false }", {}), ("mvn_param { eps: 0.1 }", {})],
    "Softmax": [("", {}), ("softmax_param { axis: 2 }", {})],
    "Normalize": [("norm_param { }", {}), ("norm_param { across_spatial: false }", {}),
                  ("norm_param { channel_shared: false }", {}), ("", {"x0": (3, 4)})],
    "LayerNorm": [("", {}), ("layer_norm_param { axis: 2 elementwise_affine: false }", {})],
    "LRN": [("lrn_param { local_size: 3 alpha: 0.5 }", {"x0": (2, 5, 4, 3)}),
            ("lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }", {})],
    "Concat": [("", {"n": (3,)}), ("concat_param { axis: -1 }", {"x1": (2, 3, 5, 2)})],
    "Slice": [("slice_param { slice_point: 1 }", {"tops": (2,)}),
              ("slice_param { axis: 2 }", {"tops": (5,)})],
    "Split": [("", {"tops": (3,)})],
    "Flatten": [("", {}), ("flatten_param { axis: 2 }", {})],
    "Reshape": [("reshape_param { shape { dim: 0 dim: -1 dim: 3 } }", {})],
    "Tile": [("tile_param { tiles: 3 axis: 2 }", {})],
    "CropCenter": [("crop_center_param { crop_size: [0, 1, 1, 0] }", {"x0": (2, 3, 4, 2)})],
    "Crop": [("crop_param { offset: 1 offset: 2 }", {"x1": (2, 3, 3, 2)})],
    "Permute": [("permute_param { order: 0 order: 3 order: 1 order: 2 }", {})],
    "ShuffleChannel": [("shuffle_channel_param { group: 3 }", {"x0": (2, 6, 2, 2)})],
    "Reorg": [("reorg_param { stride: 2 }", {"x0": (2, 4, 4, 2)}),
              ("reorg_param { stride: 2 reverse: true }", {"x0": (2, 4, 4, 2)})],
    "Reverse": [("", {}), ("reverse_param { axis: 2 }", {})],
    "BatchReindex": [("", {"x0": (4, 3), "x1": (6,)})],
    "Filter": [("", {"x0": (4, 3), "x1": (4,)})],
    "Reduction": [(f"reduction_param {{ operation: {o} axis: {a} coeff: 1.5 }}", {})
                  for o, a in (("SUM", 0), ("ASUM", 1), ("SUMSQ", 2), ("MEAN", -2))],
    "Parameter": [("parameter_param { shape { dim: 3 dim: 2 } }", {"n": (0,)})],
    "Interp": [("interp_param { height: 7 width: 9 }", {}),
               ("interp_param { shrink_factor: 2 pad_beg: -1 }", {"x0": (1, 2, 6, 8)})],
    "Upsample": [("upsample_param { scale: 2 }", {}),
                 ("upsample_param { scale: 2 }", {"x0": (2, 3, 4, 4), "x1": (2, 3, 4, 4)})],
    "LSTM": [(f"recurrent_param {{ num_output: 3 {GAUSSIAN} }}",
              {"x0": (4, 2, 3), "x1": (4, 2)}),
             (f"recurrent_param {{ num_output: 2 {GAUSSIAN} }}",
              {"x0": (3, 2, 3), "x1": (3, 2), "x2": (2, 4)}),
             (f"recurrent_param {{ num_output: 3 expose_hidden: true {GAUSSIAN} }}",
              {"x0": (3, 2, 3), "x1": (3, 2), "x2": (1, 2, 3), "x3": (1, 2, 3), "tops": (3,)})],
    "RNN": [(f"recurrent_param {{ num_output: 3 {GAUSSIAN} }}",
             {"x0": (4, 2, 3), "x1": (4, 2)}),
            (f"recurrent_param {{ num_output: 3 expose_hidden: true {GAUSSIAN} }}",
             {"x0": (3, 2, 3), "x1": (3, 2), "x2": (1, 2, 3), "tops": (2,)})],
    "Lstm": [(f"lstm_param {{ num_output: 3 {GAUSSIAN} }}", {"x0": (5, 4)}),
             (f"lstm_param {{ num_output: 3 batch_size: 2 {GAUSSIAN} }}", {"x0": (6, 4)}),
             (f"lstm_param {{ num_output: 3 {GAUSSIAN} }}", {"x0": (4, 1, 5)})],
    "LSTMUnit": [("", {"x0": (1, 3, 2), "x1": (1, 3, 8), "x2": (1, 3), "tops": (2,)})],
    "ROIPooling": [("roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
                    {"x0": (2, 3, 8, 9), "x1": (4, 5)}),
                   ("roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 "
                    "pad_ratio: 0.25 }", {"x0": (2, 3, 8, 9), "x1": (4, 5)})],
    "ROIPoolingOfWindows": [("roi_pooling_param { pooled_l: 2 pooled_h: 2 pooled_w: 3 }",
                             {"x0": (2, 2, 4, 7, 8), "x1": (3, 3)})],
    "ROIAlign": [("roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
                  {"x0": (2, 3, 8, 9), "x1": (4, 5)})],
    "ROIAlignGreatest": [("roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
                          {"x0": (2, 3, 8, 9), "x1": (4, 5)})],
    "ROIAlignMean": [("roi_align_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 "
                      f"sampling_ratio: {n} }}", {"x0": (2, 3, 8, 9), "x1": (4, 5)})
                     for n in (0, 2)],
    "PoolingLeast": [("pooling_param { pool: MIN kernel_size: 3 stride: 2 pad: 1 }", {})],
    "SaliencyPooling": [("pooling_param { kernel_size: 3 stride: 2 }", {"n": (2,)})],
    "PairwiseLossOfBatch": [("", {"x0": (4, 3), "x1": (4, 2), "n": (2,)}),
                            ("pairwise_param { threshold: 1 }",
                             {"x0": (4, 3), "x1": (4, 2), "n": (2,)})],
    "CrossEntropyLoss": [("", {"x0": (3, 4), "x1": (3, 4)})],
    "EuclideanLossHeatmap": [("", {"x0": (2, 1, 3, 3), "x1": (2, 1, 3, 3)})],
    "MTCNNEuclideanLoss": [("", {"x0": (3, 4), "x1": (3, 4)}),
                           ("loss_param { ignore_label: 0 }",
                            {"x0": (4, 3), "x1": (4, 3), "x2": (4,)})],
    "GraphLinkageLoss": [("", {"x0": (6, 3), "x1": (6,)})],
    "QuantizationLoss": [("", {"x0": (4, 3)})],
    "TopK": [("topk_param { k: 4 a: 1 }", {})],
    "BoundedReLU": [("relu_param { maximum: 1.5 minimum: 0.25 }", {})],
    "Pooling3D": [("pooling3d_param { pool: MAX kernel_size: 2 stride: 2 }",
                   {"x0": (1, 2, 4, 5, 6)}),
                  ("pooling3d_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }",
                   {"x0": (1, 2, 4, 5, 6)})],
    "Correlation": [("correlation_param { kernel_size: 1 max_displacement: 2 pad: 2 }",
                     {"x0": (1, 2, 5, 6), "x1": (1, 2, 5, 6)}),
                    ("correlation_param { kernel_size: 3 max_displacement: 1 pad: 2 stride_2: 1 "
                     "correlation_type: SUBTRACT }", {"x0": (1, 2, 5, 6), "x1": (1, 2, 5, 6)})],
    "PSROIPooling": [("psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 0.5 }",
                      {"x0": (2, 8, 8, 9), "x1": (4, 5)})],
    "WarpCTCLoss": [("", {"x0": (6, 1, 4), "x1": (1, 3)})],
    "LpqLoss": [("lpq_loss_param { p: 2 q: 0.5 }", {"n": (2,)}),
                ("lpq_loss_param { p: [1.5, 1] q: [0.7, 1] pq_episode_starts_at_iter: [0, 9] "
                 "p_epsilon: 0.1 normalize_by_num_entries: true }", {})],
    "LSTMNode": [(f"lstm_param {{ {LSTM_NODE} }}", {"x0": (2, 4), "x1": (2, 3), "tops": (2,)}),
                 (f"lstm_param {{ {LSTM_NODE} bias_term: false }}",
                  {"x0": (3, 2, 2), "x1": (3, 3), "x2": (3,), "tops": (2,)})],
    "DenseBlock": [(f"denseblock_param {{ {DENSE_BLOCK} use_BC: {bc} }}", {"x0": (3, 2, 3, 3)})
                   for bc in ("false", "true")],
    "FeatureExtrapolating": [('feature_extrapolating_param { scale_string: "0.5 1 2" '
                              "num_scale_base: 3 num_per_octave: 3 }", {"x0": (3, 2, 4, 5)})],
    "HeatmapGenerating": [("", {"x0": (2, 4, 3, 2)})],
    "MulticlassCrossEntropyLoss": [("", {"x0": (3, 4), "x1": (3, 4)})],
    "WeightedSoftmaxWithLoss": [("", {"x0": (6, 3), "x1": (6,)}),
                                ("", {"x0": (4, 3, 2), "x1": (4, 2), "x2": (4, 2)})],
    "FocalLoss": [("", {"x0": (3, 4, 2), "x1": (3, 2)}),
                  ("focal_loss_param { type: ONEADDP alpha: 1.5 gamma: 1.5 }",
                   {"x0": (5, 4), "x1": (5,)})],
    "PSROIAlign": [("psroi_align_param { output_dim: 2 group_size: 2 spatial_scale: 0.5 }",
                    {"x0": (2, 8, 8, 9), "x1": (4, 5)})],
    "DeformablePSROIPooling": [
        ("deformable_psroi_pooling_param { output_dim: 4 group_size: 2 part_size: 2 "
         "sample_per_part: 2 trans_std: 0.1 spatial_scale: 0.5 }",
         {"x0": (2, 16, 8, 9), "x1": (4, 5), "x2": (4, 4, 2, 2)})],
    "HardSwish": [("", {})],
    "ChannelNorm": [("", {})],
    "SpatialProduct": [("", {"x1": (2, 1, 5, 4)})],
    "GRN": [("grn_param { bias: 0.1 }", {})],
    "Flip": [("flip_param { flip_height: true }", {})],
    "InnerDistance": [(f'inner_distance_param {{ num_output: 3 distance_type: "{n}" '
                       f"{GAUSSIAN} }}", {"x0": (2, 5)}) for n in ("L1", "L2")],
    "BiasChannel": [("bias_channel_param { bg_bias: 1 fg_bias: 2 }", {"x1": (2, 1, 5, 4)})],
    "SumPooling": [("sum_pooling_param { pool: SUM kernel_size: 2 stride: 2 }",
                    {"x0": (1, 2, 5, 4)})],
    "WeightEuclideanLoss": [("", {"x0": (2, 136), "x1": (2, 136)})],
    "UpsampleSized": [("upsample_param { height: 5 width: 3 mode: NEAREST }",
                       {"x0": (1, 2, 3, 4)}),
                      ("upsample_param { mode: NEAREST }",
                       {"x0": (1, 2, 3, 4), "x1": (1, 1, 7, 6)})],
    "UpsampleDarknet": [("upsample_darknet_param { stride: 2 }", {})],
    "LargeMarginInnerProduct": [
        (f"largemargin_inner_product_param {{ num_output: 4 type: {kind} base: 2 {GAUSSIAN} }}",
         {"x0": (5, 3), "x1": (5,)}) for kind in ("SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE")],
    "ScaleTanH": [("scale_tanh_param { init_scale: 1.5 }", {})],
    "HashingLoss": [("hashing_loss_param { bi_margin: 8 tradeoff: 0.1 }",
                     {"x0": (5, 3), "x1": (5,)})],
    "PairwiseLoss": [("", {"x0": (4, 3), "x1": (4, 2), "x2": (4, 3), "x3": (4, 2)})],
    "MMDLoss": [("", {"x0": (4, 3), "x1": (5, 3)})],
    "EntropyLoss": [("", {"x0": (4, 3)})],
    "OuterProduct": [("", {"x0": (4, 3), "x1": (4, 2)})],
    "SpatialTransformer": [("st_param { output_H: 4 output_W: 3 }",
                            {"x0": (2, 2, 5, 6), "x1": (2, 6)}),
                           ("st_param { theta_1_2: 0 theta_2_1: 0.1 }",
                            {"x0": (2, 2, 5, 6), "x1": (2, 4)})],
    "STLoss": [("st_loss_param { output_H: 3 output_W: 2 }", {"x0": (2, 6)})],
    "LocLoss": [("loc_loss_param { threshold: 0.4 }", {})],
    "Division": [("division_param { height: 2 width: 2 xcoord: 0 xcoord: 2 ycoord: 0 ycoord: 1 }",
                  {"x0": (2, 3, 4, 4), "tops": (2,)})],
    "Combination": [("combination_param { xcoord: 0 xcoord: 2 ycoord: 0 ycoord: 1 }",
                     {"x0": (2, 3, 2, 2), "x1": (2, 3, 2, 2)})],
    "DiceCoefLoss": [("", {"x0": (1, 6), "x1": (1, 6)}), ("", {"x0": (3, 6), "x1": (3, 6)})],
    "DeformableConvolution": [
        (f"deformable_convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 "
         f"deformable_group: 2 {GAUSSIAN} }}", {"x0": (2, 4, 5, 6), "x1": (2, 36, 3, 3)}),
        (f"deformable_convolution_param {{ num_output: 4 kernel_size: 2 group: 2 dilation: 2 "
         f"deformable_group: 1 {GAUSSIAN} }}", {"x0": (1, 4, 5, 4), "x1": (1, 8, 3, 2)})],
    "TripletLoss": [("triplet_loss_param { margin: 2 }", {"x0": (5, 3), "x1": (5, 3),
                                                          "x2": (5, 3)}),
                    ("", {"x0": (5, 3), "x1": (5, 3), "x2": (5, 3), "x3": (5,)})],
    "GeneralContrastiveLoss": [("", {"x0": (4, 5), "x1": (4,)}),
                               ("general_contrastive_loss_param { max_negative_only: true "
                                "exp_negative_weight: true }", {"x0": (4, 5), "x1": (4,)})],
    "XCovLoss": [("", {"x0": (5, 3), "x1": (5, 2)})],
    "Sparsify": [("sparsify_param { thre: 0.2 }", {}), ("sparsify_param { coef: 0.1 }", {})],
    "SignedSqrt": [("", {})],
    "ManhattanLoss": [("", {"n": (2,)})],
    "AlignDataTransform": [("", {"x0": (2, 6, 1, 1), "x1": (2, 4), "x2": (3,)})],
    "EuclideanLoss2": [("", {"x0": (3, 4), "x1": (3, 4), "x2": (3,)})],
    "EuclideanLoss3": [("", {"x0": (3, 4), "x1": (3, 4), "x2": (3,), "x3": (3, 4)})],
    "EuclideanLoss4": [("", {"x0": (3, 4), "x1": (3, 4), "x2": (3, 4)})],
    "K1_EuclideanLoss": [("", {"n": (2,)})],
    "K2_EuclideanLoss": [("", {"n": (2,)})],
    "SigmoidCrossEntropyBalanceLoss": [("", {"n": (2,)})],
    "SpatialSoftmax": [("spatial_softmax_param { temperature: 2 }", {})],
    "GroupNorm": [("group_norm_param { group_num: 1 eps: 0.1 }", {})],
    "Norm": [("", {})],
    "Normalization": [("", {})],
    "Resize": [("resize_param { height: 9 width: 7 }", {}),
               ("resize_param { scale: 2 crop: 1 }", {}),
               ("resize_param { scale_x: 0.5 height: 0 }", {})],
    "EuclideanLossWithIgnore": [("", {"x0": (3, 4), "x1": (3, 5)})],
    "RandomNoise": [("", {}), ("random_noise_param { adaptive_sigma: true }", {})],
    "ConvolutionRistretto": [("convolution_param { num_output: 2 kernel_size: 2 stride: 2 "
                              f"{GAUSSIAN} }} {FINE}", {})],
    "FcRistretto": [(f"inner_product_param {{ num_output: 2 {GAUSSIAN} }} {FINE}", {})],
    "RankHardLoss": [("rank_param { pair_size: 2 neg_num: 9 }", {"x0": (6, 4), "x1": (6,)})],
    "Remap": [("", {"x0": (2, 3, 4, 5), "x1": (2, 2, 3, 3)})],
    "L2Normalize": [("", {})],
    "ScaleFilter": [("scale_filter_param { min_scale: 0.5 max_scale: 2 }", {})],
    "MIL": [("", {}), ("mil_param { context_per_roi: 3 }", {"x0": (6, 4)})],
    "SoftmaxWithCrossEntropyLoss": [("", {"n": (2,)}), ("softmax_param { axis: 2 } loss_param { "
                                    "normalize: false }", {"n": (2,)})],
    "BatchReduction": [("batch_reduction_param { reduction_param { operation: MEAN axis: 2 } }",
                        {}),
                       ("batch_reduction_param { level: 1 level: 2 reduction_param { axis: 2 } }",
                        {"x0": (2, 3, 5, 4)}),
                       ("batch_reduction_param { reduction_param { operation: TOPK k: 2 "
                        "axis: 3 } }", {})],
    "Gather": [("", {})],
    "Scatter": [("", {})],
    "PowerFile": [("", {})],
    "SmoothL1Loss": [("", {"n": (2,)}), ("smooth_l1_loss_param { sigma: 2 }", {"n": (4,)})],
    "SmoothL1LossOHEM": [("", {"n": (3,)})],
    "SmoothL1LossEach": [("loss_param { normalization: NONE }", {"n": (3,)}),
                         ("", {"n": (3,), "tops": (2,)})],
    "SoftmaxWithLossEach": [("", {"x0": (4, 5), "x1": (4,), "tops": (3,)})],
    "SoftmaxWithLossOfWeights": [("loss_param { ignore_label: 1 }",
                                  {"x0": (2, 4, 3), "x1": (2, 3), "x2": (2, 3)})],
    "SoftmaxOfFirst": [("", {"x0": (3, 5), "x1": (3,)})],
    "ReLUMask": [("relu_param { negative_slope: 0.1 }", {"tops": (2,)})],
    "L1Loss": [("", {"n": (2,)}), ("l1_loss_param { l2_per_location: true plateau: 0.5 "
               "normalize_by_num_entries: true }", {"n": (2,)}),
               ("l1_loss_param { l2_per_location: true l2_prescale_by_channels: true }", {})],
    "LiftedStructSimilaritySoftmaxLoss": [("", {"x0": (6, 4), "x1": (6,)})],
    "SigmoidCrossEntropyLossWeighted": [("", {"n": (3,)})],
    "Warp": [("", {"x0": (2, 2, 4, 5), "x1": (2, 2, 4, 5)})],
    "Tiling": [("tiling_param { tile_dim: 2 }", {"x0": (2, 8, 3, 2)})],
    "MultiStageMeanfield": [
        ("multi_stage_meanfield_param { num_iterations: 3 theta_alpha: 2 theta_beta: 1 "
         "theta_gamma: 2 }", {"x0": (2, 3, 3, 4), "x1": (2, 3, 3, 4), "x2": (2, 3, 3, 4)})],
    "YoloSeg": [("", {"x0": (2, 3, 4, 4), "x1": (2, 3, 4, 4)})],
    "InnerProductOfBottoms": [("inner_product_param { bias_term: false }",
                               {"x0": (3, 2, 2), "x1": (5, 4)}),
                              ("", {"x0": (3, 4), "x1": (5, 4)}),
                              ("inner_product_param { axis: 2 }",
                               {"x0": (3, 2, 4), "x1": (5, 4), "x2": (5,)})],
    "InnerDistanceOfBottoms": [(f'inner_distance_param {{ distance_type: "{n}" }}',
                                {"x0": (2, 5), "x1": (3, 5)}) for n in ("L1", "L2")],
    "ChannelScale": [("", {"x0": (2, 3, 4, 5), "x1": (2, 1, 4, 5)})],
    "ROIWarping": [("roi_warping_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.5 }",
                    {"x0": (2, 3, 8, 9), "x1": (4, 5)})],
    "MaskPooling": [("", {"x0": (2, 3, 4, 5), "x1": (2, 1, 4, 5)})],
    "MaskResize": [("mask_resize_param { output_height: 7 output_width: 3 }", {})],
    "GuidedDropout": [(f'guided_dropout_param {{ type: "{n}" }}',
                       {"x0": (2, 6, 2, 2), "x1": (2, 6)})
                      for n in ("deterministic", "stochastic")],
    "Insanity": [("insanity_param { lb: 2 ub: 3 }", {})],
    "SoftmaxWithLossOHEM": [("", {"x0": (4, 5), "x1": (4,)})],
    "SoftmaxWithLoss": [("", {"x0": (4, 5), "x1": (4,)}),
                        ("loss_weight: 0.3 loss_param { ignore_label: 1 normalization: FULL }",
                         {"x0": (2, 4, 3), "x1": (2, 3)}),
                        ("loss_param { weight_by_label_freqs: true ignore_label: 1 }",
                         {"x0": (2, 4, 3), "x1": (2, 3)}),
                        ("softmax_param { axis: 2 } loss_param { normalization: NONE }",
                         {"x0": (2, 4, 3), "x1": (2, 4)})],
    "CompactBilinear": [(f"compact_bilinear_param {{ num_output: 6 sum_pool: {pooled} }}",
                         {"x0": (2, 3, 2, 2), "x1": (2, 4, 2, 2)}) for pooled in ("true", "false")],
    "BeamSearchNode": [("beam_search_param { beam_size: 2 end_of_sequence: 99 }",
                        {"x0": (4, 9), "x1": (4, 3), "tops": (4,)}),
                       ("beam_search_param { beam_size: 2 end_of_sequence: 99 }",
                        {"x0": (4, 1), "x1": (4, 2), "x2": (4, 9), "x3": (4, 3), "tops": (4,)})],
    "LabelSpecificRescale": [
        (f"label_specific_rescale_param {{ rescale_test: true {fields} }}",
         {"x0": (4, 5), "x1": (4,)})
        for fields in ("positive_weight: 0.5 negative_weight: 2 for_ip: true",
                       "positive_weight: 2 power_on_positive: true", "bias_fix: true")],
    "NormalizePlaces": [("normalize_param { bp_norm: true }", {"x0": (2, 3, 2, 2), "tops": (2,)}),
                        ('normalize_param { normalize_type: "L1" bp_norm: true }',
                         {"x0": (2, 3), "tops": (2,)}), ("normalize_param { }", {})],
    "SubRegion": [(f"sub_region_param {{ region_height: 3 region_width: 2 data_height: 9 "
                   f"data_width: 8 as_dim: {joined} }}",
                   {"x0": (2, 2, 5, 4), "x1": (2, 6), "x2": (2, 6)}) for joined in (0, 1)],
    "LabelSpecificAdd": [("label_specific_add_param { bias: 0.5 }", {"x0": (4, 5), "x1": (4,)})],
    "EuclideanLoss": [("loss_weight: 2", {"n": (2,)})],
    "HingeLoss": [("", {"x0": (4, 5), "x1": (4,)}),
                  ("hinge_loss_param { norm: L2 }", {"x0": (4, 5), "x1": (4,)})],
    "ContrastiveLoss": [("", {"x0": (4, 3), "x1": (4, 3), "x2": (4,)}),
                        ("contrastive_loss_param { margin: 4 legacy_version: true }",
                         {"x0": (4, 3), "x1": (4, 3), "x2": (4,)}),
                        ("contrastive_loss_param { label_type: CATEGORY }",
                         {"x0": (4, 3), "x1": (4, 3), "x2": (4,), "x3": (4,)})],
    "InfogainLoss": [("", {"x0": (4, 5), "x1": (4,), "x2": (1, 1, 5, 5)}),
                     ("loss_param { ignore_label: 0 }",
                      {"x0": (2, 3, 4), "x1": (2, 4), "x2": (1, 1, 3, 3)})],
    "MultinomialLogisticLoss": [("", {"x0": (4, 5), "x1": (4,)})],
    "SigmoidCrossEntropyLoss": [("", {"x0": (4, 5), "x1": (4, 5)}),
                                ("loss_param { ignore_label: 0 normalization: VALID }",
                                 {"x0": (4, 5), "x1": (4, 5)})],
}  # fmt: skip

# Layers that need inputs that belong together, with those that Caffe was given; and what of them
# has a gradient that is the derivative.
GIVEN = {
    "MultiBoxLoss": (
        {"loc", "conf"},
        ("default", "mining_none", "logistic", "own_location", "corner"),
    ),
    "MultiBoxFocalLoss": (set(), ()),  # tests/ops/test_focal_loss.py gives it boxes
    "FlowWarp": ({"im", "flow"}, ()),
    "Unpooling": ({"x"}, ()),
    "CenterLoss": (set(), ()),
    "CTCLoss": (set(), ()),  # tests/ops/test_fork_parts.py gives it sequences
    "CtcLoss": (set(), ()),
    "Yolov3": (set(), ("default", "not_square", "one_without_objects")),
    "RegionLoss": (set(), ()),
    "DetectionLoss": (set(), ()),
    "DetectionGroupLoss": (set(), ()),
    "MarginInnerProduct": (set(), ()),
    "DetectionLossOfCells": (set(), ()),  # tests/ops/test_yolo_first.py has the fork's
    "SoftmaxWithLossOfMany": (set(), ()),  # tests/ops/test_softmax_many_labels.py has its shapes
    "SoftmaxWithLossOfOverlaps": (set(), ()),  # tests/ops/test_softmax_weights.py names its bottoms
    "MultiROIPooling": (set(), ()),  # tests/ops/test_face_points.py has its fork's
    "ROIAlignment": (set(), ()),  # tests/ops/test_region_alignment.py gives it regions
    "WassersteinLoss": (set(), ()),  # tests/ops/test_wasserstein.py gives it a file
}

# What a text calls the layers that fields make of a name.
WRITTEN = {
    "BoundedReLU": "ReLU",
    "PoolingLeast": "Pooling",
    "PairwiseLossOfBatch": "PairwiseLoss",
    "ROIAlignGreatest": "ROIAlign",
    "ROIPoolingOfWindows": "ROIPooling",
    "ROIAlignMean": "ROIAlign",
    "UpsampleSized": "Upsample",
    "ReLUMask": "ReLU",
    "SigmoidCrossEntropyLossWeighted": "SigmoidCrossEntropyLoss",
    "SmoothL1LossEach": "SmoothL1Loss",
    "SoftmaxOfFirst": "Softmax",
    "NormalizePlaces": "Normalize",
    "SoftmaxWithLossEach": "SoftmaxWithLoss",
    "SoftmaxWithLossOfWeights": "SoftmaxWithLoss",
    "InnerProductOfBottoms": "InnerProduct",
    "InnerDistanceOfBottoms": "InnerDistance",
}


# Those that pass none have nothing to compare.
PASSING = [
    name
    for name, rule in GRADIENTS.items()
    if rule.ignored is not every_bottom and rule.available is None and name not in GIVEN
]


def layer(name: str, params: str, more: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A layer's text, and its inputs' shapes; ``n`` and ``tops`` in ``more`` count blobs."""
    shapes = {k: v for k, v in more.items() if k.startswith("x")}
    name = WRITTEN.get(name, name)
    op = LAYERS[name]
    least = max([op.arity.bottoms[0], *(int(k[1:]) + 1 for k in shapes)])
    bottoms = more["n"][0] if "n" in more else least
    tops = more["tops"][0] if "tops" in more else max(1, op.arity.tops[0])
    tops = bottoms if op.arity.same else tops
    reads = " ".join(f'bottom: "x{i}"' for i in range(bottoms))
    makes = " ".join(f'top: "y{i}"' for i in range(tops))
    return f'layer {{ name: "op" type: "{name}" {reads} {makes} {params} }}', shapes


def check(name: str, params: str, more: dict[str, Any], phase: str = "TRAIN", seed: int = 0) -> Any:
    text, shapes = layer(name, params, more)
    result = check_gradient(text, phase=phase, inputs=shapes, seed=seed)
    assert result.ok, "\n".join(map(str, result.rows))
    return result


@pytest.mark.filterwarnings("ignore:.*fork-reading")
@pytest.mark.parametrize("phase", ("TRAIN", "TEST"))
@pytest.mark.parametrize("name", PASSING)
def test_layer(name: str, phase: str) -> None:
    for params, more in CASES.get(name, [("", {})]):
        for seed in (0, 1):
            result = check(name, params, more, phase, seed)
            assert result.rows, f"{name}: nothing was compared"
            assert all(row.elements + row.kinks for row in result.rows)
            compared = sum(row.elements for row in result.rows)
            assert compared > 2 * sum(row.kinks for row in result.rows) or "0" in params


def given_cases() -> list[tuple[str, str]]:
    found = []
    for kind, (_, chosen) in GIVEN.items():
        folder = GOLDEN / "forks"
        for path in sorted(folder.glob(f"{'UNPOOLING' if kind == 'Unpooling' else kind}__*.npz")):
            if not chosen or path.stem.partition("__")[2] in chosen:
                found.append((kind, path.stem))
    return found


@pytest.mark.parametrize(("kind", "case"), given_cases())
def test_given_inputs(kind: str, case: str) -> None:
    text = GOLDEN / "forks" / f"{case}.prototxt"
    feeds = arrays(text.with_suffix(".npz"), "in/")
    found = check_gradient(text, params_of(text.with_suffix(".npz")), feeds=feeds)
    assert found.ok, "\n".join(map(str, found.rows))
    right = {row.name for row in found.rows if row.ok}
    exact = {row.name for row in found.rows if not row.note}
    assert exact <= right and (GIVEN[kind][0] <= right or not exact)


def test_the_page_names_every_layer_whose_gradient_is_no_derivative() -> None:
    text = (GOLDEN.parent.parent / "docs" / "gradients.md").read_text(encoding="utf-8")
    marked = {name for name, rule in GRADIENTS.items() if rule.inexact is not None}
    assert {name for name in marked if name not in text} == set()


windows = st.fixed_dictionaries(
    {
        "kernel": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "pad": st.integers(0, 2),
        "dilation": st.integers(1, 2),
        "group": st.integers(1, 2),
        "seed": st.integers(0, 9),
        "size": st.tuples(st.integers(5, 8), st.integers(5, 8)),
    }
)


@pytest.mark.parametrize("name", ("Convolution", "Deconvolution", "LocallyConnected"))
@settings(max_examples=15)
@given(w=windows, bias=st.booleans())
def test_windows_of_products(name: str, w: dict[str, Any], bias: bool) -> None:
    params = (
        f"convolution_param {{ num_output: {2 * w['group']} kernel_size: {w['kernel']} "
        f"stride: {w['stride']} pad: {w['pad']} dilation: {w['dilation']} group: {w['group']} "
        f"bias_term: {str(bias).lower()} {GAUSSIAN} }}"
    )
    check(name, params, {"x0": (2, 2 * w["group"], *w["size"])}, seed=w["seed"])


@pytest.mark.parametrize("name", ("MAX", "AVE", "STOCHASTIC", "LpPooling"))
@settings(max_examples=15)
@given(w=windows, ceil=st.booleans())
def test_windows_of_pooling(name: str, w: dict[str, Any], ceil: bool) -> None:
    pad = 0 if name == "STOCHASTIC" else min(w["pad"], w["kernel"] - 1)
    stride = min(w["stride"], w["kernel"])  # else a window may lie beyond the input: -FLT_MAX
    params = (
        f"pooling_param {{ kernel_size: {w['kernel']} stride: {stride} pad: {pad} "
        f"round_mode: {'CEIL' if ceil else 'FLOOR'} "
    )
    kind = name if name == "LpPooling" else "Pooling"
    params += "}" if kind == name else f"pool: {name} }}"
    for phase in ("TRAIN", "TEST"):
        check(kind, params, {"x0": (2, 2, *w["size"])}, phase, w["seed"])


def test_a_kink_is_counted_and_not_held_against_a_layer() -> None:
    import numpy as np

    x = np.array([[0.0, 1.0, -1.0, 0.0]])
    found = check_gradient(layer("ReLU", "", {})[0], inputs={"x0": (1, 4)}, feeds={"x0": x})
    (row,) = found.rows
    assert found.ok and (row.elements, row.kinks) == (2, 2)


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from netc.ops.gradients import catalog
    from netc.ops.gradients.define import INPUT, Gradient

    wrong = Gradient(lambda params, saved, tops, index: tops[0] * saved.inputs[0] * 1.001, INPUT)
    rules = {**catalog.GRADIENTS, "TanH": wrong}
    for module in ("netc.train.differentiate", "netc.ops.gradients.catalog"):
        monkeypatch.setattr(f"{module}.GRADIENTS", rules)
    found = check_gradient(layer("TanH", "", {})[0])
    assert not found.ok and found.rows[0].error > 1e-4


@pytest.mark.parametrize("name", ("Threshold", "ArgMax"))
def test_layers_without_a_gradient_say_so(name: str) -> None:
    with pytest.raises(NetcError) as error:
        check_gradient(layer(name, "", {})[0])
    assert error.value.diagnostics[0].code == "no-gradient"
    assert "layer `op`" in str(error.value)


def test_mean_distances_that_are_weighed_as_losses_are_told_to_have_no_gradient() -> None:
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 5 } } }
    layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } }
    layer { name: "loss" type: "GeneralContrastiveLoss" bottom: "x" bottom: "y"
      top: "loss" top: "mean" loss_weight: 1 loss_weight: WEIGHT }"""
    feeds = {"x": np.random.default_rng(0).random((4, 5)) + 0.1, "y": np.array([0, 4, 2, 1])}
    for weight, noted in (("0", False), ("1", True)):
        found = check_gradient(Source("t", text.replace("WEIGHT", weight)), feeds=feeds)
        (row,) = (row for row in found.rows if row.name == "x")
        assert found.ok and bool(row.note) == noted
