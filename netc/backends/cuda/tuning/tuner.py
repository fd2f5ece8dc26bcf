"""Measures ways of computing products on the device, and remembers the best on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from netc.backends.base import Progress
from netc.backends.cuda.device import Code, Device, DeviceError
from netc.backends.cuda.emission import Emission
from netc.backends.cuda.libraries.operation import Plan
from netc.backends.cuda.products.borrowed import operation_of, split_ending
from netc.backends.cuda.products.choice import candidates, guessed
from netc.backends.cuda.products.product import Product, product_key
from netc.backends.cuda.products.rows import fits_rows
from netc.backends.cuda.products.tiles import Tile, Way, cost
from netc.backends.cuda.products.winograd import WINOGRAD, fits_winograd, middle
from netc.backends.cuda.source import Kernel, kernel_text
from netc.backends.cuda.tuning.measuring import NEVER, Bench
from netc.backends.cuda.tuning.trials import Trial, trial, weights_shape
from netc.cache import content_key, read_entry, write_entry
from netc.diagnostics import Diagnostic, NetcError

Choices = dict[str, Way]
_TRIED = 12  # ways that are measured, of those that the model puts first


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
        self._name = _entry_name(emission, device.libraries)
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
        return way_key(self._emission, product)

    def _build(self, products: Iterable[Product]) -> None:
        """Compile the kernels of all ways that will be measured, together."""
        codes: list[Code] = []
        for product in products:
            middles = [middle(self._emission, product, o) for o in self._outputs(product)]
            for one in (product, *middles):
                found = trial(one)
                zeros = np.zeros(weights_shape(one), np.float32)
                weights = found.weights(self._emission, zeros)
                for way in self._tried(one):
                    launches = found.launches(self._emission, way, weights)
                    codes += [launch.kernel for launch in launches]
        with suppress(DeviceError):  # a way without its kernel is left out when it is measured
            self._device.build(codes, self._progress)

    def _outputs(self, product: Product) -> tuple[int, ...]:
        """Sizes of Winograd's tiles that are tried."""
        return WINOGRAD if fits_winograd(self._emission, product) else ()

    def _tried(self, product: Product) -> list[Way]:
        """Our own ways worth measuring: the most promising, and the best of each tile."""
        emission = self._emission
        size, matrix = product.size(emission.precision.item), emission.precision.matrix > 0
        ranked = sorted(
            candidates(emission, product),
            key=lambda way: cost(size, way, emission.facts, matrix),
        )
        best_of_tile = {way.tile: way for way in reversed(ranked)}
        first = [ranked[0]._replace(rows=True)] if fits_rows(emission, product) else []
        most = _TRIED // 2
        return list(dict.fromkeys((*first, *ranked[:most], *best_of_tile.values())))[:_TRIED]

    def _proposed(self, product: Product, found: Trial) -> list[Way]:
        """Ways of libraries, if any is installed and knows such a product.

        A library that cannot do what follows the product is asked for the product alone.
        """
        plans = self._plans(product, found, ended=True)
        able = {plan.library for plan in plans}
        alone = self._plans(product, found, ended=False) if found.ends else []
        plans += [plan._replace(ended=False) for plan in alone if plan.library not in able]
        tile = self._tried(product)[0].tile
        return [Way(tile, plan=plan) for plan in plans]

    def _plans(self, product: Product, found: Trial, ended: bool) -> list[Plan]:
        emission = self._emission
        real = operation_of(emission, product, split_ending(emission, product, ended))
        tried = operation_of(emission, found.product, found.ending(ended))
        if real is None or tried is None:
            return []
        asked = replace(tried, alignment=real.alignment, shared=real.shared)
        return list(self._device.plans(asked))

    def _best(self, product: Product) -> Way:
        """The fastest way of a product.

        Raises:
            NetcError: wrong-numbers, where no way gives the right ones.
        """
        key = self._key(product)
        if key not in self._known:
            self._known[key] = self._measured(product)
        return self._known[key]

    def _measured(self, product: Product) -> Way:
        emission = self._emission
        found = trial(product, split_ending(emission, product))
        bench = Bench(self._device, emission, found)
        ways = [*self._tried(product), *self._proposed(product, found)]
        times = {way: bench.seconds(way) for way in ways}
        for outputs in self._outputs(product):
            way = self._best(middle(emission, product, outputs))._replace(winograd=outputs)
            times[way] = bench.seconds(way)
        best = min(times, key=lambda way: times[way])
        if times[best] < NEVER:
            return best
        if bench.worst:
            raise NetcError(_wrong(product, bench.worst, emission))
        return guessed(emission, product)


def _wrong(product: Product, error: float, emission: Emission) -> Diagnostic:
    return Diagnostic(
        "wrong-numbers",
        f"no way of computing layer `{product.name}` gives the right numbers on "
        f"{emission.facts.name}: they are off by {error:.1e} of the largest value",
        help=(
            "see whether the device and its driver are sound, or run with `--backend cpu`",
            "please report it, with what `netc devices` prints",
        ),
    )


# The file


def way_key(emission: Emission, product: Product) -> str:
    """What a product's best way is known by: its size, and what would follow a library's way."""
    end = split_ending(emission, product)
    named = (
        ("b", end.bias is not None),
        ("s", end.other is not None),
        ("r", end.relu),
        ("m", bool(end.rest)),
    )
    operation = operation_of(emission, product, end)
    words = [letter for letter, there in named if there]
    words += [str(operation.alignment)] if operation else []
    return f"{product_key(product, emission.precision.item)},ending={''.join(words)}"


def _entry_name(emission: Emission, libraries: str) -> str:
    """The cache's entry for a device and what else decides; new kernels are measured anew."""
    facts = emission.facts
    device = (facts.name, facts.capability, facts.processors)
    words = (*device, emission.precision.name, libraries)
    texts = [kernel_text(Kernel(name)) for name in ("conv", "gemv", "winograd_in", "winograd_out")]
    return f"cuda-ways-{content_key(repr((words, emission.exact, texts)).encode())}.json"


def _read(name: str) -> Choices:
    data = read_entry(name)
    try:
        found: Any = json.loads(data) if data else {}
        return {
            key: Way(Tile(*tile), int(splits), int(winograd), plan and Plan(*plan), bool(rows))
            for key, (tile, splits, winograd, plan, rows) in found.items()
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
        found = choices.get(way_key(emission, product))
        return found or guessed(emission, product)

    return choose
