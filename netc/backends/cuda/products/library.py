"""Products done by a library: what it is asked for, and a kernel for what it cannot do itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netc.backends.cuda.chain import FusedOutput
from netc.backends.cuda.emission import CudaEmitContext, chain_launch, epilogue_code
from netc.backends.cuda.libraries.operation import LibraryAlgorithm, LibraryKernel, LibraryProduct
from netc.backends.cuda.products.product import Product, padded
from netc.backends.cuda.program import Argument, Launch
from netc.backends.cuda.schedule import overlap
from netc.backends.shared.derived import Weights
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.layout import has_channels
from netc.backends.shared.views import View, Workspace, dense
from netc.ops.catalog import has_role
from netc.ops.elementwise import EltwiseParams
from netc.ops.fused import BoundStage
from netc.ops.rectifiers import ReLUParams
from netc.ops.role import Role


@dataclass(frozen=True, slots=True, eq=False)
class LibraryEpilogue:
    """A product's epilogue: the part that a library fuses, and the rest.

    Args:
        bias: a number for each output channel.
        other: a value that is added.
        relu: whether negative results become 0.
        rest: the stages after that; they are a kernel of their own.
    """

    bias: Weights | None = None
    other: View | None = None
    relu: bool = False
    rest: tuple[BoundStage, ...] = ()


def split_epilogue(
    emission: CudaEmitContext, product: Product, fused: bool = True
) -> LibraryEpilogue:
    """A product's bias and stages, divided between a library and a kernel of netc's.

    Nothing is left to a library that makes parts side by side, whose bias would be one for all, nor
    where it should make the product alone.
    """
    target = product.targets[0]
    if product.groups > 1 or not fused:
        return LibraryEpilogue(rest=target.stages)
    stages, other = list(target.stages), None
    if stages and (found := _summand(emission, target, stages[0])):
        other = found
        stages.pop(0)
    relu = bool(stages) and has_role(stages[0].stage.op, Role.RECTIFIER)
    relu = relu and not stages[0].stage.params_as(ReLUParams).negative_slope
    return LibraryEpilogue(target.bias, other, relu, tuple(stages[1:] if relu else stages))


def _summand(emission: CudaEmitContext, target: FusedOutput, bound: BoundStage) -> View | None:
    """The other value of a plain sum with the chain's, where it lies as the output does."""
    params, inputs = bound.stage.params, bound.inputs
    if not isinstance(params, EltwiseParams) or params.operation != "SUM" or len(inputs) != 1:
        return None
    if set(params.coeff or ()) - {1.0} or inputs[0] is None:
        return None
    same = emission.graph.shape(inputs[0]) == target.shape and has_channels(target.shape)
    return emission.view(inputs[0]) if same else None


def operation_of(
    emission: CudaEmitContext, product: Product, epilogue: LibraryEpilogue
) -> LibraryProduct | None:
    """What a library is asked for; None for a product that none of them knows."""
    # Libraries know rectangular windows over whole pixels, one output, no phases.
    window = product.window or Geometry()
    alone = len(product.targets) == 1 and product.phases is None and not emission.exact
    if not alone or (product.window is None and not product.pointwise):
        return None
    x, y = product.x, product.targets[0].view
    length, item = len(product.taps) * product.channels, emission.precision.item
    steps = [x.place.offset, x.ld, y.place.offset, y.ld]
    steps += [epilogue.other.place.offset, epilogue.other.ld] if epilogue.other else []
    outputs = y.c // product.groups
    steps += [product.channels, outputs] if product.groups > 1 else []
    return LibraryProduct(
        emission.precision.name,
        (x.n, x.h, x.w, product.channels),
        x.ld,
        length + -length % (16 // item),
        (y.h, y.w, outputs) if product.window else (x.h, x.w, outputs),
        y.ld,
        window.kernel,
        window.pad,
        product.stride,
        window.dilation,
        product.groups,
        epilogue.bias is not None,
        epilogue.other.ld if epilogue.other else 0,
        epilogue.relu,
        epilogue.other is not None and overlap(epilogue.other, y),
        # Alignment in bytes: of every place and distance that the library will step by.
        next(a for a in (16, 8, 4, 2) if all(item * step % a == 0 for step in steps)),
    )


def library_launches(
    emission: CudaEmitContext,
    product: Product,
    algorithm: LibraryAlgorithm,
    epilogue: LibraryEpilogue,
    taken: int = 0,
) -> list[Launch]:
    """A product by a library's algorithm, and a kernel for the rest of its epilogue."""
    target, item = product.targets[0], emission.precision.item
    y, memory = target.view, taken
    # The rest of the epilogue would read what the library has overwritten: let it write to
    # the workspace, and the chain's kernel bring it home.
    if any(overlap(y, read) for read in _read_later(emission, target, epilogue)):
        y = dense(Workspace(taken), y.n, y.h, y.w, y.c)
        memory += -(-y.count // 128) * 128
    operation = operation_of(
        emission, replace(product, targets=(replace(target, view=y),)), epilogue
    )
    assert operation is not None
    product_launch = Launch(
        product.name,
        LibraryKernel(operation, algorithm),
        (1, 1, 1),
        0,
        _arguments(emission, product, y, epilogue, memory),
        tuple(v for v in (product.x, epilogue.other) if v),
        (y, dense(Workspace(memory), 1, 1, 1, -(-algorithm.workspace // item))),
        item * memory + algorithm.workspace,
    )
    if epilogue.rest or _bias_left(target, epilogue) is not None:
        return [product_launch, *rest_launches(emission, product, y, epilogue)]
    return [product_launch]


def _bias_left(target: FusedOutput, epilogue: LibraryEpilogue) -> Weights | None:
    return target.bias if epilogue.bias is None else None


def _rest(target: FusedOutput, epilogue: LibraryEpilogue) -> FusedOutput:
    return replace(target, stages=epilogue.rest, bias=_bias_left(target, epilogue))


def _read_later(
    emission: CudaEmitContext, target: FusedOutput, epilogue: LibraryEpilogue
) -> Sequence[View]:
    """Values that the rest of an ending reads; a library's result must not lie there."""
    return epilogue_code(emission, [_rest(target, epilogue)]).reads


def rest_launches(
    emission: CudaEmitContext, product: Product, y: View, epilogue: LibraryEpilogue
) -> list[Launch]:
    """The kernel that makes the product's output of a library's result at ``y``."""
    steps = chain_launch(emission, product.name, y, _rest(product.targets[0], epilogue))
    return [step for step in steps if isinstance(step, Launch)]


def _arguments(
    emission: CudaEmitContext, product: Product, y: View, epilogue: LibraryEpilogue, memory: int
) -> tuple[Argument, ...]:
    weights = emission.stored(padded(product.weights(), emission.precision.item))
    return (
        *(product.x.place, weights, y.place),
        0 if epilogue.bias is None else emission.stored(epilogue.bias.reshape(-1)),
        epilogue.other.place if epilogue.other else 0,
        Workspace(memory),
    )
