"""NetParameter -> Graph: phase rules, blobs as single-assignment values, parameters by name."""

from netc.lower.lower import Lowered, lower
from netc.lower.rules import State, filter_layers

__all__ = ["Lowered", "State", "filter_layers", "lower"]
