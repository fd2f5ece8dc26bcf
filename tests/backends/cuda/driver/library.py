"""A CUDA driver on the processor (see fake.h), and CuPy made to use it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from netc.cache import content_key
from tests.backends.cuda.emulator.device import COMPILER, _folder

_HERE = Path(__file__).resolve().parent
_SOURCES = tuple(sorted(_HERE.glob("*.cpp")))
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libcuda.so.1")

# What runtime.cpp has, by the types in CuPy's C interface: a function of another type is not ours.
_TYPES = {
    "intptr_t": ctypes.c_ssize_t,
    "size_t": ctypes.c_size_t,
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "float": ctypes.c_float,
    "PyObject *": ctypes.py_object,
    "void": None,
}
_ANSWERED = """
_ensure_context: PyObject * (void)
deviceCanAccessPeer: int (int, int)
deviceGetAttribute: int (int, int)
deviceSynchronize: PyObject * ()
driverGetVersion: int ()
eventCreate: intptr_t ()
eventCreateWithFlags: intptr_t (unsigned int)
eventDestroy: PyObject * (intptr_t)
eventElapsedTime: float (intptr_t, intptr_t)
eventQuery: PyObject * (intptr_t)
eventRecord: PyObject * (intptr_t, intptr_t)
eventSynchronize: PyObject * (intptr_t)
free: PyObject * (intptr_t)
freeHost: PyObject * (intptr_t)
getDevice: int ()
getDeviceCount: int ()
graphDestroy: PyObject * (intptr_t)
graphExecDestroy: PyObject * (intptr_t)
graphInstantiate: intptr_t (intptr_t)
graphLaunch: PyObject * (intptr_t, intptr_t)
graphUpload: PyObject * (intptr_t, intptr_t)
hostAlloc: intptr_t (size_t, unsigned int)
malloc: intptr_t (size_t)
memcpy: PyObject * (intptr_t, intptr_t, size_t, int)
memcpyAsync: PyObject * (intptr_t, intptr_t, size_t, int, intptr_t)
memset: PyObject * (intptr_t, int, size_t)
memsetAsync: PyObject * (intptr_t, int, size_t, intptr_t)
pointerGetMemoryType: int (intptr_t)
setDevice: PyObject * (int)
streamBeginCapture: PyObject * (intptr_t, optional)
streamCreate: intptr_t ()
streamCreateWithFlags: intptr_t (unsigned int)
streamCreateWithPriority: intptr_t (unsigned int, int)
streamDestroy: PyObject * (intptr_t)
streamEndCapture: intptr_t (intptr_t)
streamGetFlags: unsigned int (intptr_t)
streamIsCapturing: int (intptr_t)
streamQuery: PyObject * (intptr_t)
streamSynchronize: PyObject * (intptr_t)
streamWaitEvent: PyObject * (intptr_t, intptr_t, optional)
"""


def reason_to_skip() -> str:
    """Why the driver cannot be had here; empty where it can."""
    if COMPILER is None or sys.platform != "linux" or os.uname().machine != "x86_64":
        return "needs Linux on x86-64 and a C++ compiler"
    return ""


def built() -> Path:
    """The library, compiled where its text is new."""
    texts = [path.read_bytes() for path in (*_SOURCES, _HERE / "fake.h")]
    key = content_key(*texts, " ".join(_FLAGS).encode())
    target = _folder() / f"fake-driver-{key}" / "libcuda.so.1"
    if not target.exists():
        _compile(target)
    return target


def _compile(target: Path) -> None:
    assert COMPILER is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.so"
        command = [COMPILER, *_FLAGS, *map(str, _SOURCES), "-o", str(made)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[:4000]
        temporary = target.with_suffix(f".{os.getpid()}")
        shutil.copy(made, temporary)
        temporary.replace(target)


class Counts(ctypes.Structure):
    """What the driver has done since the process began."""

    _fields_ = [
        ("kernels", ctypes.c_long),
        ("recorded", ctypes.c_long),
        ("refused", ctypes.c_long),
        ("launched", ctypes.c_long),
    ]


class Driver:
    """The library in this process, from before CuPy was imported."""

    def __init__(self) -> None:
        assert "cupy" not in sys.modules
        # By its name this is what CuPy gets when it asks the loader for the driver.
        self.library = ctypes.PyDLL(str(built()), mode=ctypes.RTLD_GLOBAL)
        self.library.fake_memory_used.restype = ctypes.c_size_t
        self.library.fake_memory.restype = ctypes.c_size_t
        self.library.fake_counts.restype = ctypes.POINTER(Counts)
        self.counts: Counts = self.library.fake_counts().contents
        self._kept: list[Any] = []
        self._replace()

    def register(self, name: str, function: Any) -> None:
        """Run a function where a kernel is started."""
        self.library.fake_register(name.encode(), ctypes.cast(function, ctypes.c_void_p))

    def parameters(self, kernel: str) -> list[int]:
        """The bytes of each parameter of a kernel that is loaded."""
        sizes = (ctypes.c_uint * 256)()
        number = self.library.fake_parameters(kernel.encode(), sizes, 256)
        assert 0 <= number <= 256, kernel
        return list(sizes[:number])

    def limit(self, size: int) -> None:
        """From now on a device has so many bytes."""
        self.library.fake_limit(ctypes.c_size_t(size))

    def _replace(self) -> None:
        runtime: Any = import_module("cupy_backends.cuda.api.runtime")
        interface = runtime.__pyx_capi__
        self.library.fake_raising(_pointer(interface["check_status"]))
        for line in _ANSWERED.strip().splitlines():
            name, signature = line.split(": ")
            if name in interface:
                self._answer(runtime, name, signature)
        for name, function in self._in_python(runtime).items():
            kind = ctypes.PYFUNCTYPE(ctypes.py_object, *_arguments(_signature(interface[name])))
            made = kind(function)
            self._kept.append(made)
            self._put(interface, name, ctypes.cast(made, ctypes.c_void_p))
            setattr(runtime, name, lambda *given, function=function: function(*given, 0))

    def _answer(self, runtime: Any, name: str, signature: str) -> None:
        interface = runtime.__pyx_capi__
        found = _signature(interface[name])
        assert _plain(found) == signature, f"{name} is {found} in this CuPy"
        function = getattr(self.library, f"runtime_{name}")
        self._put(interface, name, ctypes.cast(function, ctypes.c_void_p))
        function.restype = _TYPES[found.partition("(")[0].strip()]
        function.argtypes = _arguments(found)
        count = signature.count(",") + 1 if not signature.endswith("()") else 0
        padding = (0,) + (None,) * signature.count("optional")
        count -= signature.count("optional")
        if hasattr(runtime, name):
            setattr(runtime, name, _called(function, count, padding))

    def _put(self, interface: dict[str, Any], name: str, pointer: ctypes.c_void_p) -> None:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        kind = _signature(interface[name]).encode()
        self._kept.append(kind)  # which a capsule does not copy
        interface[name] = make(pointer, kind, None)

    def _in_python(self, runtime: Any) -> dict[str, Callable[..., Any]]:
        library = self.library

        def properties(device: int, _: int) -> dict[str, Any]:
            return {
                "name": b"Fake GPU",
                "major": runtime.deviceGetAttribute(75, device),
                "minor": runtime.deviceGetAttribute(76, device),
                "multiProcessorCount": runtime.deviceGetAttribute(16, device),
                "totalGlobalMem": library.fake_memory(),
                "warpSize": 32,
                "maxThreadsPerBlock": 1024,
                "sharedMemPerBlock": 48 << 10,
            }

        def information(_: int) -> tuple[int, int]:
            total = library.fake_memory()
            return total - library.fake_memory_used(), total

        def attributes(pointer: int, _: int) -> Any:
            device = library.fake_device_of(ctypes.c_ssize_t(pointer))
            if device < 0:
                return runtime.PointerAttributes(-1, 0, pointer, 0)
            return runtime.PointerAttributes(device, pointer, 0, 2)

        return {
            "getDeviceProperties": properties,
            "memGetInfo": information,
            "pointerGetAttributes": attributes,
        }


def _called(function: Any, count: int, padding: tuple[Any, ...]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        return function(*given[:count], *padding)

    return call


def _signature(capsule: Any) -> str:
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    found: bytes = name(capsule)
    return found.decode()


def _pointer(capsule: Any) -> ctypes.c_void_p:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(get(capsule, _signature(capsule).encode()))


def _words(signature: str) -> list[str]:
    inner = signature.partition("(")[2].rstrip(")")
    return [word.strip() for word in inner.split(",")] if inner else []


def _plain(signature: str) -> str:
    """A type without what Cython adds to it."""
    words = [w for w in _words(signature) if "__pyx_skip_dispatch" not in w]
    words = ["optional" if "__pyx_opt_args" in w else w for w in words]
    return f"{signature.partition('(')[0].strip()} ({', '.join(words)})"


def _arguments(signature: str) -> list[Any]:
    found: list[Any] = []
    for word in _words(signature):
        if "__pyx_opt_args" in word:
            found.append(ctypes.c_void_p)
        elif word != "void":
            found.append(_TYPES[word.replace("__pyx_skip_dispatch", "").strip()])
    return found
