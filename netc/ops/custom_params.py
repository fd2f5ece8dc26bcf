"""The parameters that a registered layer type's definition and gradient share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

from netc.diagnostics import Diagnostic, NetcError


@dataclass(frozen=True, slots=True)
class CustomParams:
    """A registered layer's fields, as the text gives them or by their defaults, and its phase.

    Args:
        type: the layer type.
        fields: (name, value) in the order they were registered.
        tops: how many tops the layer has.
        phase: "TRAIN" or "TEST".
    """

    type: str
    fields: tuple[tuple[str, object], ...]
    tops: int
    phase: str


@cache
def values_of(params: CustomParams) -> SimpleNamespace:
    """What the user's functions get as ``fields``: an attribute for each field, and ``phase``."""
    return SimpleNamespace(**{"phase": params.phase, **dict(params.fields)})


_NUMBER_OF_WEIGHTS: dict[CustomParams, int] = {}


def keep_number_of_weights(params: CustomParams, number: int) -> None:
    """Record how many trained arrays a layer of these parameters has."""
    _NUMBER_OF_WEIGHTS[params] = number


def number_of_weights(params: CustomParams) -> int:
    """How many trained arrays a layer of these parameters has; 0 before shapes are inferred."""
    return _NUMBER_OF_WEIGHTS.get(params, 0)


def fault_of(type: str, what: str, error: Exception) -> NetcError:
    """The error ``python-layer``, to be raised, for what a function of a registered type raised.

    Args:
        type: the layer type.
        what: the function: "compute", "shape", "gradient", "weights" or "kernel".
        error: what it raised.
    """
    message = f"`{what}` of layer type `{type}` raised {error.__class__.__name__}: {error}"
    return NetcError(Diagnostic("python-layer", message))
