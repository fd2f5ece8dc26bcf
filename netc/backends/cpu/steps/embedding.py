"""Steps of an embedding."""

from __future__ import annotations

import math

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import EmbedArgs
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import padded
from netc.backends.cpu.steps.packing import in_c_order
from netc.backends.shared.derived import Weights
from netc.backends.shared.views import Place

_UNIT_ELEMENTS = 16384  # elements in a unit of work, about


def embed_steps(
    name: str, x: Place, count: int, y: Place, vectors: Weights, bias: Weights | None, status: Place
) -> list[Step]:
    """Rows of a table, by numbers that are checked first.

    Args:
        name: the layer's.
        x: the numbers.
        count: how many.
        y: (count, channels), without gaps.
        vectors: the table, (rows, channels), of at least one row.
        bias: (channels,), or None.
        status: gets what is wrong.
    """
    limit, channels = vectors.shape
    together = max(1, _UNIT_ELEMENTS // max(1, channels))
    table = in_c_order(vectors)
    added = table if bias is None else padded(bias)
    args = EmbedArgs(x, count, table, limit, channels, added, y, together, status)
    gather = jit.spec("embedding", "gather", bias=bias is not None)
    check = Step(name, jit.spec("embedding", "check"), args, 1)
    return [check, Step(name, gather, args, math.ceil(count / together))]
