"""Source layers, whose tops become inputs of the graph, and how a text tells their shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netc.ir.types import Shape, show
from netc.ops.array import Arrays
from netc.ops.define import (
    Arity,
    OpDef,
    ShapeError,
    full_extent,
)
from netc.ops.filler import Filler
from netc.ops.role import Role

PartialShape = tuple[int | None, ...]
FollowedSize = int | str | None
"""A number, ``N``, ``H`` or ``W`` of the layer's first top, or None where neither is known.

``H/8`` is an eighth of ``H``, rounded, and ``H//8`` rounded down.
"""


class UnknownInputShapeError(ShapeError):
    """A source's parameters do not tell its tops' shapes; its code is unknown-input-shape.

    ``partial`` has one entry for each top: its shape with None for an unknown size, or None where
    not even the number of axes is known.
    """

    def __init__(self, partial: Sequence[PartialShape | None], help: Sequence[str] = ()) -> None:
        known = ", ".join(show(shape) for shape in partial)
        plural = "shapes are" if len(partial) > 1 else "shape is"
        super().__init__(
            f"the text does not tell all of the input's shape; the tops' {plural} {known}",
            help=help,
            code="unknown-input-shape",
        )
        self.partial = tuple(partial)


@dataclass(frozen=True, slots=True)
class SourceParams:
    """The tops' shapes as far as the text tells them.

    Args:
        shapes: one for each top; None for an unknown size or shape.
        fillers: what DummyData fills its tops with when nothing is fed; empty for others.
        help: hints for the error that a shape is unknown.
        follow: for each top its shape in terms of the first top's; None where it does not follow.
        batch: the first size of tops of which nothing else is known; 0 where that is not known.
    """

    shapes: tuple[PartialShape | None, ...]
    fillers: tuple[Filler, ...] = ()
    help: tuple[str, ...] = ()
    follow: tuple[tuple[FollowedSize, ...] | None, ...] = ()
    batch: int = 0

    def completed(
        self, shapes: Sequence[PartialShape | None], partly: bool = False
    ) -> tuple[PartialShape | None, ...]:
        """The tops' shapes, with those that follow from the first top's filled in.

        Args:
            shapes: of all tops, as far as they are given or known.
            partly: also fill in shapes with unknown sizes.
        """
        if not shapes or shapes[0] is None or not shapes[0]:
            return tuple(shapes)
        known = dict(zip(("N", "C", "H", "W"), shapes[0], strict=False))
        filled = list(shapes)
        for index, follow in enumerate(self.follow[: len(shapes)]):
            old = shapes[index]
            if follow is None or (old is not None and None not in old):
                continue
            made = tuple(_followed(s, known) if isinstance(s, str) else s for s in follow)
            if partly or None not in made:
                filled[index] = made
        return tuple(filled)


def _followed(size: str, known: Mapping[str, int | None]) -> int | None:
    """A size of the first top, or that divided."""
    name, _, by = size.partition("/")
    found = known.get(name)
    if found is None or not by:
        return found
    number = int(by.removeprefix("/"))
    return found // number if by.startswith("/") else (2 * found + number) // (2 * number)


def _source_shape(params: SourceParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    known = [
        tuple(size for size in shape if size is not None)
        for shape in params.shapes
        if shape is not None and None not in shape
    ]
    if len(known) < len(params.shapes):
        raise UnknownInputShapeError(params.shapes, params.help)
    return tuple(known)


def _fed(params: SourceParams, inputs: Arrays, weights: Arrays) -> Arrays:
    raise AssertionError("a source is an input of the graph and is never run")


def source_layer(
    name: str,
    tops: tuple[int, int | None],
    parse: Callable[..., SourceParams],
    role: Role = Role.NONE,
) -> OpDef[SourceParams]:
    """The op of a layer type whose tops become inputs of the graph.

    Args:
        name: the layer type.
        tops: how many it has, as (least, most).
        parse: parse rule, which tells the tops' shapes.
        role: see :class:`netc.ops.role.Role`.
    """
    return OpDef(
        name=name,
        arity=Arity((0, 0), tops),
        params=parse,
        shape=_source_shape,
        window=full_extent,
        reference=_fed,
        source=True,
        role=role,
        family="data",
    )
