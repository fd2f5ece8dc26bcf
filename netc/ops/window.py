"""Sliding windows: how their size, stride, padding and dilation are written, checked and walked.

Shared by the layers that look at a neighbourhood. The arithmetic is that of base_conv_layer.cpp,
in integers that do not overflow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import EllipsisType
from typing import NamedTuple

from netc.ops.numbers import check_number, conflict, lone, number
from netc.ops.shape_error import ShapeError
from netc.schema.message import Message


class Tap(NamedTuple):
    """An element of the kernel along an axis, and the outputs and inputs where it is used."""

    element: int
    outputs: slice
    inputs: slice


class Axis(NamedTuple):
    """A :class:`Window` along one axis of ``size`` input elements, with ``out`` places."""

    size: int
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    out: int = 1

    @property
    def extent(self) -> int:
        """Input elements that a window spans: dilation * (kernel - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def taps(self) -> Iterator[Tap]:
        """The kernel's elements that meet an input for some output, in order; padding is skipped.

        Each with the outputs it counts for and the inputs it meets there.
        """
        for index in self._candidates():
            at = index * self.dilation - self.pad  # the input that output 0 meets
            first = max(0, -(at // self.stride))
            last = min(self.out - 1, (self.size - 1 - at) // self.stride)
            if first <= last:
                inputs = slice(at + first * self.stride, at + last * self.stride + 1, self.stride)
                yield Tap(index, slice(first, last + 1), inputs)

    def _candidates(self) -> Iterable[int]:
        """The kernel's elements; of a kernel longer than input times output, those that meet."""
        if self.kernel <= self.size * self.out:
            return range(self.kernel)
        offsets = {
            place + self.pad - output * self.stride
            for place in range(self.size)
            for output in range(self.out)
        }
        met = {at // self.dilation for at in offsets if at >= 0 and at % self.dilation == 0}
        return sorted(index for index in met if index < self.kernel)


class Taps(NamedTuple):
    """An element of a kernel of several axes: its index, and the slices of outputs and inputs."""

    element: tuple[int, ...]
    outputs: tuple[slice, ...]
    inputs: tuple[slice, ...]


def last_axes(slices: Sequence[slice]) -> tuple[EllipsisType | slice, ...]:
    """The index of a part along an array's last axes."""
    return (..., *slices)


def taps(axes: Sequence[Axis]) -> list[Taps]:
    """The kernel's elements that meet an input along every axis, in the kernel's C order."""
    by_axis = [tuple(axis.taps()) for axis in axes]
    return [
        Taps(
            tuple(tap.element for tap in joined),
            tuple(tap.outputs for tap in joined),
            tuple(tap.inputs for tap in joined),
        )
        for joined in product(*by_axis)
    ]


def bands(axes: Sequence[Axis], row_size: int, limit: int) -> Iterator[tuple[slice, list[Taps]]]:
    """The outputs in bands of rows, each with its taps, so that a buffer for a band is bounded.

    Args:
        axes: at least one; the first one's outputs are the rows.
        row_size: elements of the buffer for one row.
        limit: elements of the buffer for one band; exceeded only by a single row that is longer.
    """
    first = axes[0]
    rows = max(1, limit // max(1, row_size))
    for start in range(0, first.out, rows):
        stop = min(first.out, start + rows)
        band = first._replace(pad=first.pad - start * first.stride, out=stop - start)
        yield slice(start, stop), taps((band, *axes[1:]))


_TAP = 1 << 10  # bytes of an element of the kernel with the places where it meets inputs


def taps_memory(axes: Sequence[Axis]) -> int:
    """An upper bound of the bytes of what :func:`taps` returns."""
    return _TAP * math.prod(min(axis.kernel, axis.size * axis.out) for axis in axes)


def columns_memory(axes: Sequence[Axis], channels: int, limit: int) -> int:
    """Bytes of a band's float32 columns and of the product's result.

    ``channels`` and ``limit`` are those of :func:`bands`' buffer.
    """
    row = channels * math.prod(axis.kernel for axis in axes) * math.prod(a.out for a in axes[1:])
    return 2 * 4 * max(row, min(row * axes[0].out, limit))


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: what of its input an output element sees, along each spatial axis.

    There is this one type of it, from the text to the kernels. As a text says it, each quantity has
    no value, one for all axes, or one for each axis; :meth:`axes` lays it along axes of known
    sizes, and :meth:`of` is the window of such axes, with a value for each of them.

    Args:
        kernel, stride, pad, dilation: in input elements. Of a ``fractional`` window, which a
            deconvolution has, ``stride`` is in output elements per input element.
        planar: the quantities that a text has as ``_h`` and ``_w``, which are for two axes only.
        fractional: the window lies on the output, and its elements add up where they meet.
        whole: an output element sees the entire spatial extent.
    """

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    pad: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    # By name alone: what a subclass adds, as groups of channels, follows ``dilation`` by place.
    planar: tuple[str, ...] = field(default=(), kw_only=True)
    fractional: bool = field(default=False, kw_only=True)
    whole: bool = field(default=False, kw_only=True)

    @classmethod
    def of(cls, axes: Sequence[Axis], fractional: bool = False) -> Window:
        """The window with these axes' kernel, stride, pad and dilation."""
        return cls(
            tuple(axis.kernel for axis in axes),
            tuple(axis.stride for axis in axes),
            tuple(axis.pad for axis in axes),
            tuple(axis.dilation for axis in axes),
            fractional=fractional,
        )

    def axes(self, sizes: Sequence[int]) -> tuple[Axis, ...]:
        """The window along spatial axes of these sizes; ``out`` is not yet known.

        Raises:
            ShapeError: the fields have values for another number of axes, or no kernel_size.
        """
        number = len(sizes)
        kernel = tuple(sizes)
        if not self.whole:
            kernel = self._spread("kernel", self.kernel, number, None)
        stride = self._spread("stride", self.stride, number, 1)
        pad = self._spread("pad", self.pad, number, 0)
        dilation = self._spread("dilation", self.dilation, number, 1)
        return tuple(map(Axis, sizes, kernel, stride, pad, dilation))

    def field(self, quantity: str, axis: int = 0) -> str:
        """The field that a quantity is written in for an axis, or would be, e.g. "kernel_size"."""
        if quantity in self.planar:
            return f"{quantity}_{'hw'[min(axis, 1)]}"
        return "kernel_size" if quantity == "kernel" else quantity

    def _spread(
        self, quantity: str, values: tuple[int, ...], number: int, default: int | None
    ) -> tuple[int, ...]:
        if quantity in self.planar and number != 2:
            self._planar_misfit(quantity, number)
        if len(values) == number:
            return values
        if len(values) == 1:
            return values * number
        if not values and default is not None:
            return (default,) * number
        raise self._count_misfit(quantity, len(values), number)

    def _planar_misfit(self, quantity: str, number: int) -> None:
        name = self.field(quantity)[:-2]
        plain = "kernel_size" if quantity == "kernel" else quantity
        raise ShapeError(
            f"`{name}_h` and `{name}_w` are for 2 spatial axes, and the bottom has {number}",
            f"convolution_param.{self.field(quantity)}",
            (f"write `{plain}`, once or once for each axis",),
        )

    def _count_misfit(self, quantity: str, written: int, number: int) -> ShapeError:
        name = self.field(quantity)
        if not written:
            return ShapeError(
                f"`{name}` is not given, and the bottom has {number} spatial axes",
                "convolution_param",
                (f"add `{name}: 3`, once or once for each axis",),
                "missing-field",
            )
        return ShapeError(
            f"`{name}` is given {written} times, and the bottom has {number} spatial axes",
            f"convolution_param.{name}",
            ("give one value, or one for each axis",),
        )


def parse_window(message: Message) -> Window:
    """The window of a ConvolutionParameter message.

    Raises:
        NetcError: conflicting-fields, missing-field or out-of-range, at the field.
    """
    planar = tuple(name for name in ("kernel", "stride", "pad") if is_planar(message, name))
    return Window(
        quantity(message, "kernel", 1),
        quantity(message, "stride", 1),
        quantity(message, "pad", 0, together=False),
        _checked(message, "dilation", 1),
        planar=planar,
    )


def is_planar(message: Message, name: str) -> bool:
    """Whether a quantity is written as ``_h`` or ``_w``."""
    return message.has(f"{name}_h") or message.has(f"{name}_w")


def quantity(message: Message, name: str, minimum: int, together: bool = True) -> tuple[int, ...]:
    """What a message says of "kernel", "stride" or "pad", as :class:`Window` has it.

    Args:
        message: with fields for it, of one value or repeated.
        name: the quantity.
        minimum: the smallest value that it may have.
        together: ``_h`` and ``_w`` must both be written, or neither; else one that is not has its
            default.

    Raises:
        NetcError: conflicting-fields, missing-field or out-of-range, at the field.
    """
    plain = "kernel_size" if name == "kernel" else name
    if not is_planar(message, name):
        return _checked(message, plain, minimum)
    names = [f"{name}_h", f"{name}_w"]
    if message.has(plain):
        raise conflict(message, next(n for n in names if message.has(n)), plain)
    absent = [name for name in names if not message.has(name)]
    if absent and together:
        raise lone(message, next(n for n in names if message.has(n)), absent[0])
    return tuple(number(message, name, minimum) for name in names)


def _checked(message: Message, name: str, minimum: int) -> tuple[int, ...]:
    values = tuple(entry.value for entry in message.entries.get(name, ()))
    for index, value in enumerate(values):
        check_number(message, name, value, minimum, index)
    return values


def axis_name(index: int, number: int) -> str:
    """A spatial axis in words, for messages: "height", "width" or "size of spatial axis 2"."""
    return ("height", "width")[index] if number == 2 else f"size of spatial axis {index}"
