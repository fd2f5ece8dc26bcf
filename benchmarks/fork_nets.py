"""Public nets of the corpus, checked and run one by one; ``benchmarks.forks --corpus`` shows them.

With ``run`` each deploy net is compiled for CPUs and run, and of each training net a forward and a
backward pass are made, on seeded weights. Inputs whose sizes no text tells are made up. A net that
would take more arithmetic than ``MOST_MACS`` runs on a smaller batch. Nets run in a process apart,
which is ended where one takes too much processor time: a busy machine gives up no net.
"""

from __future__ import annotations

import csv
import math
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.broken import BROKEN
from benchmarks.seeded import seeded_inputs, seeded_weights, with_seeded_files
from netc.analysis.batch import with_batch
from netc.analysis.cost import graph_cost
from netc.analysis.example_shapes import example_shapes
from netc.backends.base import Options
from netc.compiled import CompiledNet
from netc.diagnostics import Diagnostic, NetcError
from netc.frontend import NetText, build, read_net, runnable
from netc.ir.graph import Graph
from netc.memory import VARIABLE
from netc.schema.guess import guess_message
from netc.schema.load import load_schema
from netc.surgery.heads import reads_data, role
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source
from netc.weights.match import assign

MOST_MACS = 20e9  # of a pass on the batch that the text says; above it the batch is one of BATCHES
BATCHES = (1, 2)
WAITS = 20  # times as long as a net's processor time is waited for, should it wait for something
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


Depth = Literal["check", "shapes", "run"]
"""What is done with a net: checked as ``netc check`` does; with every shape; run."""


@dataclass(frozen=True)
class Task:
    """A net of the corpus, and what to do with it."""

    path: Path
    name: str
    trained: bool
    depth: Depth = "check"

    @property
    def group(self) -> str:
        """Its row in the table."""
        return "training nets" if self.trained else "deploy nets"


def tasks(corpus: Path, only: str = "", depth: Depth = "check") -> Iterator[Task]:
    """The nets of the corpus whose names hold ``only``."""
    with (corpus / "index.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["kind"] == "net" and only in row["file"]:
                path = corpus / "files" / row["file"]
                yield Task(path, row["file"], row["role"] != "deploy", depth)


def tasks_below(folder: Path, only: str = "", depth: Depth = "check") -> Iterator[Task]:
    """The nets among all texts below a folder, those with data layers or losses to train.

    A text that cannot be read counts too, as one to train where its name says so.
    """
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if only in name:
            trained = is_trained(path)
            if trained is not None:
                yield Task(path, name, trained, depth)


def is_trained(path: Path) -> bool | None:
    """Whether a text is a net to train; None where it is no net."""
    try:
        document = parse_document(read_source(path))
        if guess_message(document, load_schema()).name != "NetParameter":
            return None
        layers = read_net(path).message.get("layer")
    except NetcError:
        return "train" in path.name.lower() or "solver" in path.name.lower()
    return any(reads_data(layer) or role(layer) == "loss" for layer in layers)


def outcome(task: Task) -> Outcome:
    """What becomes of a net in this process.

    A net counts where no layer, field or shape of it is in error; one to train in the phase that
    has its data.
    """
    if task.name in BROKEN:
        return Outcome(task.name, f"(no Caffe runs: {task.group})", BROKEN[task.name])
    return judged(task, net_fault(task.path, task.trained, task.depth))


def judged(task: Task, fault: str) -> Outcome:
    """A net that was tried; one that is too large for this machine does not count."""
    large = fault.startswith(TOO_LARGE)
    return Outcome(task.name, f"(too large: {task.group})" if large else task.group, fault)


def outcomes_apart(nets: Sequence[Task], memory: str, seconds: float) -> Iterator[Outcome]:
    """The outcomes of nets that are run in another process.

    Args:
        nets: what to run.
        memory: the most that a net may take, as NETC_MAX_MEMORY has it.
        seconds: of processor time, all threads together, after which a net is given up.
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
        """The outcome of a net, or that it took too long or ended the process.

        What lacks memory is tried again where no net before it holds any.
        """
        fresh = self._ours is None
        made = self._tried(task)
        if made.fault.startswith(TOO_LARGE) and not fresh:
            self.end()
            made = self._tried(task)
        return made

    def _tried(self, task: Task) -> Outcome:
        if self._ours is None:
            self._start()
        assert self._ours is not None
        self._ours.send(task)
        try:
            if self._ours.poll(WAITS * self._seconds):
                made: Outcome = self._ours.recv()
                return made
            fault = "timeout: it waits"
        except EOFError:
            fault = self._end_fault()
        self.end()
        return judged(task, fault)

    def _end_fault(self) -> str:
        """Why the process ended."""
        assert self._process is not None
        self._process.join()
        if self._process.exitcode == -signal.SIGXCPU:
            return f"timeout: more than {self._seconds:.0f} s of processor time"
        return "crash: the process ended"

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        os.environ[VARIABLE] = self._memory
        self._process = context.Process(target=_work, args=(theirs, self._seconds), daemon=True)
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._ours = None


def _work(theirs: Connection, seconds: float) -> None:
    while True:
        try:
            task = theirs.recv()
        except EOFError:
            return
        limit_time(seconds)
        try:
            made = outcome(task)
        except Exception as error:  # what netc should have told as a NetcError
            made = judged(task, f"crash: {type(error).__name__}: {error}"[:300])
        theirs.send(made)


def limit_time(seconds: float) -> None:
    """Have the system end this process when it has used so much more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def net_fault(path: Path, trained: bool, depth: Depth = "check") -> str:
    """Why a net is not complete, or does not run; "" where it is and does."""
    try:
        text = read_net(path)
    except NetcError as error:
        return fault_of(error.diagnostics)
    faults = []
    for phase, stages in product(("TRAIN", "TEST") if trained else ("TEST",), stage_sets(text)):
        built = build(text.message, phase=phase, stages=stages)
        fault = fault_of([d for d in built.diagnostics if d.severity == "error"])
        if depth != "check" and not fault:
            fault = _run_fault(text, phase, stages, depth)
        if not fault:
            return ""
        faults.append(fault)
    return next((f for f in faults if not f.startswith(_OF_A_PHASE)), faults[0])


_OF_A_PHASE = ("unknown-bottom", "no-loss")  # what a net lacks in a phase that it has no layers for
MOST_STAGES = 6  # of a text, of which every set is tried


def stage_sets(text: NetText) -> Iterator[tuple[str, ...]]:
    """No stage, then every set of those that the net's rules name, small ones first."""
    rules = (r for layer in text.message.get("layer") for kind in ("include", "exclude")
             for r in layer.get(kind))  # fmt: skip
    named = dict.fromkeys(s for r in rules for kind in ("stage", "not_stage") for s in r.get(kind))
    for size in range(len(named) + 1 if len(named) <= MOST_STAGES else 1):
        yield from combinations(named, size)


def _run_fault(text: NetText, phase: str, stages: Sequence[str], depth: Depth) -> str:
    """Why a net does not run, or pass gradients back; sizes that no text tells are made up."""
    try:
        graph = sized(text, phase, stages)
        if depth == "run":
            _run(_affordable(text, graph, phase, stages), phase)
    except NetcError as error:
        return fault_of(error.diagnostics)
    return ""


def sized(text: NetText, phase: str, stages: Sequence[str], batch: int | None = None) -> Graph:
    """A net's graph, with examples of the shapes that its text does not tell.

    Raises:
        NetcError: what stops it from running.
    """
    built = build(text.message, phase=phase, stages=stages)
    given = example_shapes(built.graph, built.layers, batch)
    if batch is not None:
        known = {
            built.graph.values[name].blob: shape
            for name, shape in with_batch(built.graph, batch).items()
        }
        given = {**known, **given}
    return runnable(build(text.message, phase=phase, stages=stages, inputs=given))


def _run(graph: Graph, phase: str) -> None:
    """A forward pass; in TRAIN with the gradients of what is trained."""
    loaded, _ = assign(with_seeded_files(graph), seeded_weights(graph))
    net = CompiledNet(loaded, "cpu", Options((), False, None, None, None))
    feeds = seeded_inputs(graph)
    if phase == "TRAIN":
        net.gradients(feeds, wrt=())
    else:
        net(feeds)


def _affordable(text: NetText, graph: Graph, phase: str, stages: Sequence[str]) -> Graph:
    """The graph, or the one of a smaller batch where it takes much and the net allows it."""
    if graph_cost(graph).total.macs <= MOST_MACS:
        return graph
    for batch in BATCHES:
        try:
            return sized(text, phase, stages, batch)
        except NetcError:  # its sizes are bound to the batch that the text says
            continue
    return graph


def fault_of(found: Sequence[Diagnostic]) -> str:
    """The first error, or else the first of what is told, in a line."""
    errors = [d for d in found if d.severity == "error"] or found
    return f"{errors[0].code}: {errors[0].message}" if errors else ""
