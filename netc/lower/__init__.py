"""Lowering of a NetParameter to a Graph: phase rules, blobs as single-assignment values."""

from netc.lower.lower import LoweredNet, lower
from netc.lower.rules import NetState, filter_layers

__all__ = ["LoweredNet", "NetState", "filter_layers", "lower"]
