"""What a library is asked for, and which of its algorithms was chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from netc.ir.types import show

WORKSPACE = 32 << 20  # bytes that a library may take while it computes a product
MAX_ALGORITHMS = 4  # that a library may propose for a product


class LibraryAlgorithm(NamedTuple):
    """One of a library's algorithms for a product.

    Args:
        library: its name, ``"cublas"`` or ``"cudnn"``.
        text: the library's own name of the algorithm.
        workspace: bytes it needs while it runs.
        ended: whether the library does the bias, sum and ReLU as well, not the product alone.
    """

    library: str
    text: str
    workspace: int = 0
    fuses_epilogue: bool = True


@dataclass(frozen=True, slots=True)
class LibraryProduct:
    """A product of pixels with channels innermost, and what a library does right after it.

    ``y = relu(product(x, w) + bias + other)``, each of the last three only where it is asked for.
    Sizes are in elements. Arguments of a call are the addresses of x, w, y, bias, other and the
    workspace, 0 for what there is none of.

    Args:
        precision: ``"float32"``, ``"tf32"`` or ``"fp16"``; x, w, y and bias are stored accordingly.
        x: images, height, width and channels of a part.
        ldx: from one pixel of x to the next.
        ldw: from one output's weights to the next one's; taps in order, channels innermost.
        y: height, width and channels of a part of the output.
        ldy: from one pixel of y to the next.
        kernel: taps down and across.
        pad: above and below, left and right.
        stride: vertical, horizontal.
        dilation: vertical, horizontal.
        parts: products side by side: each has channels of its own in x and y, and rows of w.
        bias: whether a number is added to each channel.
        other: from one pixel to the next of a value that is added; 0 for none.
        relu: whether negative results become 0.
        shared: whether the output lies where the value that is added does.
        alignment: bytes that all matrices, and each of their rows, begin at a multiple of.
        gradient: w is made of x and y, as the gradient of the weights by that of y, in place of y.
    """

    precision: str
    x: tuple[int, int, int, int]
    ldx: int
    ldw: int
    y: tuple[int, int, int]
    ldy: int
    kernel: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    parts: int = 1
    bias: bool = False
    other: int = 0
    relu: bool = False
    shared: bool = False
    alignment: int = 16
    gradient: bool = False

    @property
    def pointwise(self) -> bool:
        """True if it is a product of two matrices, or several side by side."""
        same = self.kernel == self.stride == (1, 1) and self.pad == (0, 0)
        return same and self.x[1:3] == self.y[:2]

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return 2 if self.precision == "fp16" else 4

    @property
    def pixels(self) -> int:
        """Pixels of the output, of all images."""
        return self.x[0] * self.y[0] * self.y[1]

    @property
    def name(self) -> str:
        """The name in times and messages."""
        window = show(self.kernel)
        kind = "weights' gradient, " if self.gradient else ""
        return f"{kind}{self.pixels} pixels, {self.x[3]} to {self.y[2]} channels, {window}"


@dataclass(frozen=True, slots=True)
class LibraryKernel:
    """A product by one of a library's algorithms; it takes the place of a kernel in a call."""

    operation: LibraryProduct
    algorithm: LibraryAlgorithm

    @property
    def template(self) -> str:
        """The library's name, as a kernel has its template's."""
        return self.algorithm.library

    @property
    def name(self) -> str:
        """The name in times and messages."""
        return f"{self.algorithm.library}: {self.operation.name}"


class LibraryError(Exception):
    """A library cannot do what it was asked for."""


Start = Callable[[Sequence[int], int], None]


class Library(Protocol):
    """One of the libraries."""

    @property
    def version(self) -> str:
        """The version that its algorithms belong to."""

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        """Its algorithms for a product, the most promising first; none if it has none."""

    def start(self, kernel: LibraryKernel) -> Start:
        """A function that starts a product, given the addresses of its arguments and a stream.

        Raises:
            LibraryError: here, or when it is started.
        """
