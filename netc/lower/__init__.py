"""Lowering of a NetParameter to a Graph: phase rules, blobs as single-assignment values."""

from netc.lower.lower import Lowered, lower
from netc.lower.rules import State, filter_layers

__all__ = ["Lowered", "State", "filter_layers", "lower"]
