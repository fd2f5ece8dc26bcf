"""Steps of recurrent layers, two for each time step: a product and what follows it."""

from __future__ import annotations

from collections.abc import Iterator

from netc.backends.cpu import jit
from netc.backends.cpu.kernel_args import RecurrentArgs
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.linear import linear_step
from netc.backends.shared.derived import Weights
from netc.backends.shared.views import Place, View, dense


def scratch_floats(streams: int, hidden: int, gates: int) -> int:
    """Floats of scratch memory that the steps need: products, masked hidden states, cells."""
    return streams * hidden * (gates + 2)


def recurrent_steps(
    name: str,
    units: View,
    cont: View,
    output: View,
    weights: Weights,
    scratch: Place,
    target: Machine,
) -> Iterator[Step]:
    """All time steps of a layer whose states are 0 at first.

    Args:
        name: the layer's.
        units: what the data adds to the gates: steps x streams rows of gates x hidden floats.
        cont: the continuation indicators, (steps, 1, 1, streams).
        output: the hidden states: steps x streams rows of hidden floats.
        weights: of the hidden state, (gates x hidden, hidden).
        scratch: where ``scratch_floats`` floats are.
        target: the machine.
    """
    steps, streams, hidden = cont.n, cont.c, output.c
    gates = len(weights) // hidden
    product = dense(scratch, streams, 1, 1, gates * hidden)
    masked = dense(_after(scratch, product.span), streams, 1, 1, hidden)
    cells = _after(masked.place, masked.span)
    for step in range(steps):
        first, last = step == 0, step == steps - 1
        if not first:
            yield linear_step(f"{name} product", masked, product, weights, target)
        args = RecurrentArgs(
            units=_after(units.place, step * streams * units.c),
            product=product.place,
            cells=cells,
            output=_after(output.place, step * streams * hidden),
            masked=masked.place,
            cont=_after(cont.place, step * cont.ld),
            next_cont=0 if last else _after(cont.place, (step + 1) * cont.ld),
            hidden=hidden,
        )
        kernel = jit.spec("recurrent", "lstm" if gates == 4 else "rnn", first=first, last=last)
        yield Step(f"{name} step", kernel, args, streams)


def _after(place: Place, floats: int) -> Place:
    return place._replace(offset=place.offset + floats)
