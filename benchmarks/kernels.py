"""Convolutions of well-known nets by each algorithm, against the most that a core can do.

    python benchmarks/kernels.py --nets resnet50 vgg16 --threads 1 2 --isa avx2

The machine's peak is measured anew beside every figure, since a busy machine's changes; times are
minima. Weights are cold, as in a net: each layer stands several times in the program with arrays of
its own. Effective figures count the multiply-adds of the definition, so Winograd may exceed 1.
bf16 and int8 have the rounding of a float32 input in their time; their peaks are about two and four
times the one that is told.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import describe
from netc.backends.cpu.context import Context
from netc.backends.cpu.floor import peak
from netc.backends.cpu.machine import Machine, machine, supported_isas
from netc.backends.cpu.program import Program, Step
from netc.backends.cpu.steps.conv import conv_product, conv_step
from netc.backends.cpu.steps.costs import ConvShape, choose_algorithm
from netc.backends.cpu.steps.depthwise import depthwise_step
from netc.backends.cpu.steps.epilogue import Activation, Epilogue
from netc.backends.cpu.steps.product import product_step
from netc.backends.cpu.steps.reduced import in_words, reduce_step, reduced
from netc.backends.cpu.steps.tiling import can_winograd
from netc.backends.cpu.steps.winograd import winograd_steps
from netc.backends.shared.geometry import Geometry
from netc.backends.shared.views import Arena, View, dense
from netc.ops.reduced import Bfloat16, Int8, Number


class Layer(NamedTuple):
    """inputs, size of the square input, outputs, kernel, stride, pad, groups."""

    inputs: int
    size: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    groups: int = 1


NETS: dict[str, tuple[Layer, ...]] = {
    "resnet50": (
        Layer(3, 224, 64, 7, 2, 3),
        Layer(64, 56, 64, 3, 1, 1),
        Layer(64, 56, 256),
        Layer(256, 56, 64),
        Layer(128, 28, 128, 3, 1, 1),
        Layer(128, 28, 512),
        Layer(512, 28, 128),
        Layer(256, 14, 256, 3, 1, 1),
        Layer(256, 14, 1024),
        Layer(1024, 14, 256),
        Layer(512, 7, 512, 3, 1, 1),
        Layer(512, 7, 2048),
        Layer(2048, 7, 512),
        Layer(1024, 14, 2048, 1, 2),
    ),
    "googlenet": (
        Layer(64, 56, 192, 3, 1, 1),
        Layer(192, 28, 64),
        Layer(96, 28, 128, 3, 1, 1),
        Layer(16, 28, 32, 5, 1, 2),
        Layer(480, 14, 192),
        Layer(96, 14, 208, 3, 1, 1),
        Layer(32, 14, 64, 5, 1, 2),
        Layer(832, 7, 384),
        Layer(192, 7, 384, 3, 1, 1),
    ),
    "vgg16": (
        Layer(3, 224, 64, 3, 1, 1),
        Layer(64, 224, 64, 3, 1, 1),
        Layer(128, 112, 128, 3, 1, 1),
        Layer(256, 56, 256, 3, 1, 1),
        Layer(512, 28, 512, 3, 1, 1),
        Layer(512, 14, 512, 3, 1, 1),
    ),
    "mobilenet": (
        Layer(3, 224, 32, 3, 2, 1),
        Layer(32, 112, 32, 3, 1, 1, 32),
        Layer(32, 112, 64),
        Layer(64, 112, 64, 3, 2, 1, 64),
        Layer(128, 56, 128),
        Layer(512, 14, 512, 3, 1, 1, 512),
        Layer(512, 14, 512),
        Layer(1024, 7, 1024),
    ),
    "squeezenet": (
        Layer(3, 227, 64, 3, 2),
        Layer(64, 56, 16),
        Layer(16, 56, 64, 3, 1, 1),
        Layer(48, 14, 192, 3, 1, 1),
        Layer(512, 14, 1000),
    ),
}


class Problem(NamedTuple):
    """A layer with its values, weights and epilogue."""

    x: View
    y: View
    geometry: Geometry
    weights: np.ndarray
    epilogue: Epilogue
    target: Machine

    @property
    def operations(self) -> int:
        """Of the definition; a multiply-add is two."""
        return 2 * self.y.pixels * self.weights.size


def problem(layer: Layer, target: Machine, seed: int) -> Problem:
    out = (layer.size + 2 * layer.pad - layer.kernel) // layer.stride + 1
    x = dense(Arena(0), 1, layer.size, layer.size, layer.inputs)
    y = dense(Arena(-(-x.span // 16) * 16), 1, out, out, layer.outputs)
    pairs = ((v, v) for v in (layer.kernel, layer.stride, layer.pad, 1))
    geometry = Geometry(*pairs, layer.groups)
    shape = (layer.outputs, layer.inputs // layer.groups, layer.kernel, layer.kernel)
    weights = np.random.default_rng(seed).standard_normal(shape, np.float32)
    epilogue = Epilogue(np.zeros(layer.outputs, np.float32), None, Activation("relu"))
    return Problem(x, y, geometry, weights, epilogue, target)


def product(p: Problem) -> list[Step]:
    return [conv_step("c", p.x, [p.y], p.weights, p.geometry, p.target, p.epilogue)]


def depthwise(p: Problem) -> list[Step]:
    return [depthwise_step("c", p.x, p.y, p.weights, p.geometry, p.epilogue)]


def winograd(size: int) -> Callable[[Problem], list[Step]]:
    def steps(p: Problem) -> list[Step]:
        return winograd_steps("c", p.x, [p.y], p.weights, p.geometry, p.target, p.epilogue, size)

    return steps


def in_fewer_bits(number: Number) -> Callable[[Problem], list[Step]]:
    def steps(p: Problem) -> list[Step]:
        place = Arena(-(-(p.y.place.offset + p.y.span) // 16) * 16)
        words = in_words(replace(p.x, place=place), number)
        own = reduced(p.weights, number)
        sums = conv_product(words, own.weights, p.geometry)
        rounding = reduce_step("r", p.x, words, number)
        return [
            rounding,
            product_step("c", words, [p.y], sums, p.target, p.epilogue, reduced=own),
        ]

    return steps


def candidates(p: Problem) -> dict[str, Callable[[Problem], list[Step]]]:
    """The algorithms that can do a layer, by the cost model's names."""
    if p.geometry.groups > 1:
        return {"depthwise": depthwise}
    found = {"product": product}
    if can_winograd(p.geometry):
        found |= {"winograd2": winograd(2), "winograd4": winograd(4)}
    numbers = (Bfloat16(), Int8(0.05, 128))
    return found | {number.name: in_fewer_bits(number) for number in numbers}


def measure(
    layer: Layer, make: Callable[[Problem], list[Step]], target: Machine, threads: int, rounds: int
) -> float:
    """The shortest seconds of a layer with cold weights."""
    size = layer.outputs * layer.inputs // layer.groups * layer.kernel**2
    copies = min(8, max(2, math.ceil(2 * target.l2 / (4 * size))))
    problems = [problem(layer, target, seed) for seed in range(copies)]
    groups = [make(p) for p in problems]
    arena = problems[0].y.place.offset + problems[0].y.span + problems[0].x.span + 48
    context = Context(Program(tuple(s for g in groups for s in g), arena, target), threads)
    context.run()
    times = np.array([context.time() for _ in range(rounds)])
    return float(times.reshape(rounds, copies, -1).sum(2).min())


def row(layer: Layer, target: Machine, threads: int, rounds: int) -> str:
    p = problem(layer, target, 0)
    top = peak(target, threads)
    shape = ConvShape(1, layer.inputs, (layer.outputs,), p.y.h, p.y.w, p.geometry)
    chosen = choose_algorithm(shape, target)
    cells = []
    for name, make in candidates(p).items():
        seconds = measure(layer, make, target, threads, rounds)
        mark = "*" if name == chosen else " "
        rate = p.operations / seconds
        cells.append(f"{mark}{name} {1e3 * seconds:7.3f} ms {rate / 1e9:5.0f} {rate / top:5.2f}")
    label = "x".join(str(v) for v in layer)
    return f"{label:26} {top / 1e9:5.0f}  {'  '.join(cells)}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--isa", nargs="+", default=[machine().isa], choices=supported_isas())
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args(argv)
    print(" ".join(f"{k}={v}" for k, v in describe("numba", "llvmlite").items()))
    print("layer (in x size x out x kernel x stride x pad x groups), peak GFLOP/s,")
    print("then of each algorithm: time, GFLOP/s, share of the peak; * is the cost model's choice")
    for isa in args.isa:
        for threads in args.threads:
            for net in args.nets:
                print(f"-- {net}, {isa}, {threads} thread{'s' * (threads > 1)}")
                for layer in NETS[net]:
                    print(row(layer, machine(isa), threads, args.rounds), flush=True)


if __name__ == "__main__":
    main()
