"""Public nets of the corpus, checked and run one by one; ``benchmarks.forks --corpus`` shows them.

With ``run`` each deploy net is compiled for CPUs and run, and of each training net a forward and a
backward pass are made, on seeded weights. Inputs whose sizes no text tells are made up. A net that
would take more arithmetic than ``MOST_MACS`` runs on a smaller batch. Each net runs in a process of
its own that is ended where it takes too long.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.broken import BROKEN
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.analysis.cost import graph_cost
from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import NetText, build, read_net, runnable
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.memory import VARIABLE
from netc.ops.catalog import LAYERS
from netc.ops.define import LayerContext
from netc.ops.fork_inputs import PYTHON_INPUT, unlisted_data_layer
from netc.ops.python import PYTHON
from netc.weights.match import assign

MOST_MACS = 20e9  # of a pass on the batch that the text says; above it the batch is BATCH
BATCH = 2
TOO_LARGE = "too-little-memory"  # the code of what the limit of memory does not let run


@dataclass(frozen=True)
class Outcome:
    """What became of a case or a net: "" where it agrees or runs, else why not."""

    name: str
    group: str
    fault: str

    @property
    def counts(self) -> bool:
        """Whether it is one of those that a Caffe runs, and that were tried."""
        return not self.group.startswith("(")


@dataclass(frozen=True)
class Task:
    """A net of the corpus, and what to do with it."""

    path: Path
    name: str
    trained: bool
    run: bool

    @property
    def group(self) -> str:
        """Its row in the table."""
        return "training nets" if self.trained else "deploy nets"


def tasks(corpus: Path, only: str = "", run: bool = False) -> Iterator[Task]:
    """The nets of the corpus whose names hold ``only``."""
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["kind"] == "net" and only in row["file"]:
                path = corpus / "files" / row["file"]
                yield Task(path, row["file"], row["role"] != "deploy", run)


def outcome(task: Task) -> Outcome:
    """What becomes of a net in this process.

    A net counts where no layer, field or shape of it is in error; one to train in the phase that
    has its data.
    """
    if task.name in BROKEN:
        return Outcome(task.name, f"(no Caffe runs: {task.group})", BROKEN[task.name])
    return judged(task, net_fault(task.path, task.trained, task.run))


def judged(task: Task, fault: str) -> Outcome:
    """A net that was tried; one that is too large for this machine does not count."""
    large = fault.startswith(TOO_LARGE)
    return Outcome(task.name, f"(too large: {task.group})" if large else task.group, fault)


def outcomes_apart(nets: Sequence[Task], memory: str, seconds: float) -> Iterator[Outcome]:
    """The outcomes of nets that are run in another process.

    Args:
        nets: what to run.
        memory: the most that a net may take, as NETC_MAX_MEMORY has it.
        seconds: after which a net is given up.
    """
    runner = Runner(memory, seconds)
    try:
        for task in nets:
            yield outcome(task) if task.name in BROKEN else runner.run(task)
    finally:
        runner.end()


class Runner:
    """A process that runs nets, made anew when it had to be ended."""

    def __init__(self, memory: str, seconds: float) -> None:
        self._memory, self._seconds = memory, seconds
        self._process: multiprocessing.process.BaseProcess | None = None
        self._ours: Connection | None = None

    def run(self, task: Task) -> Outcome:
        """The outcome of a net, or that it took too long or ended the process."""
        if self._ours is None:
            self._start()
        assert self._ours is not None
        self._ours.send(task)
        try:
            if self._ours.poll(self._seconds):
                made: Outcome = self._ours.recv()
                return made
            fault = f"timeout: more than {self._seconds:.0f} s"
        except EOFError:
            fault = "crash: the process ended"
        self.end()
        return judged(task, fault)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        os.environ[VARIABLE] = self._memory
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._ours = None


def _work(theirs: Connection) -> None:
    while True:
        try:
            task = theirs.recv()
        except EOFError:
            return
        try:
            made = outcome(task)
        except Exception as error:  # what netc should have told as a NetcError
            made = judged(task, f"crash: {type(error).__name__}: {error}"[:300])
        theirs.send(made)


def net_fault(path: Path, trained: bool, run: bool) -> str:
    """Why a net is not complete, or does not run; "" where it is and does."""
    try:
        text = read_net(path)
    except NetcError as error:
        return fault_of(error.diagnostics)
    faults = []
    for phase, stages in product(("TRAIN", "TEST") if trained else ("TEST",), stage_sets(text)):
        built = build(text.message, phase=phase, stages=stages)
        fault = fault_of([d for d in built.diagnostics if d.severity == "error"])
        if run and not fault:
            fault = _run_fault(text, phase, stages)
        if not fault:
            return ""
        faults.append(fault)
    return faults[0]


MOST_STAGES = 6  # of a text, of which every set is tried


def stage_sets(text: NetText) -> Iterator[tuple[str, ...]]:
    """No stage, then every set of those that the net's rules name, small ones first."""
    rules = (r for layer in text.message.get("layer") for kind in ("include", "exclude")
             for r in layer.get(kind))  # fmt: skip
    named = dict.fromkeys(s for r in rules for kind in ("stage", "not_stage") for s in r.get(kind))
    for size in range(len(named) + 1 if len(named) <= MOST_STAGES else 1):
        yield from combinations(named, size)


def _run_fault(text: NetText, phase: str, stages: Sequence[str]) -> str:
    """Why a net does not run, or pass gradients back; sizes that no text tells are made up."""
    faults = [_run_sized(text, phase, stages, GUESSES[0])]
    for guess in GUESSES[1:]:
        if faults[-1].startswith("shape-mismatch"):
            faults.append(_run_sized(text, phase, stages, guess))
    return faults[0] if faults[-1] else ""


def _run_sized(text: NetText, phase: str, stages: Sequence[str], picture: Shape) -> str:
    try:
        inputs = made_up(text, phase, picture, stages)
        graph = runnable(build(text.message, phase=phase, stages=stages, inputs=inputs))
        _run(_affordable(text, graph, phase, stages, inputs), phase)
    except NetcError as error:
        return fault_of(error.diagnostics)
    return ""


def _run(graph: Graph, phase: str) -> None:
    """A forward pass; in TRAIN with the gradients of what is trained."""
    loaded, _ = assign(graph, seeded_weights(graph))
    net = CompiledNet(loaded, "cpu", Options((), False, None, None, None))
    feeds = seeded_inputs(graph)
    if phase == "TRAIN":
        net.gradients(feeds, wrt=())
    else:
        net(feeds)


def _affordable(
    text: NetText, graph: Graph, phase: str, stages: Sequence[str], inputs: dict[str, Shape]
) -> Graph:
    """The graph, or the one of a smaller batch where it takes much and the net allows it."""
    shapes = {graph.values[name].blob: graph.shape(name) for name in graph.inputs}
    batch = next(iter(shapes.values()), (1,))[:1]
    if graph_cost(graph).total.macs <= MOST_MACS or batch <= (BATCH,):
        return graph
    less = {n: (BATCH, *shape[1:]) for n, shape in shapes.items() if shape[:1] == batch}
    try:
        made = build(text.message, phase=phase, stages=stages, inputs={**inputs, **less})
        return runnable(made)
    except NetcError:  # its sizes are bound to the batch that the text says
        return graph


IMAGES, ROWS = 2, 4  # where a data layer's text leaves the sizes open
# Pictures of ImageNet, MNIST and its pairs, CIFAR, CamVid, people, Pascal VOC for YOLO.
GUESSES: tuple[Shape, ...] = (
    (3, 224, 224), (3, 227, 227), (1, 28, 28), (2, 28, 28), (3, 32, 32), (3, 360, 480),
    (3, 144, 56), (3, 160, 64), (3, 416, 416),
)  # fmt: skip


def made_up(
    text: NetText, phase: str, picture: Shape = GUESSES[0], stages: Sequence[str] = ()
) -> dict[str, Shape]:
    """Shapes of the inputs whose text does not tell them: pictures, and labels of each."""
    graph, given = build(text.message, phase=phase, stages=stages).graph, {}
    for layer in text.message.get("layer"):
        op = LAYERS.get(layer.get("type")) or unlisted_data_layer(layer)
        op = PYTHON_INPUT if op is PYTHON and not layer.get("bottom") else op
        tops = layer.get("top")
        open_tops = any(t in graph.inputs and graph.values[t].shape is None for t in tops)
        if op is not None and op.source and open_tops:
            params = op.params(layer, LayerContext(phase, 0, len(tops)))
            shapes = [_filled(shape, at, picture) for at, shape in enumerate(params.shapes)]
            shapes[1:] = params.completed([shapes[0], *params.shapes[1:]])[1:]
            made = [_filled(shape, at, picture, shapes[0][0]) for at, shape in enumerate(shapes)]
            given.update(zip(tops, made, strict=True))
    return {name: shape for name, shape in given.items() if name in graph.inputs}


def _filled(
    shape: tuple[int | None, ...] | None, at: int, picture: Shape, images: int = IMAGES
) -> Shape:
    """A shape with its open sizes filled in: a picture's, or rows."""
    if shape is None:
        return (images, *picture) if at == 0 else (images,)
    if at > 0:
        return tuple(ROWS if size is None else size for size in shape)
    sizes = (images, *picture)
    return tuple(s if s is not None else sizes[min(i, 3)] for i, s in enumerate(shape))


def fault_of(found: Sequence[Diagnostic]) -> str:
    """The first error, or else the first of what is told, in a line."""
    errors = [d for d in found if d.severity == "error"] or found
    return f"{errors[0].code}: {errors[0].message}" if errors else ""
