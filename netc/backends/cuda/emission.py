"""What emitters are given: views of values, trained arrays, the device; and the fallback step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from netc.backends.cuda.chain import ChainCode, FusedOutput
from netc.backends.cuda.chains import chain_code
from netc.backends.cuda.device import Facts
from netc.backends.cuda.fallback import array_form, run_on_device, run_on_host
from netc.backends.cuda.lowering import ChainRecord
from netc.backends.cuda.program import Argument, ArrayStep, DeviceContext, Launch, Steps
from netc.backends.cuda.rules import zero_channels
from netc.backends.cuda.source import Code, Constant, Kernel
from netc.backends.shared.derived import Weights, derived, trained
from netc.backends.shared.layout import view_of
from netc.backends.shared.views import Arena, Place, View
from netc.backends.variables import Variables
from netc.ir.graph import Graph, Node
from netc.ops.array import AnyArray, contiguous
from netc.ops.fused import BoundStage
from netc.plan.storage import BYTES, Storage

THREADS = 256  # of a block, where a kernel does not care
# Processors that sums are shared out for. The device's number would make their order its own; so it
# follows from shapes alone.
SUMMING = 128
RESIDENT = 1024  # threads on each processor that hide what loads take


@dataclass(frozen=True)
class Precision:
    """The number types of values, weights and products.

    Args:
        name: as the caller says it.
        half: whether values and the products' weights are stored as float16.
        matrix: 0 for float32 arithmetic, 1 for TF32 matrix units, 2 for those of float16.
    """

    name: str
    half: bool
    matrix: int

    @property
    def item(self) -> int:
        """Bytes of a stored element."""
        return 2 if self.half else 4

    @property
    def kind(self) -> type[np.float32] | type[np.float16]:
        """The stored elements' type."""
        return np.float16 if self.half else np.float32

    @property
    def text(self) -> str:
        """The stored elements' type in kernels."""
        return "half_t" if self.half else "float"


PRECISIONS = {
    "float32": Precision("float32", False, 0),
    "tf32": Precision("tf32", False, 1),
    "fp16": Precision("fp16", True, 2),
}


_LOST = 0x1FFF  # the bits of a float32 that a TF32 number has not


def as_tf32(array: AnyArray) -> AnyArray:
    """Numbers rounded to TF32, ties away from zero; the array itself where they are already."""
    bits = array.view(np.uint32)
    if isinstance(array, np.ndarray) and not (bits & _LOST).any():
        return array
    rounded = ((bits + (_LOST + 1) // 2) & ~np.uint32(_LOST)).view(np.float32)
    kept: AnyArray = np.where(np.isfinite(array), rounded, array)
    return kept


def _in_one_piece(array: AnyArray, kind: type[np.floating]) -> AnyArray:
    with np.errstate(over="ignore"):
        return contiguous(array, kind)


@dataclass(frozen=True)
class CudaEmitContext:
    """One graph being made into steps.

    Args:
        graph: after all passes.
        views: where each value lies, in elements.
        facts: the device.
        precision: of products and stored values.
        exact: no algorithm that changes the order of sums within a window.
        variables: the places of the graph's variables.
        records: how each chain will run, by the value that it makes.
        in_place: values that lie in variables, with their names.
    """

    graph: Graph
    views: Mapping[str, View]
    facts: Facts
    precision: Precision = PRECISIONS["float32"]
    exact: bool = False
    variables: Variables = field(default_factory=Variables)
    records: Mapping[str, ChainRecord] = field(default_factory=dict)
    in_place: Mapping[str, str] = field(default_factory=dict)

    def view(self, value: str) -> View:
        """Where a value lies."""
        return self.views[value]

    def place(self, value: str) -> Place:
        """Where a value starts."""
        return self.views[value].place

    def array(self, parameter: str) -> Weights:
        """A trained array, derived if it is a variable."""
        return trained(self.graph, self.variables, parameter)

    def arrays(self, node: Node) -> list[Weights]:
        """A node's trained arrays."""
        return [self.array(name) for name in node.parameters]

    def stored(self, array: Weights) -> Weights:
        """An array as the kernels of products read it."""
        return derived(_in_one_piece, array, self.precision.kind)

    def factors(self, array: Weights) -> Weights:
        """Weights as tiled products read them: for TF32 rounded already, as they need be once."""
        stored = self.stored(array)
        return derived(as_tf32, stored) if self.precision.name == "tf32" else stored

    def kernel(
        self, template: str, constants: Mapping[str, Constant], code: Code | None = None
    ) -> Kernel:
        """A kernel over stored values."""
        types = (("value_t", self.precision.text),)
        return Kernel(template, tuple(constants.items()), types, code)

    def chain(self) -> ChainCode:
        """A chain without stages."""
        return ChainCode(self.graph, self.views, self.array)

    def target(
        self, value: str, stages: Sequence[BoundStage] = (), bias: Weights | None = None
    ) -> FusedOutput:
        """An output, the bias of the product that makes it, and the stages after that."""
        return FusedOutput(self.view(value), self.graph.shape(value), tuple(stages), bias)


# None where the emitter has no kernel for such a node.
Emitter = Callable[[CudaEmitContext, Node], Steps | None]


def blocks(count: int, each: int = THREADS) -> tuple[int, int, int]:
    """A grid that walks over ``count`` elements."""
    return (max(1, min(-(-count // each), 1 << 20)), 1, 1)


def side(emission: CudaEmitContext, count: int, views: Sequence[View], limit: int = 4) -> int:
    """Neighbouring channels that a thread makes: ``limit``, if that leaves threads enough, else 1.

    Args:
        emission: the graph's.
        count: elements to make.
        views: what is read and written so.
        limit: 2 or 4.
    """
    enough = count // limit >= RESIDENT * emission.facts.processors
    numbers = (n for v in views for n in (v.place.offset, v.c, v.ld))
    return limit if enough and all(n % limit == 0 for n in numbers) else 1


@dataclass(frozen=True)
class EpilogueCode:
    """A kernel's epilogue: code, its arguments, and what it reads and writes."""

    code: Code
    arguments: tuple[Argument, ...]
    reads: tuple[View, ...]
    writes: tuple[View, ...]


def epilogue_code(
    emission: CudaEmitContext, targets: Sequence[FusedOutput], beside: int = 0
) -> EpilogueCode:
    """The epilogue of a kernel with these outputs; of one that makes so many channels at once."""
    chain = replace(emission.chain(), beside=beside)
    code, arguments = chain_code(chain, targets)
    return EpilogueCode(code, arguments, tuple(chain.reads), tuple(t.view for t in targets))


def element_launch(
    emission: CudaEmitContext,
    name: str,
    template: str,
    constants: Mapping[str, Constant],
    arguments: Sequence[Argument],
    count: int,
    reads: Sequence[View],
    writes: Sequence[View] = (),
    epilogue: EpilogueCode | None = None,
) -> Steps:
    """A kernel of which each thread makes an element at a time; nothing where there are none."""
    if count == 0:
        return []
    kernel = emission.kernel(template, constants, epilogue.code if epilogue else None)
    tail = epilogue.arguments if epilogue else ()
    return [
        Launch(
            name,
            kernel,
            blocks(count),
            THREADS,
            (*arguments, *tail),
            (*reads, *(epilogue.reads if epilogue else ())),
            (*writes, *(epilogue.writes if epilogue else ())),
        )
    ]


def chain_launch(emission: CudaEmitContext, name: str, x: View, target: FusedOutput) -> Steps:
    """A chain of elementwise layers over the pixels at ``x``."""
    epilogue = epilogue_code(emission, [target])
    each = side(emission, x.count, (x, *epilogue.reads, *epilogue.writes))
    epilogue, count = epilogue_code(emission, [target], each), x.count // each
    given = (x.place, x.ld, x.c, count)
    return element_launch(
        emission, name, "chain", {"VEC": each}, given, count, [x], epilogue=epilogue
    )


def fallback_step(emission: CudaEmitContext, node: Node) -> Steps:
    """A node run by its op's definition: on the device where it is written for it, or the host."""
    on_device = array_form(node)
    run = run_on_device if on_device else run_on_host
    graph, views = emission.graph, emission.views

    def step(context: DeviceContext) -> None:
        run(context, graph, node, views)

    return [ArrayStep(node.name, step, host=not on_device)]


def storage_views(graph: Graph, storage: Storage) -> Mapping[str, View]:
    """Where each value lies, in elements from the arena's start."""
    views = {}
    for value, alias in storage.places.items():
        start = Arena(storage.arena.offsets.get(alias.root, 0) // BYTES)
        own = view_of(graph.shape(value), start)
        whole = view_of(graph.shape(alias.root), start)
        if alias.root == value or whole.c == own.c:
            views[value] = own.padded(zeros) if (zeros := zero_channels(graph, value)) else own
        else:
            views[value] = whole.channels(alias.channels, alias.channels + own.c)
    return views
