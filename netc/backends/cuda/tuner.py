"""Measures ways of computing products on the device, and remembers the best on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from netc.backends.base import Progress
from netc.backends.cuda.chains import Target
from netc.backends.cuda.device import Call, Device, Turn
from netc.backends.cuda.emission import Emission
from netc.backends.cuda.launches import (
    WINOGRAD,
    candidates,
    fits_winograd,
    guessed,
    middle,
    way_launches,
)
from netc.backends.cuda.pixels import Arena
from netc.backends.cuda.products import Product, product_key
from netc.backends.cuda.program import Context, Program, Weights
from netc.backends.cuda.source import Kernel, kernel_text
from netc.backends.cuda.tiles import Tile, Way, cost
from netc.backends.cuda.uploads import Uploads
from netc.cache import content_key, read_entry, write_entry
from netc.ir.graph import Array

Choices = dict[str, Way]
_TRIED = 12  # ways that are measured, of those that the model puts first
_COLD = 64 << 20  # bytes of weights among which the runs go round, so that few are in a cache
_COPIES = 8  # of the weights, at most
_ENOUGH = 3e-4  # seconds of work between two events
_ROUNDS = 7


class Tuner:
    """Finds ways for one device, precision and kind of answer.

    Args:
        device: where.
        emission: whose facts and precision count.
        progress: told while kernels are compiled.
    """

    def __init__(
        self, device: Device, emission: Emission, progress: Progress | None = None
    ) -> None:
        self._progress = progress
        self._device = device
        self._emission = emission
        self._name = _entry_name(emission)
        self._known = _read(self._name)

    def choices(self, products: Iterable[Product]) -> Mapping[str, Way]:
        """The best way of each product, by key; measured where none is known."""
        wanted = {self._key(product): product for product in products}
        unknown = {key: product for key, product in wanted.items() if key not in self._known}
        if unknown:
            self._build(unknown.values())
            for product in unknown.values():
                self._best(product)
            _write(self._name, self._known)
        return {key: self._known[key] for key in wanted}

    def _key(self, product: Product) -> str:
        return product_key(product, self._emission.precision.item)

    def _build(self, products: Iterable[Product]) -> None:
        """Compile the kernels of all ways that will be measured, together."""
        kernels: list[Kernel] = []
        for product in products:
            for one in (product, *self._middles(product)):
                trial = plain(one)
                for way in self._tried(one):
                    kernels += [
                        launch.kernel for launch in way_launches(self._emission, trial, way)
                    ]
        self._device.build(kernels, self._progress)

    def _middles(self, product: Product) -> list[Product]:
        if not fits_winograd(self._emission, product):
            return []
        return [middle(self._emission, product, outputs) for outputs in WINOGRAD]

    def _tried(self, product: Product) -> list[Way]:
        """The ways worth measuring: the most promising, and the best of each tile."""
        emission = self._emission
        size, matrix = product.size(emission.precision.item), emission.precision.matrix > 0
        ranked = sorted(
            candidates(emission, product),
            key=lambda way: cost(size, way, emission.facts, matrix),
        )
        best_of_tile = {way.tile: way for way in reversed(ranked)}
        return list(dict.fromkeys((*ranked[: _TRIED // 2], *best_of_tile.values())))[:_TRIED]

    def _best(self, product: Product) -> Way:
        """The fastest way of a product."""
        key = self._key(product)
        if key not in self._known:
            times = {way: self._seconds(product, way) for way in self._tried(product)}
            best = min(times, key=lambda way: times[way])
            for outputs in WINOGRAD if fits_winograd(self._emission, product) else ():
                inner = self._best(middle(self._emission, product, outputs))
                way = inner._replace(winograd=outputs)
                times[way] = self._seconds(product, way)
                best = min(best, way, key=lambda way: times[way])
            self._known[key] = best
        return self._known[key]

    def _seconds(self, product: Product, way: Way) -> float:
        """How long a way takes; infinity where the device has no memory for it."""
        try:
            return self._measured(product, way)
        except MemoryError:
            pass  # with it goes the last that refers to what was allocated
        self._device.release()
        return float("inf")

    def _measured(self, product: Product, way: Way) -> float:
        emission, device = self._emission, self._device
        trial = plain(product)
        first = trial.weights()
        copies = min(_COPIES, max(1, _COLD // max(1, first.nbytes)))
        runs = [
            way_launches(emission, replace(trial, weights=_same(first + np.float32(i))), way)
            for i in range(copies)
        ]
        launches = [launch for run in runs for launch in run]
        program = Program(tuple(launches), _arena(trial, emission), emission.precision.item)
        device.build(program.kernels)
        context = Context(Uploads(device).program(program), device, Weights(device))
        whole = context.array(trial.x)
        whole[...] = device.asarray(_noise(whole.shape))
        calls = [call for call in context.calls if isinstance(call, Call)]
        estimate = device.measure(_started(device, calls[: len(calls) // copies]), 1)
        times = max(1, min(4, int(_ENOUGH / max(estimate, 1e-9) / copies)))
        work = device.record(calls * times, [Turn(0)] * (times * len(calls)))
        seconds = device.measure(work or _started(device, calls * times), _ROUNDS)
        return seconds / (times * copies)


def _started(device: Device, calls: Sequence[Call]) -> Callable[[], None]:
    """Starts calls one by one."""

    def work() -> None:
        for call in calls:
            device.launch(call)

    return work


def _same(array: Array) -> Callable[[], Array]:
    return lambda: array


def plain(product: Product) -> Product:
    """A product of the same size between other places, with noise for weights and no epilogue."""
    x = replace(product.x, place=Arena(0))
    end, targets = -(-x.span // 64) * 64, []
    for target in product.targets:
        view = replace(target.view, place=Arena(end), ld=target.view.c)
        targets.append(Target(view, (view.pixels, view.c)))
        end += -(-view.span // 64) * 64
    rows = sum(target.view.c for target in product.targets)
    if product.phases is not None:
        shape: tuple[int, ...] = (product.phases.weights,)
    else:
        shape = (rows, len(product.taps) * product.channels)
    return replace(
        product, x=x, targets=tuple(targets), weights=lambda: _noise(shape), name="trial"
    )


def _arena(product: Product, emission: Emission) -> int:
    last = product.targets[-1].view
    return emission.precision.item * (last.place.offset + last.span)


def _noise(shape: Sequence[int]) -> Array:
    """Numbers that are not zero, which a device may treat otherwise."""
    block = np.random.default_rng(0).standard_normal(65521, dtype=np.float32)
    return np.resize(block, tuple(shape))


# The file


def _entry_name(emission: Emission) -> str:
    """The cache's entry for a device and what else decides; new kernels are measured anew."""
    facts = emission.facts
    words = (facts.name, facts.capability, facts.processors, emission.precision.name)
    texts = [kernel_text(Kernel(name)) for name in ("conv", "winograd_in", "winograd_out")]
    return f"cuda-ways-{content_key(repr((words, emission.exact, texts)).encode())}.json"


def _read(name: str) -> Choices:
    data = read_entry(name)
    try:
        found: Any = json.loads(data) if data else {}
        return {
            key: Way(Tile(*tile), int(splits), int(winograd))
            for key, (tile, splits, winograd) in found.items()
        }
    except (ValueError, TypeError, AttributeError):  # cut short, or of another program
        return {}


def _write(name: str, choices: Choices) -> None:
    """Add to what is there by now: another process may have measured too."""
    merged = {**_read(name), **choices}
    write_entry(name, json.dumps(merged, indent=0).encode())


def choosing(choices: Mapping[str, Way]) -> Callable[[Emission, Product], Way]:
    """Chooses what was measured, else what should be fastest."""

    def choose(emission: Emission, product: Product) -> Way:
        found = choices.get(product_key(product, emission.precision.item))
        return found or guessed(emission, product)

    return choose


def recording(products: list[Product]) -> Callable[[Emission, Product], Way | None]:
    """Notes each product and chooses nothing."""

    def choose(emission: Emission, product: Product) -> Way | None:
        products.append(product)
        return None

    return choose
