"""The layer types of V0 and V1 caffemodels as today's type strings.

V1 stores a type as a number of the enum V1LayerParameter.LayerType (caffe.proto), V0 as a
lower-case word. Forks gave the numbers from 40 on to types of their own, each differently.
"""

from __future__ import annotations

from netc.migrate.names import V0_TO_V1, v2_type

_V1_IDENTIFIERS = (
    "NONE ACCURACY BNLL CONCAT CONVOLUTION DATA DROPOUT EUCLIDEAN_LOSS FLATTEN HDF5_DATA "
    "HDF5_OUTPUT IM2COL IMAGE_DATA INFOGAIN_LOSS INNER_PRODUCT LRN MULTINOMIAL_LOGISTIC_LOSS "
    "POOLING RELU SIGMOID SOFTMAX SOFTMAX_LOSS SPLIT TANH WINDOW_DATA ELTWISE POWER "
    "SIGMOID_CROSS_ENTROPY_LOSS HINGE_LOSS MEMORY_DATA ARGMAX THRESHOLD DUMMY_DATA SLICE MVN "
    "ABSVAL SILENCE CONTRASTIVE_LOSS EXP DECONVOLUTION"
).split()

V1_TYPES = {number: v2_type(name) for number, name in enumerate(_V1_IDENTIFIERS)}
"""BVLC's V1 type numbers to today's type strings."""

V0_TYPES = {word: v2_type(identifier) for word, identifier in V0_TO_V1.items()}
"""V0 type words to today's type strings."""
