"""netc's CUDA backend on CuPy over the driver of this folder: kernels are the emulator's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from netc.backends.base import Progress
from netc.backends.cuda.cupy_device import CupyDevice
from netc.backends.cuda.device import KernelCall
from netc.backends.cuda.source import Kernel
from tests.backends.cuda.driver.cupy_kernels import follow
from tests.backends.cuda.driver.library import Driver
from tests.backends.cuda.emulator import device as emulator


def staged() -> Driver:
    """Put the driver under CuPy, and the emulator's kernels under the driver."""
    os.environ["CUPY_ACCELERATORS"] = ""  # CUB's reductions are not CuPy's own kernels
    driver = Driver()
    follow(driver)
    build, launch = CupyDevice.build, CupyDevice.launch

    def build_both(
        self: CupyDevice, kernels: Iterable[Any], progress: Progress | None = None
    ) -> None:
        wanted = list(kernels)
        own = [kernel for kernel in wanted if isinstance(kernel, Kernel)]
        emulator.build(own)
        for kernel in own:
            driver.register(kernel.name, emulator._function(kernel))
        build(self, wanted, progress)

    def launch_checked(self: CupyDevice, call: KernelCall) -> None:
        if isinstance(call.kernel, Kernel):
            sizes = [np.asarray(value).nbytes for value in call.arguments]
            assert sizes == driver.parameters(call.kernel.name), f"{call.kernel.name} takes others"
        launch(self, call)

    replaced: Any = CupyDevice
    replaced.build, replaced.launch = build_both, launch_checked
    return driver
