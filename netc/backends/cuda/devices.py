"""Which GPUs there are, or what is in the way."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from netc.backends.cuda.cupy_device import CupyDevice, facts
from netc.backends.cuda.device import Facts
from netc.diagnostics import Diagnostic, NetcError

INSTALL = (
    "pip install 'netc[cuda12]' where the driver is for CUDA 12, 'netc[cuda13]' for CUDA 13",
    "`nvidia-smi` shows the driver's version",
)


class Missing(NamedTuple):
    """Why there is no GPU: a sentence and what to do."""

    message: str
    help: tuple[str, ...]


@cache
def cupy_module() -> Any | Missing:
    """CuPy, or why it cannot be had."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return Missing("CuPy is not installed", INSTALL)
        return Missing(f"CuPy cannot be imported: {error}", INSTALL)
    except Exception as error:  # a library that CuPy needs, of whatever kind
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Missing(f"CuPy cannot be imported: {first}", INSTALL)
    return cupy


def device_count() -> int | Missing:
    """How many GPUs there are, or why none can be used."""
    cupy = cupy_module()
    if isinstance(cupy, Missing):
        return cupy
    try:
        number = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return _in_the_way(cupy, str(error))
    return number or _NO_DEVICE


_NO_DEVICE = Missing(
    "there is no CUDA device",
    ("`nvidia-smi` lists the devices; CUDA_VISIBLE_DEVICES may hide them",),
)


def _in_the_way(cupy: Any, reason: str) -> Missing:
    """What a failed count of devices means."""
    if "NoDevice" in reason:
        return _NO_DEVICE
    if cupy.cuda.runtime.driverGetVersion() == 0:
        return Missing(
            "there is no NVIDIA driver",
            ("a GPU needs NVIDIA's driver; `nvidia-smi` must list the device",),
        )
    return Missing(
        f"the NVIDIA driver cannot be used: {reason}",
        ("update the driver, or install the `netc` extra for its CUDA version", INSTALL[1]),
    )


def compiler_version() -> tuple[int, int] | Missing:
    """NVRTC's version, or why it cannot be used."""
    cupy = cupy_module()
    if isinstance(cupy, Missing):
        return cupy
    try:
        major, minor = cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # CuPy raises what the loader gave it
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Missing(f"NVRTC, which compiles the kernels, cannot be loaded: {first}", INSTALL)
    return int(major), int(minor)


def listed() -> list[Facts] | Missing:
    """All GPUs, or why there is none."""
    number = device_count()
    if isinstance(number, Missing):
        return number
    cupy: Any = cupy_module()
    return [facts(cupy, i) for i in range(number)]


@cache
def _device(number: int) -> CupyDevice:
    return CupyDevice(cupy_module(), number)


def current_device() -> CupyDevice:
    """The thread's current GPU.

    Raises:
        NetcError: no-cuda, with what to install or do.
    """
    for found in (device_count(), compiler_version()):
        if isinstance(found, Missing):
            raise NetcError(
                Diagnostic(
                    "no-cuda", f"backend `cuda` cannot be used: {found.message}", help=found.help
                )
            )
    cupy: Any = cupy_module()
    return _device(int(cupy.cuda.runtime.getDevice()))
