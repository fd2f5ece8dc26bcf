"""Which module of ``netc.ops`` an op is in: that of its family, named by the ops' type strings.

A text imports the families that it names, and no others. A family lists its ops in ``OPS``; what
fields make of a name that forks use for several layers in ``READINGS``; other names of them in
``OTHER_NAMES``. A test holds these tables to those.
"""

from __future__ import annotations

from collections.abc import Mapping

OPS: Mapping[str, str] = {
    "inputs": "Input DummyData Data ImageData WindowData MemoryData HDF5Data Parameter HDF5Output",
    "forks.inputs": (
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
    "forks.pooling3d": "Pooling3D",
    "lrn": "LRN",
    "linear": "InnerProduct Embed",
    "forks.beam_search": "BeamSearchNode",
    "forks.compact_bilinear": "CompactBilinear",
    "forks.landmarks": "Hotspot SubRegion",
    "forks.label_rescale": "LabelSpecificRescale",
    "forks.margin": "MarginInnerProduct LargeMarginInnerProduct",
    "loss": "EuclideanLoss HingeLoss",
    "cross_entropy": "SoftmaxWithLoss MultinomialLogisticLoss SigmoidCrossEntropyLoss",
    "forks.metric_losses": "L1Loss LiftedStructSimilaritySoftmaxLoss",
    "forks.meanfield": "MultiStageMeanfield",
    "forks.dense_crf": "DenseCRF",
    "contrastive_loss": "ContrastiveLoss",
    "infogain_loss": "InfogainLoss",
    "detection.smooth_l1": "SmoothL1Loss SmoothL1LossOHEM",
    "detection.hard_examples": "SoftmaxWithLossOHEM BoxAnnotatorOHEM",
    "accuracy": "Accuracy",
    "forks.accuracy": ("EltwiseAccuracy LabelsequenceAccuracy LabelSpecificAdd AccuracyRegression"),
    "recurrent": "LSTM RNN LSTMUnit",
    "python": "Python",
    "rectifiers": "ReLU ReLU6 PReLU",
    "activation": "ELU Sigmoid TanH AbsVal BNLL Swish Clip Threshold",
    "forks.activation": (
        "Atan Ceil Floor Round Sin Cos Softplus Softsign HardSwish HardTanH Mish HardSigmoid "
        "SeLU SeLu SELU LogSoftmax"
    ),
    "arithmetic": "Power Exp Log",
    "dropout": "Dropout DropPath",
    "forks.guided": "SeLuDropout GuidedDropout Insanity GradientScaler",
    "elementwise": "Eltwise Axpy",
    "scale_bias": "Bias Scale",
    "normalization": "MVN Softmax",
    "batch_norm": "BatchNorm",
    "joining": "Concat Slice Split Silence",
    "reshaping": "Flatten Reshape Tile",
    "cropping": "Crop CropCenter",
    "selection": "BatchReindex Filter",
    "reduction": "ArgMax Reduction",
    "forks.layer_norm": "LayerNorm",
    "forks.locally_connected": "LocallyConnected Local",
    "forks.lp_pooling": "LpPooling",
    "forks.permutation": "Permute ShuffleChannel Reorg",
    "forks.resizing": "Interp",
    "forks.upsampling": "Upsample",
    "forks.maps": "Flip ChannelNorm SpatialProduct GRN InnerDistance UpsampleDarknet",
    "forks.bottom_products": "ChannelScale",
    "forks.label_maps": "BiasChannel UniqueLabel SegAccuracy",
    "forks.normalize": "Normalize",
    "forks.batch_norm": "BN",
    "forks.sequence": "Reverse ContinuationIndicator",
    "forks.lstm": "Lstm CenterLoss",
    "forks.ctc_loss": "CtcLoss",
    "detection.priors": "PriorBox PriorBoxClustered",
    "detection.detection_output": "DetectionOutput",
    "detection.detection_extended": "DetectionOutputExtended",
    "detection.multibox": "MultiBoxLoss MultiBoxFocalLoss",
    "detection.evaluation": "DetectionEvaluate",
    "detection.regions": "ROIPooling PSROIPooling",
    "detection.roi_align": "ROIAlign",
    "detection.instance_masks": "ROIWarping MaskPooling MaskResize",
    "detection.cascade": "DecodeBBox ScaleRoute HardMining",
    "detection.cascade_output": "BoxGroupOutput BoxOutput FrcnnOutput",
    "detection.yolo": "Yolov3DetectionOutput YoloDetectionOutput",
    "detection.yolo_loss": "Yolov3",
    "detection.region_loss": "RegionLoss",
    "detection.region_output": "EvalDetection",
    "detection.yolo_segmentation": "YoloSeg SegmentationEvaluate",
    "forks.flow": "Correlation FlowWarp Resample",
    "forks.warp": "Warp Tiling",
    "forks.unpooling": "Unpooling",
    "detection.cascade_loss": "DetectionGroupLoss DetectionLoss",
    "detection.cascade_accuracy": "DetectionGroupAccuracy DetectionAccuracy BboxAccuracy",
    "detection.proposal": "Proposal",
    "detection.simpler_nms": "SimplerNMS",
    "detection.proposal_target": "ProposalTarget",
    "forks.adaptation": "MMDLoss EntropyLoss OuterProduct",
    "forks.contrast": "TripletLoss GeneralContrastiveLoss XCovLoss",
    "forks.ctc_decoding": "CTCGreedyDecoder",
    "forks.ctc_sequences": "CTCLoss",
    "forks.deformable": "DeformableConvolution",
    "forks.dice": "DiceCoefLoss",
    "forks.face_parts": "Division Combination AUMaskBasedLand",
    "forks.parts": "Sparsify SignedSqrt L2Normalize ScaleFilter MIL",
    "forks.hashing": "ScaleTanH HashingLoss PairwiseLoss",
    "forks.segments": "BatchReduction Gather Scatter",
    "forks.spatial_transformer": "SpatialTransformer",
    "forks.transformer_parts": "STLoss LocLoss PowerFile",
    "forks.soft_targets": "SoftmaxWithCrossEntropyLoss",
    "detection.predict_box": "PredictBox",
    "detection.face_evaluation": "FaceAttriEvaluate",
    "forks.focal_loss": "FocalLoss",
    "forks.lstm_node": "LSTMNode",
    "forks.augmentation": "DataAugmentation",
    "forks.flow_augmentation": "GenerateAugmentationParameters FlowAugmentation",
    "forks.flow_losses": "Downsample LpqLoss",
    "forks.dense_block": "DenseBlock",
    "detection.subcategory": "FeatureExtrapolating HeatmapGenerating",
    "detection.region_generating": "ROIGenerating",
    "detection.weak_supervision": (
        "GlobalSumPooling MulticlassCrossEntropyLoss WeightedSoftmaxWithLoss"
    ),
    "detection.part_regions": "PSROIAlign",
    "detection.region_alignment": "ROIAlignment",
    "forks.face_points": "MultiROIPooling WeightEuclideanLoss",
    "forks.sum_pooling": "SumPooling",
    "forks.noise": "Noise RandomNoise",
    "forks.flagged_loss": "EuclideanLossWithIgnore",
    "forks.ristretto": "ConvolutionRistretto FcRistretto",
    "detection.detectnet_pictures": "DetectNetTransformation",
    "detection.deformable_regions": "DeformablePSROIPooling",
    "forks.warp_ctc": "WarpCTCLoss",
    "forks.project_losses": (
        "CrossEntropyLoss EuclideanLossHeatmap MTCNNEuclideanLoss GraphLinkageLoss"
    ),
    "forks.deep_hashing": "QuantizationLoss",
    "forks.top_k": "TopK",
    "detection.faster_rcnn_output": "FasterRcnnDetectionOutput",
    "forks.wasserstein": "WassersteinLoss",
    "forks.pooling": "SaliencyPooling",
    "detection.frcnn": "FrcnnProposal FrcnnAnchorTarget FrcnnProposalTarget",
    "forks.small_losses": (
        "ManhattanLoss K1_EuclideanLoss K2_EuclideanLoss SigmoidCrossEntropyBalanceLoss"
    ),
    "forks.small_maps": "SpatialSoftmax GroupNorm Norm Normalization Transformation",
    "forks.appearance_flow": "Resize Remap",
    "forks.rank_loss": "RankHardLoss",
    "forks.mirrored_points": "AlignDataTransform EuclideanLoss2 EuclideanLoss3 EuclideanLoss4",
}

# No text can name these.
READINGS: Mapping[str, str] = {
    "rectifiers": "ReLUMask BoundedReLU",
    "forks.ctc_decoding": "CTCGreedyAccuracy",
    "forks.bottom_products": "InnerProductOfBottoms InnerDistanceOfBottoms",
    "cross_entropy": "SoftmaxWithLossEach",
    "forks.normalize_places": "NormalizePlaces",
    "detection.yolo_first": "DetectionLossOfCells",
    "detection.yolo_first_scores": "EvalDetectionOfCells",
    "inputs": "ImageDataOfClasses",
    "normalization": "SoftmaxOfFirst",
    "forks.softmax_weights": "SoftmaxWithLossOfWeights SoftmaxWithLossOfOverlaps",
    "forks.softmax_many_labels": "SoftmaxWithLossOfMany",
    "forks.metric_losses": "SigmoidCrossEntropyLossWeighted",
    "detection.smooth_l1": "SmoothL1LossEach",
    "detection.region_output": "DetectionOutputRegion",
    "detection.evaluation": "DetectionEvaluateRows",
    "detection.proposal": "ProposalOfOne",
    "detection.window_pooling": "ROIPoolingOfWindows",
    "detection.detection_output": "DetectionOutputPixels",
    "detection.detection_corners": "DetectionOutputCorners",
    "forks.sized_upsampling": "UpsampleSized",
    "forks.deep_hashing": "PairwiseLossOfBatch",
    "detection.yolo_boxes": "YoloBoxes",
    "pooling": "PoolingLeast",
    "detection.sampled_regions": "ROIAlignGreatest ROIAlignMean",
}

OTHER_NAMES: Mapping[str, str] = {
    "forks.metric_losses": "SVRLoss",
    "detection.multibox": "MultiBoxSSDLoss",
    "normalization": "VoxelSoftmax",
    "cross_entropy": "VoxelSoftmaxLoss",
    "convolution": (
        "DepthwiseConvolution ConvolutionDepthwise Convolution3D CuDNNDeconvolution "
        "Deconvolution3D NdConvolution"
    ),
    "cropping": "AutoCrop",
    "detection.cascade_loss": "Detection",
    "forks.resizing": "BilinearInterpolation",
    "forks.pooling3d": "NdPooling PoolingND",
    "forks.permutation": "Transpose",
    "linear": "SparseInnerProduct",
    "forks.batch_norm": "SyncBN",
    "elementwise": "Sum Add",
}

# What passes and differentiation make.
MADE: Mapping[str, str] = {
    "reduced": "ReducedConvolution ReducedDeconvolution ReducedInnerProduct Rounding",
    "update": "Update ClipScale",
    "ranks": "StartSum FinishSum StartRows FinishRows",
}
