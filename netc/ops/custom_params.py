"""What a registered layer type's definition and gradient are both given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

from netc.diagnostics import Diagnostic, NetcError


@dataclass(frozen=True, slots=True)
class CustomParams:
    """A layer's fields as they are written, or by their defaults, and its phase."""

    type: str
    fields: tuple[tuple[str, object], ...]
    tops: int
    phase: str


@cache
def values_of(params: CustomParams) -> SimpleNamespace:
    """The fields as attributes, and the phase."""
    return SimpleNamespace(**{"phase": params.phase, **dict(params.fields)})


_NUMBER_OF_WEIGHTS: dict[CustomParams, int] = {}


def keep_number_of_weights(params: CustomParams, number: int) -> None:
    """Remember how many trained arrays a layer of these parameters has."""
    _NUMBER_OF_WEIGHTS[params] = number


def number_of_weights(params: CustomParams) -> int:
    """How many trained arrays a layer of these parameters has; known once shapes are inferred."""
    return _NUMBER_OF_WEIGHTS.get(params, 0)


def fault_of(type: str, what: str, error: Exception) -> NetcError:
    """What a function of a registered type raised."""
    told = f"`{what}` of layer type `{type}` raised {error.__class__.__name__}: {error}"
    return NetcError(Diagnostic("python-layer", told))
