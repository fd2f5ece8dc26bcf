from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError
from netc.report.field import Rectangle, draw, field_box, save, scene
from tests.analysis.profiles import conv, data, layer, profile_of

NET = data(1, 3, 20, 30) + conv("a", "data", 2, 3, "stride: 2") + conv("b", "a", 2, 3)
ORANGE, BLUE = (230, 80, 20), (20, 110, 200)


def test_box_of_an_element() -> None:
    """a: rows 2i-1 to 2i+1; b: rows 2i-3 to 2i+3."""
    field = profile_of(NET).fields["b"]
    assert field_box(field, (0, 0)) == Rectangle(-3, -3, 3, 3)
    assert field_box(field, (2, 4)) == Rectangle(1, 5, 7, 11)


def test_a_picture_has_two_axes() -> None:
    with pytest.raises(ValueError, match="two axes"):
        field_box(profile_of(NET).fields["b"], (1,))


def pixels(at: tuple[int, int], image: Path | None = None) -> np.ndarray:  # type: ignore[type-arg]
    what = scene(profile_of(NET).fields["b"], (20, 30), at, "b\nsees")
    assert what is not None
    return np.asarray(draw(what, image))


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:  # type: ignore[type-arg]
    """Top, left, bottom and right pixel of a colour."""
    rows, columns = np.nonzero((picture == colour).all(axis=2))
    return rows.min(), columns.min(), rows.max(), columns.max()


def test_the_frame_is_where_the_field_is() -> None:
    """The view is 24 by 34 elements, 28 pixels each; the field's corner is element (1, 5)."""
    top, left, bottom, right = places(pixels((2, 4)), ORANGE)
    scale = 960 // 34
    assert (top, left) == ((1 + 2) * scale, (5 + 2) * scale)
    assert (bottom, right) == ((8 + 2) * scale - 1, (12 + 2) * scale - 1)


def test_neighbours_show_the_stride() -> None:
    _, _, bottom, right = places(pixels((2, 4)), BLUE)
    scale = 960 // 34
    assert (bottom, right) == ((10 + 2) * scale - 1, (14 + 2) * scale - 1)


def test_what_is_seen_of_the_image_keeps_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    Image.new("RGB", (60, 40), (10, 200, 30)).save(path)
    picture, scale = pixels((2, 4), path), 960 // 34
    inside, outside = picture[7 * scale, 11 * scale], picture[18 * scale, 25 * scale]
    assert tuple(inside) == (10, 200, 30)
    assert tuple(outside) == tuple(round(0.4 * c + 0.6 * 255) for c in (10, 200, 30))


def test_padding_is_hatched() -> None:
    beyond = pixels((0, 0))[: 3 * 26, : 3 * 26]
    assert (beyond == ORANGE).all(axis=2).mean() > 0.05


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (20000, 20000)])
def test_planes_of_any_size(size: tuple[int, int]) -> None:
    what = scene(profile_of(NET).fields["b"], size, (0, 0), "b\nsees")
    assert what is not None
    width, height = draw(what, None).size
    assert width <= 1000 and height <= 1060


def test_fields_far_larger_than_the_image(nets: Path) -> None:
    profile = profile_of(nets / "resnet152.prototxt")
    what = scene(profile.fields["res5c"], (224, 224), (3, 3), "res5c\nsees all")
    assert what is not None
    assert max(draw(what, None).size) <= 1040


def test_an_element_that_sees_nothing() -> None:
    text = data(1, 1, 4, 4) + layer(
        "up",
        "Deconvolution",
        "data",
        "convolution_param { num_output: 1 kernel_size: 1 stride: 2 }",
    )
    assert scene(profile_of(text).fields["up"], (4, 4), (1, 1), "") is None


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    picture = Image.new("RGB", (2, 2))
    with pytest.raises(NetcError, match="image-format"):
        save(picture, tmp_path / "a.mystery")
    with pytest.raises(NetcError, match="cannot-write"):
        save(picture, tmp_path / "nowhere" / "a.png")
