"""A data layer's batch size and `rand_skip`, checked against memory and the number of records."""

from __future__ import annotations

from netc.memory import check_memory
from netc.sources.base import DataLayer, draws

_RECORD_OVERHEAD_BYTES = 64  # bytes of a record beside its numbers: its place, its key


def batch_size(source: DataLayer, block: str) -> int:
    """The `batch_size` in the layer's parameter ``block``, such as "data_param".

    Raises:
        NetcError: out-of-range, where it is not positive; too-little-memory.
    """
    size = int(source.layer.get(block).get("batch_size"))
    if size < 1:
        field = f"{block}.batch_size"
        raise source.fault("out-of-range", f"`batch_size` is {size}, and must be positive", field)
    check_room(source, block, size, 0)
    return size


def check_room(source: DataLayer, block: str, size: int, record: int) -> None:
    """Check that there is memory for a batch, before it is read.

    Args:
        source: the layer.
        block: the parameter that has its `batch_size`, for the error's position.
        size: the batch size.
        record: bytes of one record's arrays.

    Raises:
        NetcError: too-little-memory, at the batch size.
    """
    span = source.layer.get(block).span_of("batch_size")
    what = f"layer `{source.name}`: {size:,} records of a batch"
    # Records are read one by one, and then put together.
    check_memory(size * (_RECORD_OVERHEAD_BYTES + 2 * record), what, span, "a smaller `batch_size`")


def skipped(source: DataLayer, block: str, lines: int) -> int:
    """How many lines the first epoch skips: a random number below the layer's `rand_skip`.

    Raises:
        NetcError: out-of-range, where the list has fewer lines (image_data_layer.cpp:68).
    """
    most = int(source.layer.get(block).get("rand_skip"))
    if not most:
        return 0
    skip = int(draws(source.seed, source.name, most).integers(most))
    if skip >= lines:
        raise source.fault(
            "out-of-range",
            f"`rand_skip` leaves out {skip} lines, and there are {lines}",
            f"{block}.rand_skip",
        )
    return skip
