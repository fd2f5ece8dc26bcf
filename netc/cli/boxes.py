"""Prints the boxes that a detection net found, and draws them into the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.files import replacing
from netc.predict.boxes import DetectedBox, FedPicture

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075")


def box_lines(
    name: str, boxes: Sequence[DetectedBox], items: Sequence[str], least: float
) -> list[str]:
    """Lines of text: each item's boxes with a score of ``least`` or more; others are counted."""
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


def _line(box: DetectedBox) -> str:
    digits = 0 if max(box[4:]) > 2 else 3
    sides = [f"{side:.{digits}f}" for side in box[4:]]
    where = f"{sides[0]},{sides[1]} to {sides[2]},{sides[3]}"
    return f"  {box.score:9.4f}  {box.kind:4}  {box.label + '  ' if box.label else ''}{where}"


def draw(
    target: Path, boxes: Sequence[DetectedBox], pictures: Sequence[FedPicture], least: float
) -> None:
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


def _draw(path: Path, boxes: Sequence[DetectedBox], picture: FedPicture) -> None:
    from PIL import Image, ImageDraw

    from netc.image_files import load_image

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


def _corners(box: DetectedBox) -> tuple[float, float, float, float]:
    left, right = sorted((box.left, box.right))
    top, bottom = sorted((box.top, box.bottom))
    return left, top, right, bottom
