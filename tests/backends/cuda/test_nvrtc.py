"""Every kernel compiles for every architecture, on a machine without a GPU.

Set NETC_SM to architectures, such as `80 90`, to choose among them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from netc.backends.cuda.device import Facts
from netc.backends.cuda.source import Kernel, module_text
from netc.cache import content_key, read_entry, write_entry
from tests.backends.cuda import nvrtc
from tests.backends.cuda.golden_kernels import golden_kernels, kernels_of, options
from tests.backends.cuda.public_nets import bundled, public, zero_graph

pytestmark = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12"
)

ARCHITECTURES = [int(a) for a in os.environ.get("NETC_SM", "70 80 90").split()]
H100 = Facts("NVIDIA H100", (9, 0), 132)
_TOGETHER = 24  # kernels of one text: few, so that what was compiled before is found again


def check(kernels: Iterable[Kernel], architecture: int) -> None:
    """The kernels compile, none of them spilling registers; a text is compiled once a machine."""
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not compile for sm_{architecture}")
    ordered = sorted(kernels, key=lambda kernel: kernel.name)
    assert ordered
    for first in range(0, len(ordered), _TOGETHER):
        text = module_text(ordered[first : first + _TOGETHER])
        version = str(nvrtc.architectures()).encode()
        entry = f"compiled-{content_key(text.encode(), version)}-sm{architecture}"
        if read_entry(entry) is None:
            _, log = nvrtc.compile(text, architecture)
            write_entry(entry, log.encode())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("precision", ("float32", "tf32", "fp16"))
def test_golden_cases(precision: str, architecture: int) -> None:
    if precision != "float32" and architecture < 80:
        pytest.skip("the matrix units of such precision begin with sm_80")
    check(golden_kernels(precision), architecture)


def net_kernels(paths: Iterable[Path], precision: str) -> set[Kernel]:
    graphs = (zero_graph(path) for path in paths)
    return kernels_of(graphs, options(precision=precision), H100)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bundled_nets(architecture: int) -> None:
    check(net_kernels(bundled(), "float32"), architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_public_nets(architecture: int, nets: Path) -> None:
    check(net_kernels(public(nets), "float32"), architecture)
