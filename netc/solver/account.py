"""``Solver.report()``: a run's programs and their memory, as plain values."""

from __future__ import annotations

from netc.analysis.cost import FLOAT_BYTES, caffe_data_bytes
from netc.compiled import CompiledNet
from netc.ir.types import count
from netc.passes.recompute import PASS
from netc.solver.opening import SolverRun


def run_report(run: SolverRun) -> dict[str, object]:
    """Bytes of parameters, history and gradient sums over passes, and each program's report.

    ``caffe_bytes`` is what Caffe would allocate: data and diff of every top and parameter, and the
    history. ``recomputed`` are the layers that are run again in the backward pass to save memory.
    """
    train = run.train
    sizes = {n: count(p.shape or ()) for n, p in train.graph.parameters.items() if p.owner is None}
    parameters = FLOAT_BYTES * sum(sizes.values())
    history = sum(array.nbytes for array in train.history)
    data = caffe_data_bytes(train.graph)
    return {
        "net": train.graph.name,
        "parameter_bytes": parameters,
        "history_bytes": history,
        "variable_bytes": train.variable_bytes,
        "caffe_bytes": 2 * data + 2 * parameters + history,
        "caffe_data_bytes": data,
        "programs": {name: net.report() for name, net in train.programs.items()},
        "recomputed": sorted({n for net in train.programs.values() for n in _again(net)}),
        "tests": [test.net.report() for test in run.tests],
    }


def _again(net: CompiledNet) -> tuple[str, ...]:
    applied = getattr(net.executable(tuple(net.inputs.values())), "applied", ())
    remarks = (remark for item in applied if item.name == PASS for remark in item.remarks)
    return tuple(name for remark in remarks for name in remark.layers)
