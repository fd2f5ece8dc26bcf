"""Which module of ``netc.ops`` an op is in: that of its family, named by the ops' type strings.

A text imports the families that it names, and no others. A family lists its ops in ``OPS``; what
fields make of a name that forks use for several layers in ``READINGS``; other names of them in
``OTHER_NAMES``. A test holds these tables to those.
"""

from __future__ import annotations

from collections.abc import Mapping

OPS: Mapping[str, str] = {
    "inputs": "Input DummyData Data ImageData WindowData MemoryData HDF5Data Parameter HDF5Output",
    "fork_inputs": (
        "RandVec AnnotatedData BinaryData BoxData CPMData CompactData DataHeatmap DataVariableSize "
        "DenseImageData DetectionData DocData EvalData FloatData FrcnnRoiData FrcnnVidData "
        "ImageFloatData ImageGtData ImageLabelmapData ImageSegData MILData MatRead "
        "MultiLabelImageData OPData SelectSegBinary SparseData VideoData WindowClsData "
        "WindowSegData MatWrite FLOWriter ImgWriter"
    ),
    "convolution": "Convolution Deconvolution",
    "im2col": "Im2col",
    "pooling": "Pooling",
    "spp": "SPP",
    "pooling3d": "Pooling3D",
    "lrn": "LRN",
    "linear": "InnerProduct Embed",
    "beam_search": "BeamSearchNode",
    "compact_bilinear": "CompactBilinear",
    "landmarks": "Hotspot SubRegion",
    "label_rescale": "LabelSpecificRescale",
    "margin": "MarginInnerProduct LargeMarginInnerProduct",
    "loss": "EuclideanLoss HingeLoss",
    "cross_entropy": "SoftmaxWithLoss MultinomialLogisticLoss SigmoidCrossEntropyLoss",
    "metric_losses": "L1Loss LiftedStructSimilaritySoftmaxLoss",
    "meanfield": "MultiStageMeanfield",
    "dense_crf": "DenseCRF",
    "contrastive_loss": "ContrastiveLoss",
    "infogain_loss": "InfogainLoss",
    "smooth_l1": "SmoothL1Loss SmoothL1LossOHEM",
    "hard_examples": "SoftmaxWithLossOHEM BoxAnnotatorOHEM",
    "accuracy": "Accuracy",
    "fork_accuracy": ("EltwiseAccuracy LabelsequenceAccuracy LabelSpecificAdd AccuracyRegression"),
    "recurrent": "LSTM RNN LSTMUnit",
    "python": "Python",
    "rectifiers": "ReLU ReLU6 PReLU",
    "activation": "ELU Sigmoid TanH AbsVal BNLL Swish Clip Threshold",
    "fork_activation": (
        "Atan Ceil Floor Round Sin Cos Softplus Softsign HardSwish HardTanH Mish HardSigmoid "
        "SeLU SeLu SELU LogSoftmax"
    ),
    "arithmetic": "Power Exp Log",
    "dropout": "Dropout DropPath",
    "guided": "SeLuDropout GuidedDropout Insanity GradientScaler",
    "elementwise": "Eltwise Axpy",
    "scale_bias": "Bias Scale",
    "normalization": "MVN Softmax",
    "batch_norm": "BatchNorm",
    "joining": "Concat Slice Split Silence",
    "reshaping": "Flatten Reshape Tile",
    "cropping": "Crop CropCenter",
    "selection": "BatchReindex Filter",
    "reduction": "ArgMax Reduction",
    "layer_norm": "LayerNorm",
    "locally_connected": "LocallyConnected Local",
    "lp_pooling": "LpPooling",
    "permutation": "Permute ShuffleChannel Reorg",
    "resizing": "Interp",
    "upsampling": "Upsample",
    "fork_maps": "Flip ChannelNorm SpatialProduct GRN InnerDistance UpsampleDarknet",
    "bottom_products": "ChannelScale",
    "fork_labels": "BiasChannel UniqueLabel SegAccuracy",
    "fork_normalization": "Normalize",
    "fork_batch_norm": "BN",
    "sequence": "Reverse ContinuationIndicator",
    "fork_sequence": "Lstm CenterLoss",
    "ctc_loss": "CtcLoss",
    "priors": "PriorBox PriorBoxClustered",
    "detection": "DetectionOutput",
    "detection_extended": "DetectionOutputExtended",
    "multibox": "MultiBoxLoss MultiBoxFocalLoss",
    "evaluation": "DetectionEvaluate",
    "regions": "ROIPooling PSROIPooling",
    "roi_align": "ROIAlign",
    "instance_masks": "ROIWarping MaskPooling MaskResize",
    "cascade": "DecodeBBox ScaleRoute HardMining",
    "cascade_output": "BoxGroupOutput BoxOutput FrcnnOutput",
    "yolo": "Yolov3DetectionOutput YoloDetectionOutput",
    "yolo_loss": "Yolov3",
    "region_loss": "RegionLoss",
    "region_output": "EvalDetection",
    "yolo_segmentation": "YoloSeg SegmentationEvaluate",
    "flow": "Correlation FlowWarp Resample",
    "warp": "Warp Tiling",
    "unpooling": "Unpooling",
    "cascade_loss": "DetectionGroupLoss DetectionLoss",
    "cascade_accuracy": "DetectionGroupAccuracy DetectionAccuracy BboxAccuracy",
    "proposal": "Proposal",
    "simpler_nms": "SimplerNMS",
    "proposal_target": "ProposalTarget",
    "adaptation": "MMDLoss EntropyLoss OuterProduct",
    "contrast": "TripletLoss GeneralContrastiveLoss XCovLoss",
    "ctc_decoding": "CTCGreedyDecoder",
    "ctc_sequences": "CTCLoss",
    "deformable": "DeformableConvolution",
    "dice": "DiceCoefLoss",
    "face_parts": "Division Combination AUMaskBasedLand",
    "fork_parts": "Sparsify SignedSqrt L2Normalize ScaleFilter MIL",
    "hashing": "ScaleTanH HashingLoss PairwiseLoss",
    "segments": "BatchReduction Gather Scatter",
    "spatial_transformer": "SpatialTransformer",
    "transformer_parts": "STLoss LocLoss PowerFile",
    "soft_targets": "SoftmaxWithCrossEntropyLoss",
    "predict_box": "PredictBox",
    "focal_loss": "FocalLoss",
    "lstm_node": "LSTMNode",
    "augmentation": "DataAugmentation",
    "flow_augmentation": "GenerateAugmentationParameters FlowAugmentation",
    "flow_losses": "Downsample LpqLoss",
    "dense_block": "DenseBlock",
    "subcategory": "FeatureExtrapolating HeatmapGenerating",
    "region_generating": "ROIGenerating",
    "weak_supervision": "GlobalSumPooling MulticlassCrossEntropyLoss WeightedSoftmaxWithLoss",
    "part_regions": "PSROIAlign",
    "region_alignment": "ROIAlignment",
    "face_points": "MultiROIPooling WeightEuclideanLoss",
    "sum_pooling": "SumPooling",
    "noise": "Noise",
    "detectnet_pictures": "DetectNetTransformation",
    "deformable_regions": "DeformablePSROIPooling",
    "warp_ctc": "WarpCTCLoss",
    "project_losses": ("CrossEntropyLoss EuclideanLossHeatmap MTCNNEuclideanLoss GraphLinkageLoss"),
    "deep_hashing": "QuantizationLoss",
    "top_k": "TopK",
    "faster_rcnn_output": "FasterRcnnDetectionOutput",
    "wasserstein": "WassersteinLoss",
    "fork_pooling": "SaliencyPooling",
    "frcnn": "FrcnnProposal FrcnnAnchorTarget FrcnnProposalTarget",
    "small_losses": (
        "ManhattanLoss K1_EuclideanLoss K2_EuclideanLoss SigmoidCrossEntropyBalanceLoss"
    ),
    "small_maps": "SpatialSoftmax GroupNorm Norm Normalization Transformation",
    "tent": "Resize Remap",
}

# No text can name these.
READINGS: Mapping[str, str] = {
    "rectifiers": "ReLUMask BoundedReLU",
    "ctc_decoding": "CTCGreedyAccuracy",
    "bottom_products": "InnerProductOfBottoms InnerDistanceOfBottoms",
    "cross_entropy": "SoftmaxWithLossEach",
    "normalize_places": "NormalizePlaces",
    "yolo_first": "DetectionLossOfCells",
    "inputs": "ImageDataOfClasses",
    "normalization": "SoftmaxOfFirst",
    "softmax_weights": "SoftmaxWithLossOfWeights SoftmaxWithLossOfOverlaps",
    "metric_losses": "SigmoidCrossEntropyLossWeighted",
    "smooth_l1": "SmoothL1LossEach",
    "region_output": "DetectionOutputRegion",
    "evaluation": "DetectionEvaluateRows",
    "proposal": "ProposalOfOne",
    "window_pooling": "ROIPoolingOfWindows",
    "detection_corners": "DetectionOutputCorners",
    "sized_upsampling": "UpsampleSized",
    "deep_hashing": "PairwiseLossOfBatch",
    "yolo_boxes": "YoloBoxes",
    "pooling": "PoolingLeast",
    "sampled_regions": "ROIAlignGreatest ROIAlignMean",
}

OTHER_NAMES: Mapping[str, str] = {
    "metric_losses": "SVRLoss",
    "normalization": "VoxelSoftmax",
    "cross_entropy": "VoxelSoftmaxLoss",
    "convolution": (
        "DepthwiseConvolution ConvolutionDepthwise Convolution3D CuDNNDeconvolution "
        "Deconvolution3D NdConvolution"
    ),
    "cropping": "AutoCrop",
    "cascade_loss": "Detection",
    "resizing": "BilinearInterpolation",
    "pooling3d": "NdPooling PoolingND",
    "permutation": "Transpose",
    "linear": "SparseInnerProduct",
    "fork_batch_norm": "SyncBN",
    "elementwise": "Sum",
}

# What passes and differentiation make.
MADE: Mapping[str, str] = {
    "reduced": "ReducedConvolution ReducedDeconvolution ReducedInnerProduct Rounding",
    "update": "Update ClipScale",
    "ranks": "StartSum FinishSum StartRows FinishRows",
}
