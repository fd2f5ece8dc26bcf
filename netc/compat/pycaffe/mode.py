"""Where nets made from now on run, and what fills them: Caffe's global state (common.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

from netc.arguments import number
from netc.compat.pycaffe.errors import raising

TRAIN = 0
TEST = 1


@dataclass(slots=True)
class Mode:
    """What the functions below set; a net takes it over when it is made."""

    backend: str = "cpu"
    device: int | None = None
    seed: int = 0


current = Mode()


def set_mode_cpu() -> None:
    """Nets made from now on run on the CPU."""
    current.backend = "cpu"


def set_mode_gpu() -> None:
    """Nets made from now on run on a GPU (backend "cuda")."""
    current.backend = "cuda"


def set_device(device: int) -> None:
    """Nets made from now on in GPU mode use this GPU, counted from 0."""
    current.device = device


def set_random_seed(seed: int) -> None:
    """Parameters without weights are filled from this seed; the numbers are not Caffe's own."""
    with raising(TypeError):
        current.seed = number(seed, "seed")


def chosen_backend() -> str:
    """The backend of a net made now; in GPU mode its device becomes the current one."""
    if current.backend == "cuda" and current.device is not None:
        _use(current.device)
    return current.backend


def _use(device: int) -> None:
    """Make a GPU the current one, where there is CuPy; without it the backend says what is missing.

    Raises:
        NetcError: no-cuda, there is no such device.
    """
    from netc.backends.cuda.devices import Missing, cupy_module, device_count
    from netc.diagnostics import Diagnostic, NetcError

    number, cupy = device_count(), cupy_module()
    if isinstance(number, Missing) or isinstance(cupy, Missing):
        return
    if not 0 <= device < number:
        message = f"there is no GPU {device}; there are {number}, counted from 0"
        raise NetcError(Diagnostic("no-cuda", message))
    cupy.cuda.Device(device).use()
