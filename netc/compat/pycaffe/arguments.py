"""Parses the arguments of ``caffe.Net`` in all forms that versions of pycaffe have accepted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

from netc.arguments import names
from netc.compat.pycaffe.errors import also, raising
from netc.compat.pycaffe.mode import TEST, TRAIN
from netc.diagnostics import Diagnostic, NetcError

_PHASES = {TRAIN: "TRAIN", TEST: "TEST"}
_NAMES = ("phase", "level", "stages", "weights")


class NetArguments(NamedTuple):
    """A net's NetState, and the path of its weights."""

    phase: str
    level: int
    stages: tuple[str, ...]
    weights: str | PathLike[str] | None


def state(positional: Sequence[object], named: dict[str, Any]) -> NetArguments:
    """The arguments after the prototxt, in any of pycaffe's forms (_caffe.cpp, Net_Init).

    They are ``phase, level, stages, weights``, or of old ``weights, phase``; a net without a phase
    is for TEST, as it was before there were phases.

    Raises:
        NetcError: bad-argument.
    """
    values = [path_of(value) for value in positional]
    given: dict[str, Any] = {}
    if values and isinstance(values[0], (str, PathLike)) and values[0] not in ("TRAIN", "TEST"):
        given["weights"] = values.pop(0)
    if len(values) > len(_NAMES):
        raise _bad(f"`Net` takes a prototxt and {', '.join(_NAMES)}; {len(positional)} are given")
    given |= dict(zip(_NAMES, values, strict=False))
    given |= {name: value for name, value in named.items() if value is not None}
    phase = given.get("phase", TEST)
    if not isinstance(phase, int) or phase not in _PHASES:
        raise also(_bad(f"`phase` is caffe.TEST or caffe.TRAIN, not {phase!r}"), TypeError)
    with raising(TypeError):
        stages = names(given.get("stages") or (), "stages")
    return NetArguments(
        _PHASES[phase], given.get("level") or 0, stages, path_of(given.get("weights"))
    )


def path_of(given: Any) -> Any:
    """An argument; a path given as bytes, which pycaffe takes too, as text."""
    return os.fsdecode(given) if isinstance(given, bytes) else given


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message))
