"""Derives a deploy net from a training text in a file, with sizes from the files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape
from netc.lower.rules import NetState
from netc.schema.message import Message
from netc.surgery.beside import sizes_beside, sizes_of_twins
from netc.surgery.data_sizes import sizes_of_data
from netc.surgery.deploy import Deployed, deploy
from netc.weights.model import Weights

Search = Callable[[Path, Message], tuple[dict[str, Shape], list[Diagnostic]]]

_SEARCHES: tuple[Search, ...] = (sizes_of_data, sizes_beside, sizes_of_twins)


def deploy_file(
    path: Path | None,
    net: Message,
    *,
    state: NetState | None = None,
    inputs: Mapping[str, Shape] | None = None,
    until: Sequence[str] = (),
    batch: int = 1,
    weights: Weights | None = None,
) -> tuple[Deployed, list[Diagnostic]]:
    """As :func:`netc.surgery.deploy.deploy`; sizes that the text lacks are looked for beside it.

    A mean image or a database in the text's folder tells them, or another text of the net.

    Args:
        path: the training text, None where it has no file; nothing outside its folder is read.
        net: its NetParameter in the current format.
        state, inputs, until, batch, weights: as ``deploy`` has them.

    Returns:
        The net for inference, and notes of the files that told sizes.

    Raises:
        NetcError: as ``deploy`` does.
    """
    given = dict(inputs or {})

    def derived(shapes: Mapping[str, Shape]) -> Deployed:
        return deploy(
            net, state=state, inputs=shapes, until=until, batch=batch, weights=weights
        )  # fmt: skip

    try:
        return derived(given), []
    except NetcError as error:
        if error.diagnostics[0].code != "unknown-input-shape" or path is None:
            raise
        for search in _SEARCHES:
            found, reported = search(path, net)
            batched = {name: (batch, *shape[1:]) for name, shape in found.items()}
            if batched.keys() - given.keys():
                try:
                    return derived({**batched, **given}), reported
                except NetcError:
                    continue
        raise
