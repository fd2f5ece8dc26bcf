"""What an op is: everything about a layer type that does not depend on a backend or a format.

A family file holds one :class:`OpDef` per layer type it defines, and ``netc/ops/catalog.py`` lists
them all. See docs/adding-a-layer.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar, cast

from netc.ir.types import Shape, count
from netc.ops.array import AnyArray, Arrays
from netc.ops.contents import ContentsRule
from netc.ops.filler import CONSTANT_ZERO, Filler
from netc.ops.role import Family, Role
from netc.ops.shape_error import ShapeError as ShapeError
from netc.ops.window import Window as Window
from netc.schema.message import Message


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
    gradient. ``decay_mult`` counts where the layer's ``param`` gives none.
    """

    shape: Shape
    filler: Filler = CONSTANT_ZERO
    learned: bool = True
    decay_mult: float = 1.0


class Cost(NamedTuple):
    """Arithmetic of one forward pass; a multiply-add counts 1 in ``macs``.

    ``operations`` are all other arithmetic operations (comparisons, additions, divisions,
    exponentials ...). Parameters and bytes follow from the shapes and are counted elsewhere.
    """

    macs: int = 0
    operations: int = 0


class Affine(NamedTuple):
    """``scale[c] * x + shift[c]`` for each channel (axis 1); float64 vectors of C elements."""

    scale: AnyArray
    shift: AnyArray


POINTWISE = Window()
WHOLE = Window(whole=True)  # everything may have come from everywhere

P = TypeVar("P")  # an op's own parameters: a frozen dataclass, or None where it has none
Parse = Callable[[Message, "LayerContext"], P]
ShapeRule = Callable[[P, Sequence[Shape]], tuple[Shape, ...]]
WeightRule = Callable[[P, Sequence[Shape]], tuple[WeightSpec, ...]]
CostRule = Callable[[P, Sequence[Shape], Sequence[Shape]], Cost]
WindowRule = Callable[[P, Sequence[Shape], Sequence[Shape]], Window]
Kernel = Callable[[P, Arrays, Arrays], Arrays]
Train = Callable[[P, Arrays, Arrays], tuple[Arrays, Arrays]]
IdentityRule = Callable[[P, Sequence[Shape]], bool]
MemoryRule = Callable[[P, Sequence[Shape], Sequence[Shape]], int]
AffineRule = Callable[[P, Sequence[Shape], Arrays], "Affine | None"]


class LayerContext(NamedTuple):
    """What a layer's parameters depend on besides its own message.

    ``phase`` is "TRAIN" or "TEST"; ``bottoms`` and ``tops`` are how many the layer has.
    """

    phase: str
    bottoms: int
    tops: int


def no_params(layer: Message, context: LayerContext) -> None:
    """Parse rule of a layer without parameters."""
    return None


def unwritten(layer: Message, context: LayerContext) -> NoReturn:
    """Parse rule of an op that passes make and no text can name; never called."""
    raise AssertionError("no text names this op")


def no_weights(params: object, inputs: Sequence[Shape]) -> tuple[WeightSpec, ...]:
    """Weight rule of a layer without weights."""
    return ()


def same_shape(params: object, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    """Shape rule of a layer whose every top has the shape of the bottom at its index."""
    return tuple(inputs)


def any_contents(params: object, inputs: Sequence[Shape]) -> tuple[None, ...]:
    """Contents rule of a layer whose bottoms may hold any numbers."""
    return ()


def zero_cost(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Cost:
    """Cost rule of a layer that only moves or drops data."""
    return Cost()


def pointwise(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Window rule: an output element depends on the input element at its place."""
    return POINTWISE


def full_extent(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> Window:
    """Window rule: an output element depends on the whole spatial extent of the input."""
    return WHOLE


FLOAT = 4  # bytes of a float32


def copies(number: int) -> MemoryRule[object]:
    """Memory rule: ``number`` float32 copies of all inputs and outputs, in bytes."""

    def memory(params: object, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return number * FLOAT * (sum(map(count, inputs)) + sum(map(count, outputs)))

    return memory


TWO_COPIES = copies(2)


def no_moving(params: object) -> tuple[int, ...]:
    """``moving`` rule of a layer whose forward changes none of its trained arrays."""
    return ()


@dataclass(frozen=True, slots=True)
class BlobFile(Generic[P]):
    """A file with one array that a layer's text names, read before the layer runs.

    Args:
        named: params -> the path as it is written; None where it names none.
        given: (params, input shapes, path, array) -> params that hold the array; raises
            ShapeError where it does not fit.
        sizes: the file is a text, name, height and width of an image on each line, and gives an
            array (images, 2); else it holds a BlobProto.
        numbers: the file is a text of numbers, which gives a vector.
        data_set: the name of the array in an HDF5 file, which it then is; "" for none.
        example: (params, input shapes) -> a shape that the array may have; None where any serves.
        optional: the layer does without the file, with a warning.
    """

    named: Callable[[P], str | None]
    given: Callable[[P, Sequence[Shape], str, AnyArray], P]
    sizes: bool = False
    optional: bool = False
    numbers: bool = False
    data_set: str = ""
    example: Callable[[P, Sequence[Shape]], Shape] | None = None


class TypeReading(NamedTuple):
    """The op that a layer's fields mean, of a type name that forks of Caffe give to several layers.

    ``told`` is a warning about what the text leaves open: (field, message, hints); None for none.
    """

    op: ErasedOp
    told: tuple[str, str, tuple[str, ...]] | None = None


class Stand(NamedTuple):
    """The op, by its name, and its parameters that stand for another with inputs of some shapes."""

    op: str
    params: object


@dataclass(frozen=True, slots=True)
class OpDef(Generic[P]):
    """A layer type whose parameters are of type P.

    Args:
        name: Caffe's type string.
        arity: numbers of bottoms and tops.
        shape: (params, input shapes) -> output shapes; raises ShapeError.
        weights: (params, input shapes) -> the trained arrays it has.
        cost: (params, input shapes, output shapes) -> Cost.
        window: (params, input shapes, output shapes) -> Window.
        reference: (params, input arrays, weight arrays) -> output arrays (float32). The definition
            of the result: plain NumPy, written against the arrays' own namespace where it can be
            (``netc.ops.array.namespace``), never writing to its inputs.
        params: the layer's message and context -> frozen dataclass; raises NetcError at a field.
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
        by_shape: (params, input shapes) -> the op that it is with inputs of these shapes; None
            where it is itself. Forks pool volumes by the name of BVLC's Pooling.
    """

    name: str
    arity: Arity
    shape: ShapeRule[P]
    reference: Kernel[P]
    params: Parse[P]
    weights: WeightRule[P] = no_weights
    cost: CostRule[P] = zero_cost
    window: WindowRule[P] = pointwise
    train: Train[P] | None = None
    moving: Callable[[P], tuple[int, ...]] = no_moving
    draws: Callable[[P], bool] | None = None
    source: bool = False
    loss: bool = False
    in_place: bool = False
    identity: IdentityRule[P] | None = None
    affine: AffineRule[P] | None = None
    reads: int | None = None
    dynamic: bool = False
    memory: MemoryRule[P] = TWO_COPIES
    contents: ContentsRule[P] = any_contents
    blob_file: BlobFile[P] | None = None
    role: Role = Role.NONE
    family: Family = "other"
    host: bool = False
    reading: Callable[[Message], TypeReading | None] | None = None
    fast: Kernel[P] | None = None
    by_shape: Callable[[P, Sequence[Shape]], Stand | None] | None = None


# An op as a table of layer types holds it. Such a table has ops of many parameter types, and a type
# string chooses among them when netc runs: a node's `params` are its op's because that op's parse
# rule, or a pass for that op, made them. No checker can know it, so the parameters' type is erased
# here and in nothing else.
ErasedOp = OpDef[object]


def erased(op: OpDef[P]) -> ErasedOp:
    """An op typed for a table of ops, where the type of its parameters is not known."""
    return cast(ErasedOp, op)


def table(*ops: OpDef[Any]) -> dict[str, ErasedOp]:
    """Ops by their type strings."""
    return {op.name: op for op in ops}
