"""Which GPUs there are, or what is in the way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from netc.backends.cuda.cupy_device import OPTIONS, CupyDevice, facts
from netc.backends.cuda.device import Facts
from netc.backends.cuda.libraries.found import libraries
from netc.backends.cuda.wheels import preload
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
def cupy_module() -> ModuleType | Missing:
    """CuPy, or why it cannot be had."""
    try:
        cupy = import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return Missing("CuPy is not installed", INSTALL)
        return Missing(f"CuPy cannot be imported: {error}", INSTALL)
    except Exception as error:  # a library that CuPy needs, of whatever kind
        return Missing(f"CuPy cannot be imported: {_first(error)}", INSTALL)
    preload(cupy)
    return cupy


def _present() -> ModuleType:
    """CuPy, where it is known to be there."""
    cupy = cupy_module()
    assert not isinstance(cupy, Missing)
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


def _in_the_way(cupy: ModuleType, reason: str) -> Missing:
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
        reason = _first(error)
        return Missing(f"NVRTC, which compiles the kernels, cannot be loaded: {reason}", INSTALL)
    return int(major), int(minor)


def listed() -> list[Facts] | Missing:
    """All GPUs, or why there is none."""
    number = device_count()
    if isinstance(number, Missing):
        return number
    cupy = _present()
    return [facts(cupy, i) for i in range(number)]


def library_versions() -> dict[str, str]:
    """CuPy and the libraries that the tuner asks, by name.

    A device must be there.
    """
    cupy = _present()
    return {"cupy": cupy.__version__, **{n: one.version for n, one in libraries(cupy).items()}}


# Whose warps' threads go on by themselves, as the kernels' barriers take for granted.
OLDEST = (7, 0)
_PROBE = 'extern "C" __global__ void netc_probe() {}'


def unsuited(cupy: ModuleType, number: int) -> Missing | None:
    """Why kernels cannot be compiled for a GPU that is there; it is the thread's current one.

    CuPy picks the architecture: the device's, or the newest that it knows. Which NVRTC compiles for
    those, and which devices take the code, is theirs to know; so an empty kernel is tried.
    """
    device = facts(cupy, number)
    what = f"{device.name}, of compute capability {_dotted(device.capability)}"
    if device.capability < OLDEST:
        return Missing(f"{what}, is too old", (f"the kernels need {_dotted(OLDEST)} or newer",))
    try:
        cupy.RawModule(code=_PROBE, options=OPTIONS).get_function("netc_probe")
    except Exception as error:  # NVRTC's, the driver's, or of CuPy's own looking for headers
        version = _dotted(cupy.cuda.nvrtc.getVersion())
        return Missing(f"NVRTC {version} cannot compile for {what}: {_first(error)}", _OTHER)
    return None


_OTHER = (
    "a device newer than CuPy or NVRTC: pip install --upgrade 'netc[cuda13]', or let the driver "
    "compile with CUPY_COMPILE_WITH_PTX=1",
    "a device older than 7.5, which CUDA 13 has left out: pip install 'netc[cuda12]'",
    "headers that are not found: pip install nvidia-cuda-runtime-cu12 of NVRTC's version, or "
    "nvidia-cuda-runtime for CUDA 13",
)


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))


def _first(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def current_device() -> CupyDevice:
    """The thread's current GPU.

    Raises:
        NetcError: no-cuda, with what to install or do.
    """
    for found in (device_count(), compiler_version()):
        _refuse(found)
    cupy = _present()
    return _device(int(cupy.cuda.runtime.getDevice()))


@cache
def _device(number: int) -> CupyDevice:
    cupy = _present()
    _refuse(unsuited(cupy, number))
    return CupyDevice(cupy, number)


def _refuse(found: object) -> None:
    """An error where something is missing."""
    if isinstance(found, Missing):
        message = f"backend `cuda` cannot be used: {found.message}"
        raise NetcError(Diagnostic("no-cuda", message, help=found.help))


def use(device: int) -> None:
    """Make a device the current one, where there is CuPy; without it nothing is done.

    Args:
        device: its number, from 0.

    Raises:
        NetcError: no-cuda, there is no such device.
    """
    number, cupy = device_count(), cupy_module()
    if isinstance(number, Missing) or isinstance(cupy, Missing):
        return
    if not 0 <= device < number:
        message = f"there is no GPU {device}; there are {number}, counted from 0"
        raise NetcError(Diagnostic("no-cuda", message))
    cupy.cuda.Device(device).use()
