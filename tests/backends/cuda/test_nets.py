"""Whole nets of the literature, on small images, on the emulated device against the reference."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import netc
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.backends import reference
from netc.backends.cuda.backend import CudaBackend
from netc.data import prototxt_dir
from tests.backends.cuda.emulator.device import COMPILER, EmulatedDevice
from tests.backends.cuda.golden_kernels import options

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs Linux and a C++ compiler")

NETS = {"squeezenet": 67, "mobilenet2": 64, "googlenet": 64, "resnet18": 64}


def for_small_images(name: str, folder: Path) -> Path:
    """A bundled net without the shapes that it expects of images of its usual size."""
    shutil.copytree(prototxt_dir() / "blocks", folder / "blocks")
    lines = (prototxt_dir() / f"{name}.netc").read_text(encoding="utf-8").splitlines()
    path = folder / f"{name}.netc"
    text = "\n".join(line for line in lines if not line.startswith("expect "))
    path.write_text(text.replace("avepool(7, 1)", "avepool(2, 1)"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NETS)
def test_nets(name: str, tmp_path: Path) -> None:
    text, size = for_small_images(name, tmp_path), NETS[name]
    inputs = {"data": (1, 3, size, size)}
    plain = netc.compile(text, backend="reference", inputs=inputs).graph
    graph = netc.compile(text, seeded_weights(plain), backend="reference", inputs=inputs).graph
    feeds = seeded_inputs(graph)
    device = EmulatedDevice(1, processors=132)
    executable = CudaBackend(device).prepare(graph, options())
    report = executable.report()
    assert report["array_steps"] == report["host_steps"] == []
    executable.run(feeds)
    got = executable.run(feeds)  # from the graph, branches in another order
    for output, want in reference.run(graph, feeds).items():
        scale = float(np.abs(want).max())
        np.testing.assert_allclose(got[output], want, rtol=0, atol=1e-4 * scale, err_msg=output)
