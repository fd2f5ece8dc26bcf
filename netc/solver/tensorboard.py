"""Writes a run's scalars for TensorBoard, by tensorboardX; a listener of a solver."""

from __future__ import annotations

from typing import Any

from netc.diagnostics import Diagnostic, NetcError
from netc.solver import events
from netc.solver.rows import flattened


class TensorBoard:
    """Writes what is displayed and tested, as scalars ``train/loss``, ``test_0/accuracy`` ...

    Args:
        folder: for the event files; created if it does not exist.

    Raises:
        NetcError: missing-package, without tensorboardX; cannot-write.
    """

    def __init__(self, folder: str) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            message = "TensorBoard needs the package `tensorboardX`, which is not installed"
            help = ("pip install 'netc[tensorboard]'",)
            raise NetcError(Diagnostic("missing-package", message, help=help)) from None
        try:
            self._writer: Any = SummaryWriter(folder)
        except OSError as error:
            message = f"`{folder}` cannot be written: {(error.strerror or str(error)).lower()}"
            raise NetcError(Diagnostic("cannot-write", message)) from None

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.Displayed):
            scores = {**flattened(event.outputs), "smoothed_loss": event.loss}
            self._write("train", scores, event.iteration)
        elif isinstance(event, events.RateUsed):
            self._write("train", {"rate": float(event.rate)}, event.iteration)
        elif isinstance(event, events.Tested):
            self._write(f"test {event.net}", flattened(event.scores), event.iteration)

    def _write(self, net: str, scores: dict[str, Any], iteration: int) -> None:
        for name, value in scores.items():
            self._writer.add_scalar(f"{net.replace(' ', '_')}/{name}", value, iteration)
