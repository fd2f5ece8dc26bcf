"""The compiler driver: the stages from a net's text to a runnable net, one function each.

    text -> Document -> Message -> Message (current format) -> Graph -> Graph with weights -> net

:func:`netc.compile` and every command that reads a net call these functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netc import arguments
from netc.analysis.given_back import nothing_back
from netc.backends.base import Options, Progress
from netc.backends.registry import backend_options
from netc.compiled import CompiledNet
from netc.diagnostics import (
    Diagnostic,
    NetcError,
    NetcWarning,
    first_of,
    render,
)
from netc.frontend import Schemas, Text, build, folder_of, only_outputs, read_net, runnable
from netc.ir.edit import with_variables
from netc.ir.graph import Graph
from netc.ir.types import Shape
from netc.ir.verify import verify
from netc.layer_arrays import parameter_bytes
from netc.lower import rules
from netc.lower.before import LayerChoice, wanted_part
from netc.lower.files import with_files, with_filler_files
from netc.memory import Budget, budget_of, size_of, using
from netc.ops.catalog import CATALOG, LAYERS
from netc.ops.define import ErasedOp
from netc.ops.reduced import Int8
from netc.passes.pipeline import chosen
from netc.passes.recompute import blobs_within
from netc.schema.message import Message
from netc.weights.match import assign
from netc.weights.quantized import quantization_in
from netc.weights.zeros import zero_weights

Weights = str | PathLike[str] | Mapping[str, Sequence[Any]] | None


# What is no news where some blobs alone are asked for: it is of inputs and layers beside them.
_UNASKED = frozenset({"unused-weights", "unknown-input-shape"})

if TYPE_CHECKING:
    from netc.sources.reader import DataReader

_EXACT = (False, "exact")  # choices of passes with which kernels keep the order of sums too


def compile(
    net: Text | None = None,
    weights: Weights = None,
    *,
    text: str | None = None,
    backend: str = "cpu",
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Sequence[int]] | None = None,
    outputs: Sequence[str] = (),
    optimize: bool | str | Sequence[str] = True,
    define: Mapping[str, str] | None = None,
    schema: Schemas = None,
    missing: str = "error",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    precision: str = "float32",
    graph: bool = True,
    tune: bool = True,
    variables: bool = False,
    stateful: bool = False,
    max_memory: int | str | Budget | None = None,
    memory: int | str | None = None,
    read_data: bool = False,
    allow_outside: bool = False,
) -> CompiledNet:
    """Compile a net and its weights into a callable: inputs in, output blobs out, all float32.

    Args:
        net, text: path of a prototxt, or a :class:`netc.Source`; or the text itself.
        weights: path of a .caffemodel, .h5 or .npz, or layer -> arrays; None: the layers' fillers.
        backend: "cpu", "cuda" (the current GPU), or "reference" for the plain NumPy definitions.
        phase, level, stages: the NetState; the phase is "TEST" or "TRAIN".
        inputs: input blob -> shape, where the text gives none, or in place of the text's.
        outputs: blobs to return, else those no layer reads; ``BLOB@LAYER``: as LAYER wrote it.
        optimize: True, False, "exact" (no pass that re-associates sums), or names of passes.
        define, schema: placeholder -> value in the text; paths of further caffe.proto files.
        missing, seed: for layers the weights lack: "error", or "fill" (fillers, from ``seed``).
        threads, progress: None for ``NETC_NUM_THREADS`` or all cores; called (done, total, name).
        precision: "float32", "fp16"; on a CPU "bf16", "int8" (quantized weights), on a GPU "tf32".
        graph, tune: GPU: whether to launch all kernels as one CUDA graph; to time kernel variants.
        variables, stateful: whether ``net.params`` is writable; recurrent state outlives a call.
        max_memory: limit in bytes, or as "2GB"; else ``NETC_MAX_MEMORY``, else 80 % of free memory.
        memory: limit for weights and blobs, met by recomputing blobs: see :class:`netc.Solver`.
        read_data, allow_outside: whether data layers read inputs not given; from any folder.

    Raises:
        NetcError: with every mistake found in the text, the weights or the arguments.
    """
    computed = in_precision(precision, weights, optimize)
    own, budget = backend_options(backend, *computed, graph=graph, tune=tune), budget_of(max_memory)
    options = Options(chosen(optimize), optimize in _EXACT, threads, own, progress, memory=budget)
    state = LayerChoice(phase=phase, level=level, stages=arguments.names(stages, "stages"))
    shapes, seed = arguments.shapes(inputs), arguments.number(seed, "seed")
    with using(budget):
        message = read_net(net, text=text, define=define, schema=schema).message
        reader = _reader(message, state, net, seed) if read_data else None
        files = FilesOfText(folder_of(net), allow_outside)
        loaded = load(
            message, state, _read(reader, shapes), outputs, weights, missing, seed, files=files
        )
        made = _made(loaded.graph, net, variables, allow_outside)
        kept = (loaded.diagnostics, seed, loaded.unneeded, stateful, reader)
        return CompiledNet(made, backend, _within(options, memory, made), *kept)


def _read(reader: DataReader | None, shapes: dict[str, Shape]) -> dict[str, Shape]:
    """The shapes that are given, and those of what a reader reads."""
    return {**(reader.shapes if reader else {}), **shapes}


def in_precision(
    precision: str, weights: Weights, optimize: bool | str | Sequence[str] = True
) -> tuple[str, Mapping[str, Int8]]:
    """The precision to compute in, and layer -> int8 scale where the weights are quantized.

    Raises:
        NetcError: unsupported-option, where the weights and what is asked for do not fit.
    """
    found = quantization_in(weights)
    if found is None and precision != "int8":
        return precision, {}
    if found is None:
        message = "precision `int8` is asked for, and the weights do not say how layers are rounded"
        help: tuple[str, ...] = ("`netc quantize NET W --calibrate ...` writes weights that do",)
    elif precision not in ("float32", "int8"):
        message = f"the weights are quantized to int8, and precision `{precision}` is asked for"
        help = ("leave `precision` out, or give the weights that were quantized",)
    elif optimize is not True:
        message = (
            "weights quantized to int8 fit the net as all passes make it, and some are left out"
        )
        help = ("leave `optimize` out, or give the weights that were quantized",)
    else:
        return "int8", found.layers
    raise NetcError(Diagnostic("unsupported-option", message, help=help))


def _reader(message: Message, state: LayerChoice, net: Text | None, seed: int) -> DataReader:
    """What a net's data layers read; loaded here, since most nets have no use for it."""
    from netc.sources.reader import data_reader

    own = rules.NetState(state["phase"], state["level"], tuple(state["stages"]))
    return data_reader(message, own, folder_of(net), seed)


def _within(options: Options, memory: int | str | None, graph: Graph) -> Options:
    """The options with what a limit of all memory leaves for blobs; None for no limit."""
    if memory is None:
        return options
    return replace(options, blobs=blobs_within(size_of(memory, "memory"), parameter_bytes(graph)))


def _made(graph: Graph, net: Text | None, variables: bool, outside: bool) -> Graph:
    """The graph with the files that it names found, and variables where they are wanted."""
    found = with_files(graph, folder_of(net), outside=outside)
    return with_variables(found) if variables else found


class FilesOfText(NamedTuple):
    """The folder of a net's text, None where it is from no file, and whether files may lie outside
    of it.
    """

    folder: Path | None = None
    outside: bool = False


class LoadedNet(NamedTuple):
    """A graph with its weights; ``unneeded`` are the text's inputs that no wanted output reads."""

    graph: Graph
    diagnostics: tuple[Diagnostic, ...]
    unneeded: frozenset[str]


def load(
    message: Message,
    state: LayerChoice,
    shapes: Mapping[str, Shape],
    outputs: str | Sequence[str],
    weights: Weights,
    missing: str,
    seed: int,
    layers: Mapping[str, ErasedOp] = LAYERS,
    files: FilesOfText | None = None,
) -> LoadedNet:
    """NetParameter -> the graph that computes ``outputs``, with weights; arguments as in `compile`.

    ``files`` says where the files lie that fillers name.

    Raises:
        NetcError: as :func:`compile`.
    """
    names = arguments.names(outputs, "outputs")
    part = wanted_part(message, names, shapes, **state)
    built = build(part.message, inputs=part.shapes, layers=layers, **state)
    errors = [d for d in built.diagnostics if d.severity == "error"]
    if errors:
        raise NetcError(first_of(errors))
    asked = runnable(built._replace(graph=only_outputs(built.graph, names)))
    folder, outside = files or FilesOfText()
    asked = with_filler_files(asked, folder, outside=outside)
    graph, matched = assign(asked, weights, missing=missing, seed=seed)
    verify(graph, "loaded", CATALOG)
    found = [d for d in (*built.diagnostics, *matched) if not names or d.code not in _UNASKED]
    seen = (*(zero_weights(graph) if weights is None else ()), *nothing_back(graph))
    for diagnostic in seen:
        warnings.warn(render(diagnostic), NetcWarning, stacklevel=3)
    diagnostics = (*found, *seen)
    return LoadedNet(graph, diagnostics, part.unneeded(graph))
