"""Every kernel compiles for every architecture, on a machine without a GPU.

Set NETC_SM to architectures, such as `80 90`, to choose among them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from netc.backends.cuda import backend as backend_module
from netc.backends.cuda.device import Facts
from netc.backends.cuda.products.choice import guessed
from netc.backends.cuda.products.tiles import ProductConfig
from netc.backends.cuda.source import Kernel, module_text
from netc.backends.cuda.tuning import tuner
from netc.backends.cuda.tuning.tuner import Tuner
from netc.cache import content_key, read_entry, write_entry
from netc.ir.graph import Graph
from netc.train.generator import KEY
from tests.backends.cuda import nvrtc
from tests.backends.cuda.golden_kernels import golden_kernels, kernels_of, options
from tests.backends.cuda.gradient_cases import STEPS, every_case, step_graph
from tests.backends.cuda.public_nets import bundled, public, zero_graph
from tests.backends.cuda.test_products import CONFIGS, NETS, always
from tests.solver.small import solver as small_solver
from tests.solver.test_combinations import FORKS, RULES

pytestmark = [
    pytest.mark.gpu_tools,
    pytest.mark.skipif(
        nvrtc.library() is None, reason="NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12"
    ),
]

ARCHITECTURES = [int(a) for a in os.environ.get("NETC_SM", "70 80 90").split()]
H100 = Facts("NVIDIA H100", (9, 0), 132, memory=80 << 30, shared=227 << 10)
_TOGETHER = 24  # kernels of one text
MOST_SPILT = 0  # bytes of a thread; an array that is kept in memory counts too
MOST_SPILT_LATER = 64  # for devices after those that the kernels were fitted to
FITTED = 90


def check(kernels: Iterable[Kernel], architecture: int) -> None:
    """The kernels compile, and spill no registers; each is compiled once a machine."""
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not compile for sm_{architecture}")
    assert kernels
    entries = {kernel: entry(kernel, architecture) for kernel in kernels}
    missing = sorted((k for k in entries if read_entry(entries[k]) is None), key=lambda k: k.name)
    for first in range(0, len(missing), _TOGETHER):
        some = missing[first : first + _TOGETHER]
        _, log = nvrtc.compile(module_text(some), architecture, "--ptxas-options=-v")
        spilt = stacks(log)
        assert set(spilt) == {kernel.name for kernel in some}
        most = MOST_SPILT if architecture <= FITTED else MOST_SPILT_LATER
        assert max(spilt.values()) <= most, spilt
        for kernel in some:
            write_entry(entries[kernel], b"")


def stacks(log: str) -> dict[str, int]:
    """Bytes that each kernel keeps in memory of each thread, for want of registers."""
    found = re.findall(r"Function properties for (\w+)\s+.*?(\d+) bytes stack frame", log)
    return {name: int(size) for name, size in found}


def entry(kernel: Kernel, architecture: int) -> str:
    version = str((nvrtc.architectures(), MOST_SPILT)).encode()
    return f"compiled-{content_key(module_text([kernel]).encode(), version)}-sm{architecture}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("precision", ("float32", "tf32", "fp16"))
def test_golden_cases(precision: str, architecture: int) -> None:
    if precision != "float32" and architecture < 80:
        pytest.skip("the matrix units of such precision begin with sm_80")
    check(golden_kernels(precision), architecture)


OLDEST_AND_NEWEST = [  # the others with --slow
    a if a in (min(ARCHITECTURES), max(ARCHITECTURES)) else pytest.param(a, marks=pytest.mark.slow)
    for a in ARCHITECTURES
]


@pytest.mark.parametrize("architecture", OLDEST_AND_NEWEST)
@pytest.mark.parametrize("precision", CONFIGS)
def test_every_way(precision: str, architecture: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if precision != "float32" and architecture < 80:
        pytest.skip("the matrix units of such precision begin with sm_80")
    graphs, kernels = [make() for make in NETS.values()], set[Kernel]()
    for tile, splits in CONFIGS[precision]:
        monkeypatch.setattr(backend_module, "guessed", always(ProductConfig(tile, splits)))
        kernels |= kernels_of(graphs, options(precision=precision))
    check(kernels, architecture)


@cache
def net_kernels(paths: tuple[Path, ...], precision: str) -> set[Kernel]:
    graphs = (zero_graph(path) for path in paths)
    return kernels_of(graphs, options(precision=precision), H100)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bundled_nets(architecture: int) -> None:
    check(net_kernels(tuple(bundled()), "float32"), architecture)


@pytest.mark.parametrize("precision", (pytest.param("tf32", marks=pytest.mark.slow), "fp16"))
def test_bundled_nets_on_matrix_units(precision: str) -> None:
    check(net_kernels(tuple(bundled()), precision), max(ARCHITECTURES))


@cache
def training_kernels(precision: str) -> set[Kernel]:
    graphs = [case.joint.graph for case in every_case()]
    if precision == "fp16":  # in which neither masks are drawn nor parameters updated
        graphs = [graph for graph in graphs if KEY not in graph.inputs]
        return kernels_of(graphs, options(precision=precision), H100)
    graphs += map(step_graph, STEPS)
    graphs += map(rule_graph, {**RULES, **dict(enumerate(FORKS))})
    return kernels_of(graphs, options(precision=precision), H100)


def rule_graph(rule: str | int) -> Graph:
    text = FORKS[rule] if isinstance(rule, int) else f"type: '{rule}' {RULES[rule]}"
    more = ("clip_gradients: 0.1", "weight_decay: 0.1")
    text += "".join(f" {m}" for m in more if m.split(":", maxsplit=1)[0] not in text)
    return small_solver(text, backend="reference")._train.graphs.first


@pytest.mark.parametrize("architecture", OLDEST_AND_NEWEST)
def test_training(architecture: int) -> None:
    """Gradients, losses and updates."""
    check(training_kernels("float32"), architecture)


@pytest.mark.parametrize("precision", (pytest.param("tf32", marks=pytest.mark.slow), "fp16"))
def test_training_on_matrix_units(precision: str) -> None:
    check(training_kernels(precision), max(ARCHITECTURES))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_public_nets(architecture: int, nets: Path) -> None:
    check(net_kernels(tuple(public(nets)), "float32"), architecture)


@pytest.mark.slow
@pytest.mark.parametrize("batch", (1, 32))
@pytest.mark.parametrize("precision", ("float32", "tf32", "fp16"))
def test_ways_that_are_measured(
    precision: str, batch: int, nets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the tuner would try for the public nets on a new machine."""
    monkeypatch.setattr(Tuner, "_measured", lambda self, p: guessed(self._emission, p))
    monkeypatch.setattr(tuner, "_read", lambda name: {})
    monkeypatch.setattr(tuner, "_write", lambda name, choices: None)
    graphs = (of_batch(path, batch) for path in public(nets))
    check(kernels_of(graphs, options(precision=precision, tune=True), H100), max(ARCHITECTURES))


def of_batch(path: Path, batch: int) -> Graph:
    plain = zero_graph(path)
    return zero_graph(path, {name: (batch, *plain.shape(name)[1:]) for name in plain.inputs})
