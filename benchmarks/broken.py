"""Public nets of the corpus that no Caffe runs as they stand, and why; they do not count."""

from __future__ import annotations

from collections.abc import Mapping

TEMPLATE = "a template, whose numbers a script fills in"
PART = "a part of a net, whose first layers are elsewhere"
NO_LABEL = "a layer reads a label that nothing makes in a net to deploy"
OTHER_TOOL = "written for a tool that draws nets; Caffe has no such layer or number of bottoms"
TEXT = "not a text that Caffe's parser takes"

_PULL = "BVLC+caffe/@pull-"
_NORMFACE = "happynear+NormFace/prototxt/"
_ACTIONS = "opencv+training_toolbox_caffe/models/"
_ACTION_TEMPLATES = f"{_ACTIONS}templates/person_detection_action_recognition_N_classes/templates/"
_PWC = "NVlabs+PWC-Net/Caffe/model/"
_SSD = "chuanqi305+MobileNet-SSD/template/MobileNetSSD_"
_NETSCOPE = "dgschwend+netscope/presets/"
_YOLO = "gklz1982+caffe-yolov2/examples/indoor/"
_WINDOWS = "happynear+caffe-windows/"

BROKEN: Mapping[str, str] = {
    "AlfredXiangWu+face_verification_experiment/proto/LightenedCNN_B_deploy.prototxt": NO_LABEL,
    "BVLC+caffe/@pull-1378/examples/lsp_pose/caffenet-pose-lsp-train-val.prototxt": (
        "a layer makes one blob twice"
    ),
    "BVLC+caffe/@pull-3419/examples/siamese/mnist_siamese_train_test.prototxt": TEXT,
    "BVLC+caffe/@pull-3419/models/bvlc_googlenet/train_val.prototxt": TEXT,
    **{
        f"{_PULL}196/{name}.prototxt": "its memory_data takes a bottom for each top, and has none"
        for name in ("examples/lenet/lenet", "models/imagenet")
    },
    "peteanderson80+bottom-up-attention/models/vg/VGG16/faster_rcnn_end2end_attr/train.prototxt": (
        "its SigmoidCrossEntropyLoss compares 1000 scores of each region with 16 labels of each "
        "positive, whose numbers no Caffe takes"
    ),
    f"{_PULL}216/examples/deepface/deepface_train.prototxt": (
        "its release has no `locally_connected`, and a kernel of 5 is asked for on 4 rows"
    ),
    f"{_PULL}244/examples/new_data_layer/imagenet_train.prototxt": (
        "`data_blob` is in no message and no layer of its release"
    ),
    **{
        f"{_PULL}601/examples/voc2012-spatial-pyramid-pooling/spp_net_region_classifier_{name}"
        ".prototxt": "its data layer reads one record for ever, and never shapes its tops"
        for name in ("test", "train")
    },
    f"{_PULL}1278/examples/siamese/mnist_siamese_train_test.prototxt": (
        "4 bottoms of ContrastiveLoss without `label_type: CATEGORY`, at which it stops"
    ),
    "BVLC+caffe/@tag-v0.9999/examples/cifar10/cifar10_full.prototxt": (
        "`norm_region` in `pooling_param`, a field that no release has there"
    ),
    **{
        f"{_PWC}{name}": TEMPLATE
        for name in (
            "PWC-Net_plus/PWC-Net_plus_kitti/model/test.prototxt",
            "PWC-Net_plus/PWC-Net_plus_sintel/model/test.prototxt",
            "PyCaffe/test_end.prototxt",
            "PyCaffe/test_start.prototxt",
            "pwc_net_test.prototxt",
        )
    },
    **{f"{_SSD}{name}_template.prototxt": TEMPLATE for name in ("deploy", "test", "train")},
    **{
        f"{_NETSCOPE}{name}.prototxt": OTHER_TOOL
        for name in (
            "fasterRCNN_AlexNet", "fasterRCNN_ResNet", "fasterRCNN_VGG", "fasterRCNN_ZynqNet",
            "fcn-16s", "inceptionv3", "inceptionv4", "inceptionv4_resnet",
        )
    },
    f"{_NETSCOPE}vgg-16.prototxt": "layers of two formats, of which Caffe drops one",
    f"{_YOLO}eval_detection/deploy_output.prototxt~": NO_LABEL,
    f"{_YOLO}eval_detection/indoor.prototxt~": "a loss without a label",
    **{
        f"{_NORMFACE}{name}.prototxt": PART
        for name in (
            "combine_softmax_contrastive", "normalized_Euclidean_contrastive",
            "normalized_Euclidean_triplet", "scaled_cosine_softmax",
        )
    },
    f"{_WINDOWS}@experiment/src/caffe/test/inner_distance_layer.prototxt": (
        "more `param` than the layer has parameters, at which Caffe stops"
    ),
    f"{_WINDOWS}@master/examples/GoogLeNet/googlenet_deploy.prototxt": NO_LABEL,
    f"{_WINDOWS}@master/examples/pycaffe/Inception-ResNet-v1.prototxt": TEXT,
    f"{_WINDOWS}@master/examples/pycaffe/Inception_ResNet_v2.prototxt": (
        "blobs of 56 and 55 rows are joined, at which Caffe stops"
    ),
    "lim0606+caffe-googlenet-bn/deploy.prototxt": TEXT,
    f"{_ACTIONS}person_detection_action_recognition_teacher/deploy.prototxt": TEXT,
    **{
        f"{_ACTION_TEMPLATES}{name}.prototxt.j2": TEMPLATE
        for name in (
            "deploy", "intermediate_models/ie_conversion", "intermediate_models/inference", "train",
        )
    },
    "soeaver+caffe-model/det/faster_rcnn/models/coco/air101/rpn_rcnn_deploys/"
    "rpn_deploy_faster_coco_air101-merge-fc2-multigrid.prototxt": (
        "a reshape that the map's channels do not fit, at which Caffe stops"
    ),
}  # fmt: skip
