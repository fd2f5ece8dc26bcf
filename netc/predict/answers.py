"""Converts a net's outputs to output columns: the top-k scores, boxes, or blobs as they are.

Every output format can hold these columns. Scores give ``BLOB_class`` (int64) and ``BLOB_score``
(float32) of the k best classes. Boxes give ``BLOB_class``, ``BLOB_score`` and ``BLOB_box``, one
entry for each box: left, top, right and bottom in pixels of the picture. Any other blob gives its
values. With labels there is also ``BLOB_label``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from netc.ir.graph import Array
from netc.ir.types import Shape, count
from netc.ops.array import AnyArray
from netc.predict.decode import FAULT, INDEX, NAME, PLACE
from netc.predict.predictor import Predictor

Kind = Literal["integer", "number", "text"]


class OutputColumn(NamedTuple):
    """A column of the output.

    ``shape`` is the shape of one row; None where rows differ in length.
    """

    name: str
    kind: Kind
    shape: Shape | None = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts of the outputs are kept.

    Args:
        top: how many of the best scores are kept; 0 keeps all values.
        whole: blobs of which all values are kept.
        labels: label of each class, by its index.
        least: the smallest score of a box that is kept.
    """

    top: int = 5
    whole: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Keeper:
    """Converts a predictor's outputs to output columns; can be pickled for a worker.

    Args:
        shapes: output blob -> the shape of one row.
        boxes: the outputs that are rows of boxes (DetectionOutput).
        wanted: which parts are kept.
    """

    shapes: Mapping[str, Shape]
    boxes: frozenset[str]
    wanted: Wanted

    def fields(self) -> list[OutputColumn]:
        """The columns of the output, in order."""
        found = [OutputColumn(INDEX, "integer"), OutputColumn(NAME, "text")]
        for name in self.shapes:
            found += self._fields(name)
        return found

    def _fields(self, name: str) -> list[OutputColumn]:
        many = name in self.boxes
        if not many and not self._scored(name):
            return [OutputColumn(name, "number", self.shapes[name])]
        shape = None if many else (min(self.wanted.top, count(self.shapes[name])),)
        found = [OutputColumn(f"{name}_class", "integer", shape)]
        if self.wanted.labels:
            found.append(OutputColumn(f"{name}_label", "text", shape))
        found.append(OutputColumn(f"{name}_score", "number", shape))
        return [*found, OutputColumn(f"{name}_box", "number", None)] if many else found

    def _scored(self, name: str) -> bool:
        """Whether the best of an output are kept: one score for each class."""
        shape = self.shapes[name]
        scores = count(shape) > 1 and all(size == 1 for size in shape[1:])
        return scores and self.wanted.top > 0 and name not in self.wanted.whole

    def numbers(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The output columns of a predictor's columns, all numeric: without the labels."""
        found = {name: columns[name] for name in (INDEX, NAME, FAULT)}
        for name in self.shapes:
            if name in self.boxes:
                found.update(self._boxes(name, columns[name], columns[PLACE]))
            elif self._scored(name):
                found.update(_best(name, columns[name], self.wanted.top))
            else:
                found[name] = columns[name]
        return found

    def _boxes(self, name: str, boxes: Sequence[Array], places: Array) -> dict[str, object]:
        rows = [self._sorted(np.asarray(b, np.float32).reshape(-1, 6)) for b in boxes]
        sides = [_placed(b[:, 2:], place) for b, place in zip(rows, places, strict=True)]
        return {
            f"{name}_class": _objects([b[:, 0].astype(np.int64) for b in rows]),
            f"{name}_score": _objects([b[:, 1] for b in rows]),
            f"{name}_box": _objects(sides),
        }

    def _sorted(self, boxes: Array) -> Array:
        kept = boxes[boxes[:, 1] >= self.wanted.least]
        return kept[np.argsort(-kept[:, 1], kind="stable")]

    def labelled(self, columns: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """The columns with labels beside the classes."""
        labels = self.wanted.labels
        for field in self.fields():
            if field.kind == "text" and field.name not in columns:
                classes = columns[field.name.removesuffix("_label") + "_class"]
                columns[field.name] = _objects(
                    [[_label(labels, c) for c in row] for row in classes]
                )
        return columns


def answered(
    predictor: Predictor, keeper: Keeper, columns: Mapping[str, AnyArray]
) -> dict[str, Any]:
    """Run decoded columns through the predictor and convert the result to output columns.

    Records that could not be read are rows of zeros, so that the number of rows is kept.
    """
    faults = columns[FAULT]
    good = np.flatnonzero(faults == "")
    read = {n: c if len(good) == len(faults) else c[good] for n, c in columns.items()}
    if len(good):
        answers = keeper.numbers(predictor(read))
    else:
        answers = keeper.numbers({**read, **_none(keeper)})
    if len(good) == len(faults):
        return answers
    whole = {name: _spread(column, good, len(faults)) for name, column in answers.items()}
    return {**whole, **{name: columns[name] for name in (INDEX, NAME, FAULT)}}


def _none(keeper: Keeper) -> dict[str, object]:
    """Answers of no rows."""
    return {
        name: np.empty(0, object) if name in keeper.boxes else np.empty((0, *shape), np.float32)
        for name, shape in keeper.shapes.items()
    }


def _spread(column: AnyArray, rows: AnyArray, number: int) -> AnyArray:
    """A column's rows at their places among others, which are zeros or empty."""
    if column.dtype == object:
        found = _objects([np.zeros(_empty(column), _dtype(column)) for _ in range(number)])
    else:
        found = np.zeros((number, *column.shape[1:]), column.dtype)
    found[rows] = column
    return found


def _empty(column: AnyArray) -> Shape:
    return (0, *np.shape(column[0])[1:]) if len(column) else (0,)


def _dtype(column: AnyArray) -> Any:
    return np.asarray(column[0]).dtype if len(column) else np.float32


def _best(name: str, scores: Array, top: int) -> dict[str, object]:
    flat = scores.reshape(len(scores), math.prod(scores.shape[1:]))
    best = np.argsort(-flat, axis=1, kind="stable")[:, :top]
    return {
        f"{name}_class": best.astype(np.int64),
        f"{name}_score": np.take_along_axis(flat, best, 1),
    }


def _placed(boxes: Array, place: Array) -> Array:
    """Boxes in a picture's pixels; in parts of the input where there is no picture."""
    left, top, width, height = place
    scale = np.array([width, height, width, height])
    return np.asarray(boxes * scale + np.array([left, top, left, top]), np.float32)


def _label(labels: Sequence[str], number: int) -> str:
    return labels[number] if 0 <= number < len(labels) else ""


def _objects(rows: Sequence[object]) -> AnyArray:
    found = np.empty(len(rows), object)
    for index, row in enumerate(rows):
        found[index] = row
    return found
