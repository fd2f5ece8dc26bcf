"""The only list of backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netc.backends.base import Backend
from netc.backends.cpu import jit
from netc.backends.reference import ReferenceBackend
from netc.diagnostics import Diagnostic, NetcError, did_you_mean


def _cpu() -> Backend:
    """Compiled kernels; where Numba is missing the definitions, which are slower."""
    if not jit.available():
        return ReferenceBackend()
    from netc.backends.cpu.backend import CpuBackend

    return CpuBackend()


BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "cpu": _cpu,
    "reference": ReferenceBackend,
}


def backend(name: str) -> Backend:
    """The backend of a name.

    Raises:
        NetcError: unknown-backend.
    """
    if name not in BACKENDS:
        listed = ", ".join(f"`{b}`" for b in BACKENDS)
        raise NetcError(
            Diagnostic(
                "unknown-backend",
                f"there is no backend `{name}`; there are {listed}",
                help=did_you_mean(name, BACKENDS),
            )
        )
    return BACKENDS[name]()
