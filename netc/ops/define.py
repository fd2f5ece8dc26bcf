"""What an op is: everything about a layer type that does not depend on a backend or a format.

A family file holds one :class:`OpDef` per layer type it defines, and ``netc/ops/catalog.py`` lists
them all. See docs/adding-a-layer.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray
from netc.ops.contents import ContentsRule
from netc.ops.filler import CONSTANT_ZERO, Filler
from netc.ops.role import Family, Role
from netc.schema.message import Message


class ShapeError(Exception):
    """Shapes that do not fit, as a bare fact; shape inference adds layer, blobs and places.

    Args:
        message: the rule and both numbers, e.g. "`kernel_size` 7 is larger than the padded
            height 5".
        field: dotted path of the layer's field to point at, e.g. "pooling_param.kernel_size".
        help: what to do.
        code: the diagnostic's code.
    """

    def __init__(
        self,
        message: str,
        field: str | None = None,
        help: Sequence[str] = (),
        code: str = "shape-mismatch",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.help = tuple(help)
        self.code = code


class Arity(NamedTuple):
    """How many bottoms and tops a layer takes, each as (least, most); most None is no limit.

    ``same`` asks for as many tops as bottoms. ``optional_top`` is for losses: with no top written
    Caffe gives them one of its own.
    """

    bottoms: tuple[int, int | None]
    tops: tuple[int, int | None]
    same: bool = False
    optional_top: bool = False


class WeightSpec(NamedTuple):
    """A trained array that a layer has: its shape and how it is filled when none is given.

    One that is not ``learned`` is kept by the layer itself (BatchNorm's statistics) and has no
    gradient. ``decay_mult`` is that of an array whose ``param`` says none.
    """

    shape: Shape
    filler: Filler = CONSTANT_ZERO
    learned: bool = True
    decay_mult: float = 1.0


class Cost(NamedTuple):
    """Arithmetic of one forward. One multiply-add counts 1 in ``macs``.

    ``operations`` are the other arithmetic operations (comparisons, additions, divisions,
    exponentials ...). Parameters and bytes follow from the shapes and are counted elsewhere.
    """

    macs: int = 0
    operations: int = 0


class Window(NamedTuple):
    """What of its input an output element sees, per spatial axis (the axes after the second).

    ``stride`` is in input elements per output element; a deconvolution's ``fractional`` window has
    output elements per input element instead. ``whole`` sees the entire spatial extent.
    """

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    pad: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    fractional: bool = False
    whole: bool = False


class Affine(NamedTuple):
    """``scale[c] * x + shift[c]`` for each channel (axis 1); float64 vectors of C elements."""

    scale: AnyArray
    shift: AnyArray


POINTWISE = Window()

Params = Any
Parse = Callable[[Message, "LayerContext"], Params]
ShapeRule = Callable[[Params, Sequence[Shape]], tuple[Shape, ...]]
WeightRule = Callable[[Params, Sequence[Shape]], tuple[WeightSpec, ...]]
CostRule = Callable[[Params, Sequence[Shape], Sequence[Shape]], Cost]
WindowRule = Callable[[Params, Sequence[Shape], Sequence[Shape]], Window]
Kernel = Callable[[Params, Sequence[Any], Sequence[Any]], Sequence[Any]]
IdentityRule = Callable[[Params, Sequence[Shape]], bool]
MemoryRule = Callable[[Params, Sequence[Shape], Sequence[Shape]], int]
AffineRule = Callable[[Params, Sequence[Shape], Sequence[Any]], "Affine | None"]


class LayerContext(NamedTuple):
    """What a layer's parameters depend on besides its own message."""

    phase: str
    bottoms: int
    tops: int


def no_params(layer: Message, context: LayerContext) -> None:
    """Parse rule of a layer without parameters."""
    return None


def no_weights(params: Params, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """Weight rule of a layer without weights."""
    return ()


def same_shape(params: Params, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Shape rule of a layer whose every top has the shape of the bottom at its index."""
    return tuple(inputs)


def any_contents(params: Params, inputs: Sequence[Shape]) -> tuple[None, ...]:
    """Contents rule of a layer that takes all numbers."""
    return ()


def zero_cost(params: Params, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """Cost rule of a layer that only moves or drops data."""
    return Cost()


def pointwise(params: Params, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Window rule of a layer whose output elements see the input element at their place."""
    return POINTWISE


def full_extent(params: Params, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Window rule of a layer whose output elements see all of the input."""
    return Window(whole=True)


FLOAT = 4  # bytes of a float32


def copies(number: int) -> MemoryRule:
    """Memory rule of a definition that makes so many float32 copies of its blobs."""

    def memory(params: Params, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return number * FLOAT * (sum(map(count, inputs)) + sum(map(count, outputs)))

    return memory


TWO_COPIES = copies(2)


def no_moving(params: Params) -> tuple[int, ...]:
    """A layer whose forward changes none of its trained arrays."""
    return ()


class BlobFile(NamedTuple):
    """A file of one array that a layer's text names, read before the layer runs.

    ``sizes`` files are texts, a name, height and width of an image on each line, and give an array
    (images, 2); others hold a BlobProto. A layer does without an ``optional`` one, with a warning.

    Args:
        named: params -> the path as it is written; None where it names none.
        given: (params, input shapes, path, array) -> params that hold the array; raises
            ShapeError where it does not fit.
    """

    named: Callable[[Params], str | None]
    given: Callable[[Params, Sequence[Shape], str, Any], Params]
    sizes: bool = False
    optional: bool = False


class Reading(NamedTuple):
    """Another layer that a text means by a type's name, and what is to be told about it.

    ``told`` is a complaint about what the text leaves open: (where, what, hints), or None.
    """

    op: OpDef
    told: tuple[str, str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class OpDef:
    """A layer type.

    Args:
        name: Caffe's type string.
        arity: numbers of bottoms and tops.
        params: the layer's message and context -> frozen dataclass; raises NetcError at a field.
        shape: (params, input shapes) -> output shapes; raises ShapeError.
        weights: (params, input shapes) -> the trained arrays it has.
        cost: (params, input shapes, output shapes) -> Cost.
        window: (params, input shapes, output shapes) -> Window.
        reference: (params, input arrays, weight arrays) -> output arrays (float32). The definition
            of the result: plain NumPy, written against the arrays' own namespace where it can be
            (``netc.ops.array.namespace``), never writing to its inputs.
        train: reference of the TRAIN phase where it returns more: (params, inputs, weights) ->
            (outputs, new weight arrays). BatchNorm's running averages.
        moving: params -> which of its trained arrays ``train`` moves, by index; none where its
            result does not come from the batch.
        source: reads data from outside; becomes inputs of the graph. ``shape`` then takes no
            inputs and gives the shapes its parameters say; it raises ShapeError with code
            "unknown-input-shape" where they do not.
        loss: its first top has loss_weight 1 unless written otherwise.
        in_place: Caffe runs it in place where top and bottom have one name.
        identity: (params, input shapes) -> whether every output is the first input, element for
            element and in its shape; None where it never is.
        affine: (params, input shapes, weight arrays) -> the per-channel linear map of its first
            and only input that it is, or None where it is none with these.
        reads: how many of its inputs' contents it reads, from the first; of those after it needs
            the shape alone (Crop's second). None for all.
        memory: (params, input shapes, output shapes) -> bytes of temporaries that ``reference``
            needs besides its inputs, outputs and weights; an upper bound, asked for beforehand.
        draws: params -> whether it draws random numbers; it may then be given the generator's key
            as an input after its own (netc.ops.random), and draws as with a key of 0 without. None
            where it never does.
        dynamic: the sizes of its outputs follow from the inputs' contents; shapes are bounds.
        blob_file: the file of one array that its text may name; definitions open no files.
        role: what it does in a graph: what rewrites, lints and storage ask for instead of names.
        family: the kind of layer that a drawing shows it as.
        host: ``reference`` needs NumPy itself; all others take the arrays of any library.
        contents: (params, input shapes) -> what each input may hold where that is not every
            number, such as class labels; None, or nothing at the end, for any.
        fast: what the CPU backend runs in the place of ``reference``; see ``netc.register_layer``.
        reading: the layer's message -> what another fork means by the name, where the fields tell
            that it is meant; None where they do not.
    """

    name: str
    arity: Arity
    shape: ShapeRule
    reference: Kernel
    params: Parse = no_params
    weights: WeightRule = no_weights
    cost: CostRule = zero_cost
    window: WindowRule = pointwise
    train: Callable[..., Any] | None = None
    moving: Callable[[Params], tuple[int, ...]] = no_moving
    draws: Callable[[Params], bool] | None = None
    source: bool = False
    loss: bool = False
    in_place: bool = False
    identity: IdentityRule | None = None
    affine: AffineRule | None = None
    reads: int | None = None
    dynamic: bool = False
    memory: MemoryRule = TWO_COPIES
    contents: ContentsRule = any_contents
    blob_file: BlobFile | None = None
    role: Role = Role.NONE
    family: Family = "other"
    host: bool = False
    reading: Callable[[Message], Reading | None] | None = None
    fast: Kernel | None = None
