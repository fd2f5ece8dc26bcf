"""The only list of backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from netc.backends.base import Backend, BackendOptions, Description, Executable
from netc.backends.cpu import jit
from netc.backends.profile import Roof
from netc.backends.reference import ReferenceBackend
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ops.reduced import Int8


def _cpu() -> Backend:
    """Compiled kernels; where Numba is missing the definitions, which are slower."""
    if not jit.available():
        return ReferenceBackend()
    from netc.backends.cpu.backend import CpuBackend

    return CpuBackend()


def _cuda() -> Backend:
    """The current GPU; NetcError where there is none."""
    from netc.backends.cuda.backend import CudaBackend
    from netc.backends.cuda.devices import current_device

    return CudaBackend(current_device())


BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "cpu": _cpu,
    "cuda": _cuda,
    "reference": ReferenceBackend,
}


def _cpu_devices() -> Description:
    from netc.backends.cpu.description import describe

    return describe()


def _cuda_devices() -> Description:
    from netc.backends.cuda.description import describe

    return describe()


DEVICES: Mapping[str, Callable[[], Description]] = {"cpu": _cpu_devices, "cuda": _cuda_devices}
"""What there is for backends that compile kernels."""


def _use_gpu(device: int) -> None:
    from netc.backends.cuda.devices import use

    use(device)


_SELECT: Mapping[str, Callable[[int], None]] = {"cuda": _use_gpu}


def roof_of(executable: Executable) -> Roof | None:
    """What can be had of the machine for a net, measured in about a second.

    None where that is not known: on a GPU, or of what runs by definitions alone.
    """
    if not jit.available():
        return None
    from netc.backends.cpu.floor import roof_of

    return roof_of(executable)


DEFAULT = "cpu"
_ON_DEVICE = frozenset({"cuda"})  # told without opening a device


def on_host(name: str) -> bool:
    """True for a backend whose blobs lie in the host's memory."""
    return name not in _ON_DEVICE


def use_device(name: str, device: int) -> None:
    """Make a device the one that a backend opens next; nothing for a backend without devices.

    Args:
        name: of the backend.
        device: its number, from 0.

    Raises:
        NetcError: no-cuda, there is no such device. Where nothing can be asked of devices, opening
            the backend says what is missing.
    """
    if name in _SELECT:
        _SELECT[name](device)


def backend(name: str) -> Backend:
    """The backend of a name.

    Raises:
        NetcError: unknown-backend, or no-cuda where there is no GPU.
    """
    if name not in BACKENDS:
        listed = ", ".join(f"`{b}`" for b in BACKENDS)
        raise NetcError(
            Diagnostic(
                "unknown-backend",
                f"there is no backend `{name}`; there are {listed}",
                help=_meant(name),
            )
        )
    return BACKENDS[name]()


def _meant_precision(name: str) -> tuple[str, ...]:
    small = str(name).lower()
    if small in ("half", "float16", "f16", "fp16", "mixed"):
        return ("half precision is `fp16`",)
    if small in ("bfloat16", "bfloat"):
        return ("bfloat16 is `bf16`",)
    if small in ("single", "float", "full", "f32", "fp32"):
        return ("full precision is `float32`",)
    return did_you_mean(name, PRECISIONS)


_GPU = ("gpu", "nvidia", "cupy", "opencl", "rocm", "hip", "metal", "vulkan", "tensorrt", "cudnn")


def _meant(name: str) -> tuple[str, ...]:
    """The backend that was likely meant; `gpu` is nearer to `cpu` by its letters alone."""
    kind = name.lower().partition(":")[0]
    if kind in _GPU:
        return ("a GPU is backend `cuda`",)
    if kind == "cuda":
        return ("write `cuda`; CUDA_VISIBLE_DEVICES=N chooses device N",)
    if kind in ("numpy", "python", "plain"):
        return ("the definitions in NumPy are backend `reference`",)
    return did_you_mean(kind, BACKENDS)


PRECISIONS = ("float32", "tf32", "fp16", "bf16", "int8")


def backend_options(
    name: str, precision: str, layers: Mapping[str, Int8] | None = None, **asked: object
) -> BackendOptions:
    """A backend's own options; of ``asked`` it takes those that it has.

    Raises:
        NetcError: unknown-precision, unsupported-option where the backend has it not, and what
            ``backend`` raises.
    """
    if precision not in PRECISIONS:
        listed = ", ".join(f"`{p}`" for p in PRECISIONS)
        raise NetcError(
            Diagnostic(
                "unknown-precision",
                f"there is no precision `{precision}`; there are {listed}",
                help=_meant_precision(precision),
            )
        )
    chosen = backend(name)
    if precision not in chosen.precisions:
        raise NetcError(
            Diagnostic(
                "unsupported-option",
                f"backend `{name}` computes in {_listed(chosen.precisions)}, and precision "
                f"`{precision}` is asked for",
                help=_elsewhere(precision),
            )
        )
    known = {field.name for field in fields(chosen.options)}
    own: dict[str, Any] = {key: value for key, value in asked.items() if key in known}
    return replace(chosen.options(**own), precision=precision, layers=dict(layers or {}))


def _listed(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _elsewhere(precision: str) -> tuple[str, ...]:
    """What a person may do whose backend has not the precision asked for."""
    other = {"tf32": "cuda", "fp16": "cuda"}.get(precision, "cpu")
    return (f"leave `precision` out, or use backend `{other}`",)


def memory_planner() -> Backend:
    """The backend whose memory plans are told where none is chosen."""
    from netc.backends.cpu.backend import CpuBackend

    return CpuBackend()
