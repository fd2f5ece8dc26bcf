"""``netc build``: a net as a folder with a library, its header, its weights and an example."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from netc.aot import example
from netc.aot.library import PlannedLibrary, identifier, library_of
from netc.aot.objects import Progress, kernel_objects
from netc.aot.page import PagePicture, page
from netc.aot.source import Weights, header, source, weights_file
from netc.aot.targets import target_of
from netc.aot.toolchain import Toolchain, run, toolchain_for
from netc.backends.base import Options
from netc.backends.cpu.backend import build_program
from netc.backends.cpu.emit.table import can_be_bounded
from netc.backends.cpu.precision import warn_if_slow
from netc.backends.registry import backend_options
from netc.backends.variables import Variables
from netc.diagnostics import Diagnostic, NetcError
from netc.files import replacing
from netc.ir.graph import Graph
from netc.ir.types import count
from netc.ops.reduced import Int8
from netc.passes.pipeline import chosen
from netc.plan.rows import bounded_rows
from netc.plan.split import split

Threads = Literal["pthread", "none"]
Placement = Literal["embed", "file"]


class Choices(NamedTuple):
    """The options of `netc build`.

    Args:
        target: such as "aarch64-linux-gnu"; None for this machine.
        cpu: the oldest processor it must run on, by LLVM's name, or "native"; None for the
            target's default (netc.aot.targets.DEFAULT_CPUS).
        threads: "pthread" allows several threads per instance; "none" depends on libc only.
        weights: "embed" puts them into the library, "file" into a file beside it.
        precision: as for :func:`netc.compile`.
        name: prefix of all public C names; None for the net's own name.
        optimize: which passes run, as for :func:`netc.compile`.
        layers: with precision "int8": layer -> scale and zero point of its input.
    """

    target: str | None = None
    cpu: str | None = None
    threads: Threads = "pthread"
    weights: Placement = "embed"
    precision: str = "float32"
    name: str | None = None
    optimize: bool | str | Sequence[str] = True
    layers: Mapping[str, Int8] | None = None


class BuiltLibrary(NamedTuple):
    """What was built: the planned library, the toolchain's name, and kind of file -> path."""

    library: PlannedLibrary
    toolchain: str
    files: Mapping[str, Path]


def plan_library(graph: Graph, choices: Choices) -> PlannedLibrary:
    """Plan a library for a graph with shapes and arrays; nothing is compiled or written.

    Raises:
        NetcError: no-kernel, with every layer that has none; unknown-target, unknown-cpu;
            dynamic-size, where a blob's shape depends on the input's values; empty-blob.
    """
    target = target_of(choices.target, choices.cpu)
    _check_sizes(graph)
    own = backend_options("cpu", choices.precision, choices.layers)
    exact = choices.optimize in (False, "exact")
    options = Options(chosen(choices.optimize), exact, 1, own)
    built = build_program(graph, options, Variables(), target.machine, can_be_bounded)
    warn_if_slow(built.plan.context, f"processor `{target.machine.cpu}`")
    name = identifier(choices.name or graph.name or "net")
    threads = choices.threads == "pthread" and not target.is_wasm
    library = library_of(built, target, name, threads=threads)
    return replace(library, net=graph.name)


def _check_sizes(graph: Graph) -> None:
    """Refuse what a library of fixed shapes cannot do."""
    _, rest = split(graph, bounded_rows(graph, can_be_bounded))
    if rest is not None:
        faults = [
            Diagnostic(
                "dynamic-size",
                f"layer `{node.name}` ({node.op}) has a size that only a run tells or needs one",
                node.span,
                help=("`--until BLOB` builds the net up to a blob before it",),
            )
            for node in rest.nodes[:1]
        ]
        raise NetcError(faults)
    for name, value in graph.values.items():
        if value.shape is not None and count(value.shape) == 0:
            message = f"blob `{name}` has no elements: there is nothing to build"
            raise NetcError(Diagnostic("empty-blob", message, value.span))


def build(
    graph: Graph,
    out: Path,
    choices: Choices,
    progress: Progress | None = None,
    picture: PagePicture | None = None,
) -> BuiltLibrary:
    """Write the library, its header, weights, example and build files into a folder.

    Args:
        graph: with arrays, and with the input shapes that the library is fixed to.
        out: the folder; created if it does not exist.
        choices: the library's options.
        progress: called as (done, total, name) while kernels are compiled.
        picture: the preprocessing for a demo page; for the target wasm32 only.

    Raises:
        NetcError: what :func:`plan_library` raises; no-compiler, compiler-failed, cannot-write;
            no-page, for another target or a net whose input is not one picture.
    """
    library = plan_library(graph, choices)
    if picture is not None and not library.target.is_wasm:
        message = f"a page runs WebAssembly, and the target is `{library.target.name}`"
        raise NetcError(Diagnostic("no-page", message, help=("--target wasm32",)))
    kind: Weights = "memory" if library.target.is_wasm else choices.weights
    tools = toolchain_for(library.target)
    objects = kernel_objects(library.kernels, library.target, library.name, progress or _silent)
    symbols = {kernel: symbol for kernel, (symbol, _) in objects.items()}
    texts = {
        f"{library.name}.h": header(library, kind=kind),
        f"{library.name}.c": source(library, symbols, kind=kind),
    }
    if not library.target.is_wasm:
        texts["example.c"] = example.program(library, embedded=kind == "embed")
        texts["CMakeLists.txt"] = example.cmake(library)
    with tempfile.TemporaryDirectory(prefix="netc-build-") as folder:
        work = Path(folder)
        for name, text in texts.items():
            (work / name).write_text(text, "utf-8")
        binary = [work / f"{symbol}.o" for symbol, _ in objects.values()]
        for path, (_, code) in zip(binary, objects.values(), strict=True):
            path.write_bytes(code)
        files = _compiled(library, work, binary, tools, kind)
        if picture is not None:
            module = (work / f"{library.name}.wasm").read_bytes()
            weights = weights_file(library)
            (work / "index.html").write_text(page(library, module, weights, picture), "utf-8")
            files.append("index.html")
        out.mkdir(parents=True, exist_ok=True)
        written = {name: out / name for name in (*texts, *files)}
        for name, path in written.items():
            with replacing(path) as new:
                new.write_bytes((work / name).read_bytes())
    return BuiltLibrary(library, tools.name, written)


def _silent(done: int, total: int, name: str) -> None:
    pass


def _compiled(
    library: PlannedLibrary, work: Path, kernels: Sequence[Path], tools: Toolchain, kind: Weights
) -> list[str]:
    """Compile, archive and link in a folder; names of the files made."""
    name, made = library.name, []
    flags = ["-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    run([*tools.compiler, *flags, "-c", f"{name}.c", "-o", f"{name}.o"], work, "compiling")
    objects = [f"{name}.o", *(path.name for path in kernels)]
    (work / f"{name}.weights").write_bytes(weights_file(library))
    if kind == "embed":
        (work / f"{name}_weights.S").write_text(_incbin(name), "utf-8")
        command = [*tools.compiler, "-c", f"{name}_weights.S", "-o", f"{name}_weights.o"]
        run(command, work, "embedding weights")
        objects.append(f"{name}_weights.o")
    else:
        made.append(f"{name}.weights")
    run([*tools.archiver, "rcs", f"lib{name}.a", *objects], work, "archiving")
    made.append(f"lib{name}.a")
    if library.target.is_wasm:
        return [*made, *_module(library, work, objects, tools)]
    shared = ["-shared", *objects, "-o", f"lib{name}.so", "-lm"]
    shared += ["-lpthread"] if library.threads else []
    run([*tools.compiler, *shared], work, "linking")
    return [*made, f"lib{name}.so"]


def _incbin(name: str) -> str:
    """The weights, behind the head of their file, as an object's constants."""
    return f"""\
    .section .rodata
    .balign 64
    .globl {name}_weights_begin
    .hidden {name}_weights_begin
{name}_weights_begin:
    .incbin "{name}.weights", 64
    .section .note.GNU-stack,"",%progbits
"""


def _module(
    library: PlannedLibrary, work: Path, objects: Sequence[str], tools: Toolchain
) -> list[str]:
    """A WebAssembly module that exports the interface and memory for the caller's arrays."""
    exported = [f"{library.name}_{word}" for word in ("create", "run", "destroy", "last_error")]
    flags = [f"-Wl,--export={name}" for name in (*exported, "malloc", "free")]
    name = f"{library.name}.wasm"
    command = [*tools.compiler, "-mexec-model=reactor", *objects, "-o", name, *flags, "-Wl,-s"]
    run(command, work, "linking")
    return [name]
