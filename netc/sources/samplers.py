"""SSD's batch samplers: crops that overlap with some object (weiliu89/caffe@ssd, sampler.cpp)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from netc.diagnostics import NetcError
from netc.schema.message import Message
from netc.sources.base import DataLayer, check_known
from netc.sources.boxes import Box

_MAX_TRIALS = 10_000  # for one picture

_FIELDS = ("use_original_image", "sampler", "sample_constraint", "max_sample", "max_trials")
_SHAPE = ("min_scale", "max_scale", "min_aspect_ratio", "max_aspect_ratio")

Limits = tuple[float | None, float | None]  # least and greatest

_MEASURES: Mapping[str, Callable[[Box, Box], np.float32]] = MappingProxyType(
    {
        "jaccard_overlap": lambda crop, thing: crop.overlap(thing),
        "sample_coverage": lambda crop, thing: crop.covered(thing),
        "object_coverage": lambda crop, thing: thing.covered(crop),
    }
)
"""The constraints, in the order in which they are looked at."""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws crops of a picture, and keeps those that meet a constraint.

    Args:
        scale: least and greatest side of a square crop, in parts of the picture.
        aspect: least and greatest width over height.
        limits: name of a constraint -> its limits.
        most: how many crops are kept; None for as many as there are.
        trials: how many are drawn.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    aspect: tuple[float, float] = (1.0, 1.0)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    most: int | None = None
    trials: int = 100

    def crops(self, things: Sequence[Box], generator: np.random.Generator) -> list[Box]:
        """The crops that are kept, given the boxes of the picture's objects."""
        found: list[Box] = []
        for _ in range(self.trials):
            if self.most is not None and len(found) >= self.most:
                break
            crop = self.drawn(generator)
            if self.accepts(crop, things):
                found.append(crop)
        return found

    def drawn(self, generator: np.random.Generator) -> Box:
        """A crop whose shape is one that fits on the picture at its scale."""
        one = np.float32(1)
        scale = np.float32(generator.uniform(*self.scale))
        aspect = np.float32(generator.uniform(*self.aspect))
        aspect = min(max(aspect, scale * scale), one / (scale * scale))
        width, height = scale * np.sqrt(aspect), scale / np.sqrt(aspect)
        left = np.float32(generator.uniform(0, max(0.0, float(one - width))))
        top = np.float32(generator.uniform(0, max(0.0, float(one - height))))
        return Box(left, top, left + width, top + height)

    def accepts(self, crop: Box, things: Sequence[Box]) -> bool:
        """Whether some object meets the constraints (SatisfySampleConstraint).

        As there, an object that meets an earlier constraint and no later one is enough where it is
        followed by no object that could decide.
        """
        if not self.limits:
            return True
        found = False
        for thing in things:
            missed = False
            for name, measure in _MEASURES.items():
                if name in self.limits:
                    if not _within(measure(crop, thing), self.limits[name]):
                        missed = True
                        break
                    found = True
            if found and not missed:
                return True
        return found


def _within(value: np.float32, limits: Limits) -> bool:
    least, most = limits
    above = least is None or bool(value >= np.float32(least))
    return above and (most is None or bool(value <= np.float32(most)))


def read_samplers(source: DataLayer) -> tuple[Sampler, ...]:
    """The batch samplers of an AnnotatedData layer; one without the original image draws nothing.

    Raises:
        NetcError: out-of-range, at a scale, an aspect ratio or a number of trials;
            unsupported-data-field, at a field of other forks.
    """
    param = source.layer.get("annotated_data_param")
    check_known(source, param, ("batch_sampler", "label_map_file", "anno_type"))
    written = param.get("batch_sampler")
    return tuple(_sampler(source, one) for one in written if one.get("use_original_image"))


def _sampler(source: DataLayer, written: Message) -> Sampler:
    check_known(source, written, _FIELDS)
    shape, constraint = written.get("sampler"), written.get("sample_constraint")
    check_known(source, shape, _SHAPE)
    check_known(source, constraint, [f"{end}_{n}" for n in _MEASURES for end in ("min", "max")])
    scale = shape.get("min_scale"), shape.get("max_scale")
    aspect = shape.get("min_aspect_ratio"), shape.get("max_aspect_ratio")
    if not 0 < scale[0] <= scale[1] <= 1:
        given = f"scales are {scale[0]:g} to {scale[1]:g}"
        raise _bad(source, shape, "max_scale", given, "they rise, above 0 and at most to 1")
    if not 0 < aspect[0] <= aspect[1] < float("inf"):
        given = f"aspect ratios are {aspect[0]:g} to {aspect[1]:g}"
        raise _bad(source, shape, "max_aspect_ratio", given, "they rise, above 0")
    trials = int(written.get("max_trials"))
    if trials > _MAX_TRIALS:
        given = f"`max_trials` is {trials:,}"
        raise _bad(source, written, "max_trials", given, f"it is at most {_MAX_TRIALS:,}")
    limits: dict[str, Limits] = {}
    for name in _MEASURES:
        ends = constraint.optional(f"min_{name}"), constraint.optional(f"max_{name}")
        if ends != (None, None):
            limits[name] = ends
    most = written.optional("max_sample")
    return Sampler(scale, aspect, limits, most, trials)


def _bad(source: DataLayer, at: Message, name: str, given: str, rule: str) -> NetcError:
    message = f"layer `{source.name}` (AnnotatedData): {given}"
    return at.error(name, "out-of-range", message, rule)
