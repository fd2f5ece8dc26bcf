"""Trained weights: `.caffemodel`, `.caffemodel.h5` and `.npz` <-> named read-only arrays."""

from netc.weights.load import as_weights, load_weights, save_weights
from netc.weights.mean import load_blob, load_mean
from netc.weights.model import LayerWeights, Weights
from netc.weights.upgrade import UpgradedWeights, upgrade_weights

__all__ = [
    "LayerWeights",
    "UpgradedWeights",
    "Weights",
    "as_weights",
    "load_blob",
    "load_mean",
    "load_weights",
    "save_weights",
    "upgrade_weights",
]
