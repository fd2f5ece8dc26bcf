"""Boxes that a detection net found: rows of DetectionOutput, in the pixels of the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netc.cli.feeds import Picture
from netc.diagnostics import Diagnostic, NetcError, counted
from netc.files import replacing
from netc.ir.graph import Array, Graph
from netc.ops.catalog import has_role
from netc.ops.role import Role

_COLUMNS = 7  # item, label, score, left, top, right, bottom; the last four from 0 to 1
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075")


class Box(NamedTuple):
    """A box in a picture: pixels, or parts of the input where its picture is not known."""

    item: int
    kind: int
    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        label = {"label": self.label} if self.label else {}
        box = [round(side, 4) for side in self[4:]]
        return {"item": self.item, "index": self.kind, **label, "score": self.score, "box": box}


def detections(graph: Graph) -> frozenset[str]:
    """The outputs that hold rows of boxes."""
    makers = graph.producers
    return frozenset(
        name
        for name in graph.outputs
        if name in makers and has_role(makers[name].op, Role.DETECTIONS)
    )


def boxes_of(rows: Array, labels: Sequence[str], pictures: Sequence[Picture | None]) -> list[Box]:
    """The boxes of a DetectionOutput's rows, those of each item by their scores.

    A row whose item is negative says that nothing was found.
    """
    found = []
    for row in np.asarray(rows, np.float64).reshape(-1, _COLUMNS):
        item, index = int(row[0]), int(row[1])
        if item < 0:
            continue
        label = labels[index] if 0 <= index < len(labels) else ""
        picture = pictures[item] if item < len(pictures) else None
        sides = picture.placed(*row[3:]) if picture else tuple(row[3:])
        found.append(Box(item, index, label, float(row[2]), *sides))
    return sorted(found, key=lambda box: (box.item, -box.score))


def told(name: str, boxes: Sequence[Box], items: Sequence[str], least: float) -> list[str]:
    """Lines for a person: the boxes of each item, those of small score counted."""
    lines = []
    for number in range(max(1, len(items))):
        own = [box for box in boxes if box.item == number]
        shown = [box for box in own if box.score >= least]
        of = f" of {items[number]}" if number < len(items) else ""
        lines.append(f"{name}{of}: {counted(len(shown), 'box').replace('boxs', 'boxes')}")
        lines += [_line(box) for box in shown]
        if len(own) > len(shown):
            lines.append(f"  and {len(own) - len(shown)} of a score below {least:g} (--threshold)")
    return lines


def _line(box: Box) -> str:
    digits = 0 if max(box[4:]) > 2 else 3
    sides = [f"{side:.{digits}f}" for side in box[4:]]
    where = f"{sides[0]},{sides[1]} to {sides[2]},{sides[3]}"
    return f"  {box.score:9.4f}  {box.kind:4}  {box.label + '  ' if box.label else ''}{where}"


def draw(target: Path, boxes: Sequence[Box], pictures: Sequence[Picture], least: float) -> None:
    """Draw boxes into copies of the pictures: one file, or one for each in a folder.

    Raises:
        NetcError: nothing-to-draw, cannot-write.
    """
    if not pictures:
        raise NetcError(Diagnostic("nothing-to-draw", "no picture is fed that could be drawn into"))
    if len(pictures) == 1 and not target.is_dir():
        _draw(target, [box for box in boxes if box.score >= least], pictures[0])
        return
    if target.suffix and not target.is_dir():
        message = f"there are {len(pictures)} pictures, and `{target}` is one file"
        raise NetcError(Diagnostic("nothing-to-draw", message, help=("name a folder",)))
    target.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        own = [box for box in boxes if box.item == number and box.score >= least]
        _draw(target / Path(picture.name).with_suffix(".png").name, own, picture)


def _draw(path: Path, boxes: Sequence[Box], picture: Picture) -> None:
    from PIL import Image, ImageDraw

    from netc.images import load_image

    pixels = np.rint(load_image(picture.path) * 255).astype(np.uint8).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    pen, width = ImageDraw.Draw(image), max(1, round(max(image.size) / 250))
    for box in boxes:
        colour = _COLOURS[box.kind % len(_COLOURS)]
        pen.rectangle(_corners(box), outline=colour, width=width)
        text = f"{box.label or box.kind} {box.score:.2f}"
        at = (box.left + width + 1, max(0.0, box.top + width))
        pen.rectangle(pen.textbbox(at, text), fill=colour)
        pen.text(at, text, fill="white")
    with replacing(path) as temporary:
        image.save(temporary, format=_FORMATS.get(path.suffix.lower(), "PNG"))


_FORMATS: Mapping[str, str] = {".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}


def _corners(box: Box) -> tuple[float, float, float, float]:
    left, right = sorted((box.left, box.right))
    top, bottom = sorted((box.top, box.bottom))
    return left, top, right, bottom
