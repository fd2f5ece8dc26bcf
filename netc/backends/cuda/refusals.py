"""What the GPU backend says when it cannot run a net."""

from __future__ import annotations

from netc.backends.base import ExecutableReport
from netc.backends.cuda.emission import CudaEmitContext
from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Graph
from netc.ops.gradient_update import updated_by
from netc.train.generator import KEY


def check_precision(emission: CudaEmitContext) -> None:
    """The matrix units that a precision needs must be there, and nothing that it cannot store.

    Raises:
        NetcError: unsupported-precision.
    """
    precision, facts = emission.precision, emission.facts
    if precision.half and (lost := _lost_in_half(emission.graph)):
        raise NetcError(
            Diagnostic(
                "unsupported-precision",
                f"precision `{precision.name}` stores every value as float16, which cannot hold "
                f"{lost}",
                help=("use `float32`, or `tf32` for matrix units",),
            )
        )
    if precision.matrix and facts.capability < (8, 0):
        have = ".".join(map(str, facts.capability))
        raise NetcError(
            Diagnostic(
                "unsupported-precision",
                f"precision `{precision.name}` needs a device of compute capability 8.0 or "
                f"newer, and {facts.name} has {have}",
                help=("leave `precision` out",),
            )
        )


def _lost_in_half(graph: Graph) -> str:
    """What float16 would round to another meaning: it has 11 bits, and ends at 65504."""
    if any(updated_by(node) is not None for node in graph.nodes):
        return "a training step's iteration, rate and small gradients"
    return "the random generator's seed and iteration" if KEY in graph.inputs else ""


def refusal(device: str, reason: str) -> Diagnostic:
    """A device that will not do what is asked of it."""
    return Diagnostic(
        "device-refusal",
        f"{device} cannot run the net: {reason}",
        help=("please report it, with what `netc devices` prints; `--backend cpu` runs the net",),
    )


def out_of_memory(plan: ExecutableReport, memory: int) -> Diagnostic:
    """A lack of memory, with the plan's numbers."""
    wanted = {
        "weights": plan["weights_bytes"],
        "arena": plan["arena_bytes"],
        "workspace": plan["workspace_bytes"],
    }
    listed = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in wanted.items())
    total = sum(wanted.values()) / 2**20
    return Diagnostic(
        "out-of-device-memory",
        f"the net takes {total:.1f} MiB of device memory ({listed}) and the device "
        f"{plan['device']}, {memory / 2**20:.0f} MiB in all, has not as much free",
        help=("use a smaller batch or input, or end what else uses the device",),
    )
