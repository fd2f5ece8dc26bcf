"""MemoryData: arrays that are given whole and taken in batches (memory_data_layer.cpp)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netc.diagnostics import Collector, Diagnostic, NetcError
from netc.lower.rules import NetState, filter_layers, merged_state
from netc.ops.catalog import has_role
from netc.ops.role import Role
from netc.schema.message import Message
from netc.solver.feeds import Batch


def memory_layers(net: Message, state: NetState) -> tuple[Message, ...]:
    """The MemoryData layers of a net in a NetState."""
    layers = filter_layers(net, merged_state(net, state), Collector())
    return tuple(layer for layer in layers if has_role(layer.get("type"), Role.MEMORY))


class MemoryArrays:
    """The batches of a dict whose arrays are those of MemoryData layers; called with the pass.

    Pass p takes rows p * batch_size to (p + 1) * batch_size of a layer's arrays, and begins anew at
    their end. What other blobs are fed is the batch of every pass.

    Args:
        layers: the MemoryData layers.
        given: blob -> array; what belongs to a layer has a multiple of its batch size of rows.
        name: the net's name in messages.

    Raises:
        NetcError: bad-feeds, at the layer.
    """

    def __init__(self, layers: Sequence[Message], given: Batch, name: str) -> None:
        self._given = given
        self._sizes: dict[str, int] = {}
        for layer in layers:
            size = int(layer.get("memory_data_param").get("batch_size"))
            tops = [top for top in layer.get("top") if top in given]
            rows = {top: len(given[top]) if np.ndim(given[top]) else 0 for top in tops}
            if size > 0:
                _check_rows(layer, rows, size, name)
                self._sizes.update(dict.fromkeys(tops, size))

    def __call__(self, position: int) -> Batch:
        """The batch of a pass."""
        found = dict(self._given)
        for blob, size in self._sizes.items():
            first = position * size % len(found[blob])
            found[blob] = found[blob][first : first + size]
        return found


def _check_rows(layer: Message, rows: Mapping[str, int], size: int, name: str) -> None:
    """As Reset of memory_data_layer.cpp; labels are as many as pictures."""
    for top, count in rows.items():
        if not count or count % size or count != max(rows.values()):
            others = [f"`{other}` has {n}" for other, n in rows.items() if n != count]
            counts = f"`{top}` has {count} rows" + (f", and {', '.join(others)}" if others else "")
            raise _bad(
                layer,
                f"feeds of {name}: {counts}, and layer `{layer.get('name')}` (MemoryData) takes "
                f"them in batches of {size}",
                f"give all tops the same number of rows, a multiple of {size}",
            )


def not_given(layer: Message, name: str) -> NetcError:
    """The error that a MemoryData layer has no arrays; to be raised by the caller."""
    tops = ", ".join(f'"{top}": ...' for top in layer.get("top"))
    size = layer.get("memory_data_param").get("batch_size")
    return _bad(
        layer,
        f"layer `{layer.get('name')}` (MemoryData) of {name} has no arrays: a script gives them, "
        "and no text can",
        f"netc.Solver(..., feeds={{{tops}}}), arrays of a multiple of {size} rows",
        "`HDF5Data` and `Data` read the same from files",
    )


def _bad(layer: Message, message: str, *help: str) -> NetcError:
    return NetcError(Diagnostic("bad-feeds", message, layer.span_of("name"), help=help))
