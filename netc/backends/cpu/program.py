"""Programs: what a planner gives and a context (:mod:`netc.backends.cpu.context`) runs.

A :class:`Program` is a sequence of steps over one arena of float32. A :class:`Step` is a compiled
kernel with its arguments; builders in :mod:`netc.backends.cpu.steps` make them from views of
values (:class:`netc.backends.shared.views.View`). A :class:`PythonStep` is anything else: it is
called between compiled steps with the context, whose :meth:`Context.array` shows values as NumPy
arrays.

    view_x = dense(Arena(0), 1, 56, 56, 64)
    view_y = dense(Arena(56 * 56 * 64), 1, 56, 56, 64)
    program = Program((conv_step(...),), arena=2 * 56 * 56 * 64)
    context = Context(program, threads=2)
    context.run([image, result])  # arrays that External(0) and External(1) name

Builders, all in ``steps``: ``choice.convolution_steps`` (picks product, Winograd or depthwise),
``deconv.deconv_steps``, ``depthwise.depthwise_deconv_steps``, ``linear.linear_step`` (inputs in
Caffe's order), ``pooling``, ``normalization`` (LRN, softmax), ``elementwise.chain_step``, and
``moving`` and ``transpose`` (copies, permutations, edges). ``epilogue.Epilogue`` is what products
do to a result before the one store. Steps that need memory shared by threads ask for it in
``workspace``.

A program is immutable and shared. A context has an arena and threads of its own; any number of
contexts of one program may run at once, each from one thread at a time. Running allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from netc.backends.cpu import jit
from netc.backends.cpu.machine import Machine, machine
from netc.backends.cpu.memory import ALIGNMENT, rounded
from netc.backends.shared.derived import Derived
from netc.backends.shared.views import Arena, Buffer, External, Place, View, Workspace
from netc.ir.types import Shape
from netc.ops.array import AnyArray

if TYPE_CHECKING:
    from netc.backends.cpu.context import Context

Constant = AnyArray
Argument = int | float | Place | Constant | Derived
PROGRAM_LOOP = jit.spec("runner", "run")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A compiled kernel and its arguments.

    Args:
        name: the layer's name, for times and messages.
        kernel: what to run.
        args: int; float (becomes float32 bits); a place in the arena or in the caller's arrays
            (becomes its address); or an array, perhaps a derived one (becomes the address of its
            data; it is kept alive).
        units: independent pieces of work; each is done by one thread.
        scratch: bytes of scratch memory that a thread needs.
        grain: units that a thread takes at a time at least.
        workspace: bytes of memory shared by all threads that the step needs at ``Workspace()``;
            steps with one name that follow each other may hand data over in it.
        pointwise_reads: places among the arguments of which each element is read by the unit that
            then writes the element of the same index, and by no other: the output may lie there.
        first: the number of the first unit; above 0 where ranks share the units of a step.
    """

    name: str
    kernel: jit.KernelSpec
    args: tuple[Argument, ...]
    units: int
    scratch: int = 0
    grain: int = 1
    workspace: int = 0
    pointwise_reads: tuple[Place, ...] = ()
    first: int = 0

    def share(self, part: int, parts: int) -> Step:
        """The step with an equal share of its units, number ``part`` of ``parts``."""
        begin, end = (self.units * p // parts for p in (part, part + 1))
        return replace(self, units=end - begin, first=self.first + begin)

    @property
    def touched(self) -> frozenset[str]:
        """Names of the buffers that it reads or writes."""
        return frozenset(a.name for a in self.args if isinstance(a, Buffer))

    @property
    def pointwise(self) -> frozenset[str]:
        """Names of the buffers that it reads element by element."""
        return frozenset(a.name for a in self.pointwise_reads if isinstance(a, Buffer))


@dataclass(frozen=True, slots=True, eq=False)
class PythonStep:
    """A step done by NumPy on arrays over stored values.

    Args:
        name: for times and messages.
        function: takes the arrays; writes to those that it makes.
        values: what it sees and nothing else: each a view, and the shape as which it is seen
            (None: (n, c, h, w) whatever its axes).
        reads_first: all that is read is read before anything is written.
        finishes: kernels have done the work, and it makes one number of what they left, or raises;
            no layer's definition runs.
    """

    name: str
    function: Callable[..., None]
    values: tuple[tuple[View, Shape | None], ...]
    reads_first: bool = False
    finishes: bool = False

    def __call__(self, context: Context) -> None:
        """Run it on the values as a context has them."""
        self.function(*(context.seen(view, shape) for view, shape in self.values))

    @property
    def touched(self) -> frozenset[str]:
        """Names of the buffers that it reads or writes."""
        places = (view.place for view, _ in self.values)
        return frozenset(place.name for place in places if isinstance(place, Buffer))

    @property
    def pointwise(self) -> frozenset[str]:
        """Names of the buffers that it reads before it writes."""
        return self.touched if self.reads_first else frozenset()


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, and the size of the arena they use in floats.

    ``buffers`` says where each buffer that the steps name begins.
    """

    steps: tuple[Step | PythonStep, ...]
    arena: int
    target: Machine | None = None
    buffers: Mapping[str, Arena | External] = field(default_factory=dict)

    def resolved(self, place: Place) -> Arena | External | Workspace:
        """A place with its buffer's own place in it."""
        if isinstance(place, Buffer):
            begin = self.buffers[place.name]
            return begin._replace(offset=begin.offset + place.offset)
        return place

    @property
    def machine(self) -> Machine:
        """What its kernels are compiled for."""
        return self.target or machine()

    @cached_property
    def segments(self) -> tuple[PythonStep | tuple[Step, ...], ...]:
        """Runs of compiled steps, and Python steps between them."""
        found: list[PythonStep | tuple[Step, ...]] = []
        for compiled, group in groupby(self.steps, lambda s: isinstance(s, Step)):
            if compiled:
                found.append(tuple(s for s in group if isinstance(s, Step)))
            else:
                found.extend(s for s in group if isinstance(s, PythonStep))
        return tuple(found)

    @cached_property
    def by_definition(self) -> tuple[str, ...]:
        """Names of the layers that run by their definitions, in order."""
        slow = (s for s in self.steps if isinstance(s, PythonStep))
        return tuple(s.name for s in slow if not s.finishes)

    @cached_property
    def workspace(self) -> int:
        """Bytes of memory that threads share during a step."""
        return max((s.workspace for s in self.steps if isinstance(s, Step)), default=0)

    @cached_property
    def scratch(self) -> int:
        """Bytes of memory that each thread has for itself."""
        scratch = max((s.scratch for s in self.steps if isinstance(s, Step)), default=0)
        return rounded(scratch) + ALIGNMENT

    def working(self, threads: int) -> int:
        """Bytes that a context has besides the arena."""
        return self.workspace + self.scratch * threads

    @cached_property
    def derived(self) -> tuple[Derived, ...]:
        """The arrays among the arguments that are made of variables."""
        compiled = (s for s in self.steps if isinstance(s, Step))
        return tuple(dict.fromkeys(a for s in compiled for a in s.args if isinstance(a, Derived)))

    def compile(self, progress: jit.Progress | None = None) -> None:
        """Have every kernel's machine code ready."""
        self.addresses(progress)

    def addresses(self, progress: jit.Progress | None = None) -> dict[jit.KernelSpec, int]:
        """Each kernel's address, the program loop's included."""
        kernels = [s.kernel for s in self.steps if isinstance(s, Step)]
        return dict(jit.load([PROGRAM_LOOP, *kernels], self.machine, progress))
