"""Draws a receptive field: the part of an image that one element of a blob depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from netc.analysis.receptive import Interval, ReceptiveField
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.image_files import load_image
from netc.ops.array import AnyArray
from netc.resizing import resize_image

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

LONGEST = 960  # pixels of the picture's longer side, about
MARGIN = 0.6  # of the image's side that is shown beyond it, at most
_BEYOND, _INK, _FIELD, _NEXT = (236, 238, 242), (40, 44, 52), (230, 80, 20), (20, 110, 200)


class Rectangle(NamedTuple):
    """A rectangle of input rows and columns, ends inclusive; it may extend beyond the input."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left + 1


def field_box(field: ReceptiveField, at: Sequence[int]) -> Rectangle | None:
    """The input rectangle of the element in row ``at[0]`` and column ``at[1]``; None for none.

    Raises:
        ValueError: the field or ``at`` does not have two axes.
    """
    if len(field.axes) != 2 or len(at) != 2:
        raise ValueError("a picture has two axes")
    rows, columns = (axis.run(element) for axis, element in zip(field.axes, at, strict=True))
    return _box(rows, columns)


def _box(rows: Interval | None, columns: Interval | None) -> Rectangle | None:
    if rows is None or columns is None:
        return None
    return Rectangle(rows.first, columns.first, rows.last, columns.last)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn: the input's size, the element's field, those of its neighbours, a caption."""

    size: tuple[int, int]
    field: Rectangle
    neighbours: tuple[Rectangle, ...]
    caption: str


def scene(
    field: ReceptiveField, size: tuple[int, int], at: tuple[int, int], caption: str
) -> Scene | None:
    """The drawing of one element's field and its right and lower neighbours'; None for no field.

    ``size`` is the input's height and width.
    """
    box = field_box(field, at)
    if box is None:
        return None
    others = (field_box(field, (at[0] + 1, at[1])), field_box(field, (at[0], at[1] + 1)))
    return Scene(size, box, tuple(o for o in others if o and o != box), caption)


def draw(what: Scene, image: str | Path | None) -> Image.Image:
    """The picture.

    Args:
        what: to draw.
        image: a file, brought to the input's size; a checked ground if None.

    Raises:
        NetcError: the file is no image.
    """
    from PIL import Image, ImageDraw

    view = _view(what)
    scale = _scale(view)
    frame = PictureFrame(view, scale, (_ceil(view.width * scale), _ceil(view.height * scale)))
    canvas = Image.new("RGB", (max(_NARROW, frame.size[0]), frame.size[1] + _CAPTION), _BEYOND)
    whole = frame.corners(Rectangle(0, 0, what.size[0] - 1, what.size[1] - 1))
    ground = _ground(image, what.size, (whole[2] - whole[0] + 1, whole[3] - whole[1] + 1))
    canvas.paste(_dimmed(ground, whole, frame.corners(what.field)), whole[:2])
    pen = ImageDraw.Draw(canvas)
    _hatch(pen, frame.corners(what.field), whole, frame.size)
    thin, thick = max(1, int(scale / 3)), max(3, int(scale / 2))
    for box in what.neighbours:
        pen.rectangle(frame.corners(box), outline=_NEXT, width=thin)
    pen.rectangle(frame.corners(what.field), outline=_FIELD, width=thick)
    _write(pen, what.caption, canvas.size)
    return canvas


Corners = tuple[int, int, int, int]  # left, top, right, bottom, in pixels of the picture


class PictureFrame(NamedTuple):
    """How the plane lies in the picture: what is shown of it, and pixels to one element."""

    view: Rectangle
    scale: float
    size: tuple[int, int]

    def corners(self, box: Rectangle) -> Corners:
        """A box's corners, those far away brought to just beyond the picture."""
        left = self._near((box.left - self.view.left) * self.scale, 0)
        top = self._near((box.top - self.view.top) * self.scale, 1)
        right = self._near((box.right + 1 - self.view.left) * self.scale - 1, 0)
        bottom = self._near((box.bottom + 1 - self.view.top) * self.scale - 1, 1)
        return (left, top, max(left, right), max(top, bottom))

    def _near(self, at: float, axis: int) -> int:
        return round(max(-20.0, min(at, self.size[axis] + 20.0)))


def _scale(view: Rectangle) -> float:
    """Pixels to an element, a whole number of them where it is drawn large."""
    scale = LONGEST / max(view.height, view.width)
    return float(int(scale)) if scale >= 3 else scale


def _ceil(value: float) -> int:
    return max(1, int(-(-value // 1)))


_CAPTION = 56  # pixels below the picture
_NARROW = 480  # pixels that a caption needs


def _ground(image: str | Path | None, size: tuple[int, int], drawn: tuple[int, int]) -> Image.Image:
    """The image at the net's resolution, drawn so many pixels wide and high."""
    from PIL import Image

    shown = (min(size[0], drawn[1]), min(size[1], drawn[0]))
    pixels = _checks(shown) if image is None else _photo(image, shown)
    return Image.fromarray(pixels).resize(drawn, Image.Resampling.NEAREST)


def _photo(image: str | Path, size: tuple[int, int]) -> Any:
    """(height, width, 3) bytes."""
    resized = resize_image(load_image(image, 3), size)
    return np.clip(resized.transpose(1, 2, 0) * 255 + 0.5, 0, 255).astype(np.uint8)


def _checks(size: tuple[int, int]) -> AnyArray:
    """A ground of squares, eight to the shorter side."""
    side = max(1, min(size) // 8)
    rows, columns = (np.arange(length) // side for length in size)
    dark = (rows[:, None] + columns[None, :]) % 2 == 1
    return np.repeat(np.where(dark, 176, 208).astype(np.uint8)[:, :, None], 3, axis=2)


def _dimmed(ground: Image.Image, whole: Corners, field: Corners) -> Image.Image:
    """What is not seen in paler colours."""
    from PIL import Image

    pale = Image.blend(ground, Image.new("RGB", ground.size, (255, 255, 255)), 0.6)
    left, top = max(0, field[0] - whole[0]), max(0, field[1] - whole[1])
    right = min(ground.size[0], field[2] + 1 - whole[0])
    bottom = min(ground.size[1], field[3] + 1 - whole[1])
    if right > left and bottom > top:
        pale.paste(ground.crop((left, top, right, bottom)), (left, top))
    return pale


def _view(what: Scene) -> Rectangle:
    """What is shown of the plane: the image, and what the fields reach beyond it."""
    height, width = what.size
    down, along = round(MARGIN * height), round(MARGIN * width)
    boxes = (what.field, *what.neighbours)
    return Rectangle(
        max(-down, min(-2, *(b.top - 2 for b in boxes))),
        max(-along, min(-2, *(b.left - 2 for b in boxes))),
        min(height - 1 + down, max(height + 1, *(b.bottom + 2 for b in boxes))),
        min(width - 1 + along, max(width + 1, *(b.right + 2 for b in boxes))),
    )


def _hatch(pen: ImageDraw.ImageDraw, field: Corners, whole: Corners, size: tuple[int, int]) -> None:
    """Slanted lines over the part of the field that lies in padding."""
    left, top = max(field[0], 0), max(field[1], 0)
    right, bottom = min(field[2], size[0]), min(field[3], size[1])
    for start in range(left - (bottom - top), right, 12):
        for step in range(0, bottom - top - 5, 6):
            x, y = start + step, top + step
            inside = whole[0] - 6 < x <= whole[2] and whole[1] - 6 < y <= whole[3]
            if left <= x <= right - 6 and not inside:
                pen.line((x, y, x + 6, y + 6), fill=_FIELD, width=1)


def _write(pen: ImageDraw.ImageDraw, caption: str, size: tuple[int, int]) -> None:
    from PIL import ImageFont

    width, height = size
    pen.rectangle((0, height - _CAPTION, width, height), fill=(255, 255, 255))
    for points in (20, 17, 14, 12, 10):
        font = ImageFont.load_default(points)
        if max(pen.textlength(line, font=font) for line in caption.split("\n")) < width - 20:
            break
    pen.multiline_text((10, height - _CAPTION + 6), caption, fill=_INK, font=font, spacing=4)


def save(picture: Image.Image, path: Path) -> None:
    """Write the picture in the format of the file's name.

    Raises:
        NetcError: cannot-write, image-format.
    """
    from PIL import Image

    format = Image.registered_extensions().get(path.suffix.lower())
    if format not in Image.SAVE:
        message = f"`{path}` ends in no format of images that can be written"
        raise NetcError(Diagnostic("image-format", message, help=("use .png",)))
    with replacing(path) as temporary:
        picture.save(temporary, format)
