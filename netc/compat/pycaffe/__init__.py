"""Caffe's Python interface: ``import netc.compat.pycaffe as caffe``.

See docs/compat.md for what works and what differs.
"""

from __future__ import annotations

import sys

from netc.compat.pycaffe import coord_map, draw, io, proto
from netc.compat.pycaffe.blob import Blob
from netc.compat.pycaffe.classifier import Classifier
from netc.compat.pycaffe.detector import Detector
from netc.compat.pycaffe.layer import BlobVec, Layer
from netc.compat.pycaffe.mode import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
)
from netc.compat.pycaffe.nccl import NCCL
from netc.compat.pycaffe.net import Net
from netc.compat.pycaffe.net_spec import NetSpec, layers, params, to_proto
from netc.compat.pycaffe.python_layers import add_python_layer, allow_imports
from netc.compat.pycaffe.settings import (
    Timer,
    has_nccl,
    init_log,
    log,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from netc.compat.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)
from netc.ops.catalog import LAYERS

# Caffe's own classes are in two modules of these names, which scripts import from too.
pycaffe = _caffe = sys.modules[__name__]

__version__ = "1.0.0"  # of the Caffe whose interface this is; scripts compare it

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "add_python_layer",
    "coord_map",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "install",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def layer_type_list() -> list[str]:
    """The layer types there are."""
    return sorted(LAYERS)


def install(python_layers: bool = False) -> None:
    """Have ``import caffe``, also of its parts, find this package from now on in this process.

    For programs of many files, where the import lines are better left as they are.

    Args:
        python_layers: whether modules that nets name (``python_param { module }``) are imported,
            with all the code in them. Without it a class counts whose module is imported already.
    """
    if python_layers:
        allow_imports()
    own = sys.modules[__name__]
    sys.modules["caffe"] = own
    for other in ("pycaffe", "_caffe"):  # where Caffe itself has its classes
        sys.modules[f"caffe.{other}"] = own
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{__name__}."):
            sys.modules["caffe" + name.removeprefix(__name__)] = module
