"""Caffe's global mode, device and random seed (common.cpp); they apply to nets made later."""

from __future__ import annotations

from dataclasses import dataclass

from netc.arguments import number
from netc.backends.registry import use_device
from netc.compat.pycaffe.errors import raising

TRAIN = 0
TEST = 1


@dataclass(slots=True)
class Mode:
    """The global settings; a net copies them when it is made."""

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
        use_device(current.backend, current.device)
    return current.backend
