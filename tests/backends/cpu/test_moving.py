from __future__ import annotations

import numpy as np
import pytest

from netc.backends.cpu.context import Context
from netc.backends.cpu.program import Program
from netc.backends.cpu.steps.moving import (
    Strided,
    copy_step,
    fill_step,
    image_step,
    move_step,
    pixels,
    to_pixels_step,
    to_planes_step,
)
from netc.backends.shared.views import Arena, External, dense


def numbers(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1


@pytest.mark.parametrize("shape", [(2, 37, 3, 5), (1, 1, 4, 4), (1, 64, 1, 1)])
def test_copy_into_a_slice(bench, shape):
    x = numbers(*shape)
    v, whole = bench.value(x), bench.view(shape[0], shape[1] + 9, *shape[2:])
    part = whole.channels(4, 4 + shape[1])
    (got,) = bench.run(copy_step("c", v, part), outputs=[part])
    assert (got == x).all()


def test_fill(bench):
    y = bench.view(2, 19, 3, 2)
    (got,) = bench.run(fill_step("f", y, 2.5), outputs=[y])
    assert (got == 2.5).all()


def test_permutation_of_axes(target):
    x, y = numbers(3, 4, 5, 6), np.zeros((5, 3, 6, 4), np.float32)
    source = Strided(External(0), (6, 120, 1, 30))
    step = move_step("p", (5, 3, 6, 4), source, Strided(External(1), (72, 24, 4, 1)))
    Context(Program((step,), 0, target)).run([x, y])
    assert (y == x.transpose(2, 0, 3, 1)).all()


@pytest.mark.parametrize("shape", [(2, 3, 5, 37), (1, 3, 40, 64), (2, 1, 4, 5), (1, 20, 3, 3)])
def test_edges_convert_layouts_both_ways(target, shape):
    x, y = numbers(*shape), np.zeros(shape, np.float32)
    n, c, h, w = shape
    v = dense(Arena(0), n, h, w, c)
    steps = (to_pixels_step("in", External(0), v), to_planes_step("out", v, External(1)))
    Context(Program(steps, v.span, target)).run([x, y])
    assert (y == x).all()


@pytest.mark.parametrize("shape", [(2, 3, 5, 37), (1, 3, 9, 64), (2, 1, 4, 5), (1, 5, 3, 3)])
def test_images_get_zeros_around_them(target, shape):
    x = numbers(*shape)
    n, c, h, w = shape
    y = dense(Arena(0), n, h + 5, w + 3, c)
    context = Context(Program((image_step("i", External(0), shape, y, 2, 1),), y.span, target), 2)
    context.flat(Arena(0), y.span)[:] = 9
    context.run([x])
    expected = np.pad(x, ((0, 0), (0, 0), (2, 3), (1, 2)))
    assert (context.array(y) == expected).all()


def test_too_many_axes_are_refused():
    strides = (1000, 200, 40, 10, 3)
    with pytest.raises(ValueError, match="5 axes"):
        move_step("m", (2, 2, 2, 2, 2), Strided(Arena(0), strides), Strided(Arena(5000), strides))


def test_pixels_of_a_view():
    assert pixels(dense(Arena(0), 2, 3, 4, 5)).strides == (60, 20, 5, 1)
