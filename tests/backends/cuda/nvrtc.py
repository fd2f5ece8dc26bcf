"""A few lines over NVRTC, the compiler of the kernels, which needs no GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from importlib import util
from pathlib import Path

from netc.backends.cuda.cupy_device import OPTIONS

AS_CUPY_DOES = ("-ftz=true", "--device-as-default-execution-space")  # it adds these always


class RefusedError(Exception):
    """The compiler's log."""


@cache
def library() -> ctypes.CDLL | None:
    """NVRTC: from a wheel of NVIDIA's, or of the system's; None where there is none."""
    for name in (*_wheels(), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"):
        try:
            return ctypes.CDLL(str(name))
        except OSError:
            continue
    return None


def _wheels() -> Iterator[Path]:
    spec = util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        # CUDA 12's before CUDA 13's, which has left out the oldest architecture
        yield from sorted(Path(folder).glob("*/lib/libnvrtc.so.*"), key=lambda path: path.name)
        yield from Path(folder).glob("*/bin/**/nvrtc64*.dll")


@cache
def architectures() -> tuple[int, ...]:
    """The architectures that this NVRTC compiles for, e.g. 70 for sm_70."""
    nvrtc = library()
    assert nvrtc is not None
    number = ctypes.c_int()
    _check(nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(number)))
    found = (ctypes.c_int * number.value)()
    _check(nvrtc.nvrtcGetSupportedArchs(found))
    return tuple(found)


def _check(status: int) -> None:
    if status:
        raise RefusedError(f"NVRTC status {status}")


def compile(text: str, architecture: int, *options: str) -> tuple[bytes, str]:
    """A text's machine code for an architecture, and the compiler's log.

    Raises:
        RefusedError: the compiler finds fault with the text.
    """
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    _check(
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
    )
    try:
        words = [f"--gpu-architecture=sm_{architecture}", *OPTIONS, *AS_CUPY_DOES, *options]
        given = (ctypes.c_char_p * len(words))(*[word.encode() for word in words])
        status = nvrtc.nvrtcCompileProgram(program, len(words), given)
        log = _bytes(nvrtc, program, "ProgramLog").decode(errors="replace")
        if status:
            raise RefusedError(log)
        return _bytes(nvrtc, program, "CUBIN"), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, data))
    return data.raw[: size.value].rstrip(b"\0") if what == "ProgramLog" else data.raw
