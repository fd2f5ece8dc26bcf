"""What NVRTC makes of a net's GPU kernels: registers, spills, and the main loops' instructions.

    pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-nvdisasm
    python -m benchmarks.machine_code resnet18 --precision fp16 --sm 90
    python -m benchmarks.machine_code resnet18 --layer LAYER

No GPU is needed. The first form lists the kernels that the net takes on an H100 where nothing was
measured; the second all tiles that a layer's product could take. For products it tells how many
instructions a thread issues for one tile along K, and how many of them multiply. `nvdisasm` is
looked for in PATH and in NVIDIA's wheels; without it there are no instructions. A net is a bundled
one or a file.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.nets import find
from netc.backends.cuda.backend import CudaBackend, CudaExecutable
from netc.backends.cuda.device import Facts
from netc.backends.cuda.emit.table import emit
from netc.backends.cuda.products.launches import config_launches, products_of
from netc.backends.cuda.products.tiles import MATRIX, PLAIN, ProductConfig
from netc.backends.cuda.program import Launch
from netc.backends.cuda.source import Kernel, module_text
from netc.data import prototxt_dir
from netc.ir.types import Shape
from tests.backends.cuda import nvrtc
from tests.backends.cuda.golden_kernels import Collector, options
from tests.backends.cuda.public_nets import zero_graph

H100 = Facts("NVIDIA H100", (9, 0), 132, shared=227 << 10)
_KINDS = ("LDSM", "LDS", "LDGSTS", "LDG", "STS", "BAR")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)([^;]*);")


class Built(NamedTuple):
    """A kernel's machine code and what the assembler says of it."""

    code: bytes
    registers: int
    stack: int
    shared: int


def build(kernel: Kernel, architecture: int) -> Built:
    """Compile one kernel."""
    code, log = nvrtc.compile(module_text([kernel]), architecture, "--ptxas-options=-v")

    def number(pattern: str) -> int:
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    return Built(
        code,
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes smem"),
    )


def disassembler() -> str | None:
    """Where nvdisasm is."""
    spec = util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob("*/bin/nvdisasm"):
            return str(path)
    return shutil.which("nvdisasm")


def instructions(code: bytes, tool: str) -> tuple[list[str], list[tuple[int, int]]]:
    """All instructions in order, and from where to where loops go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        text = subprocess.run(
            [tool, "-c", file.name], capture_output=True, text=True, check=True
        ).stdout
    names: list[str] = []
    labels: dict[str, int] = {}
    loops = []
    for line in text.splitlines():
        if label := _LABEL.match(line.strip()):
            labels[label[1]] = len(names)
        elif found := _INSTRUCTION.search(line):
            target = re.search(r"\.L_x_\d+", found[2]) if found[1].startswith("BRA") else None
            if target and target[0] in labels:
                loops.append((labels[target[0]], len(names)))
            names.append(found[1])
    return names, loops


def main_loop(kernel: Kernel, code: bytes, tool: str) -> Counter[str]:
    """Instructions that a thread issues for one tile along K, by kind, each as often as issued."""
    names, loops = instructions(code, tool)
    matrix, length = kernel.constant("MMA"), kernel.constant("BK")
    results = kernel.constant("WM") * kernel.constant("WN") // 32
    expected = results * length // (1, 32, 64)[matrix]  # PTX ISA: the shapes of mma

    def multiplies(loop: tuple[int, int]) -> int:
        return sum(n.startswith(("FFMA", "HMMA")) for n in names[loop[0] : loop[1] + 1])

    most = max(map(multiplies, loops))
    around = [loop for loop in loops if multiplies(loop) == most]
    outer, inner = max(around, key=_length), min(around, key=_length)
    counts = Counter(map(_kind, names[outer[0] : outer[1] + 1]))
    if most > expected:  # several tiles in one go
        return Counter({kind: round(n * expected / most) for kind, n in counts.items()})
    again = expected // most - 1
    for kind, count in Counter(map(_kind, names[inner[0] : inner[1] + 1])).items():
        counts[kind] += again * count
    return counts


def _length(loop: tuple[int, int]) -> int:
    return loop[1] - loop[0]


def _kind(name: str) -> str:
    if name.startswith(("FFMA", "HMMA")):
        return "multiply"
    first = name.split(".")[0]
    return first if first in _KINDS else "other"


def of_net(executable: CudaExecutable) -> Iterator[tuple[str, Kernel]]:
    """The kernels of a net, each with the first layer that takes it."""
    seen: dict[Kernel, str] = {}
    for launch in executable.program.launches:
        if isinstance(launch.kernel, Kernel):
            seen.setdefault(launch.kernel, launch.name)
    return ((name, kernel) for kernel, name in seen.items())


def of_layer(executable: CudaExecutable, layer: str) -> Iterator[tuple[str, Kernel]]:
    """The product of a layer in every tile."""
    emission = executable.emission
    products = products_of(s for node in emission.graph.nodes for s in emit(emission, node))
    chosen = [product for product in products if product.name == layer]
    if not chosen:
        raise SystemExit(f"no product `{layer}`; there are: {', '.join(p.name for p in products)}")
    for tile in MATRIX if emission.precision.matrix else PLAIN:
        for launch in config_launches(emission, chosen[0], ProductConfig(tile)):
            if isinstance(launch, Launch) and isinstance(launch.kernel, Kernel):
                yield layer, launch.kernel


def describe(kernel: Kernel) -> str:
    """A kernel in a word."""
    if kernel.template != "conv":
        return kernel.template
    sizes = "x".join(str(kernel.constant(n)) for n in ("BM", "BN", "BK"))
    warp = "x".join(str(kernel.constant(n)) for n in ("WM", "WN"))
    return f"conv {sizes} warps {warp} by {kernel.constant('VEC')}"


def show(name: str, kernel: Kernel, architecture: int, tool: str | None) -> None:
    """One line about a kernel."""
    built = build(kernel, architecture)
    line = (
        f"{name:24} {describe(kernel):36} registers {built.registers:3}  stack {built.stack}"
        f"  shared {built.shared + kernel.shared}"
    )
    if tool and kernel.template == "conv":
        counts = main_loop(kernel, built.code, tool)
        total = sum(counts.values())
        kinds = ", ".join(f"{kind} {counts[kind]}" for kind in (*_KINDS, "other") if counts[kind])
        line += f"  loop {total}, multiply {counts['multiply'] / total:.0%} ({kinds})"
    print(line)


def executable_of(net: str, precision: str, inputs: Mapping[str, Shape]) -> CudaExecutable:
    """A net as it would run on an H100, its ways guessed."""
    path = Path(net) if Path(net).exists() else prototxt_dir() / f"{net}.netc"
    graph = zero_graph(path, inputs or None)
    chosen = options(precision=precision)
    executable = CudaBackend(Collector(H100)).prepare(graph, chosen)
    assert isinstance(executable, CudaExecutable)
    return executable


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("net", nargs="?", default="resnet18", help="a path, or of prototxt/")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "fp16"))
    parser.add_argument("--sm", type=int, default=90)
    parser.add_argument("--layer", help="a product, in every tile")
    parser.add_argument("--batch", type=int, help="images of 3 x 224 x 224 as `data`")
    given = parser.parse_args()
    inputs: Mapping[str, Shape] = {"data": (given.batch, 3, 224, 224)} if given.batch else {}
    executable = executable_of(str(find(given.net)), given.precision, inputs)
    found = of_layer(executable, given.layer) if given.layer else of_net(executable)
    for name, kernel in found:
        show(name, kernel, given.sm, disassembler())


if __name__ == "__main__":
    main()
