"""Measures configurations of products on the device, and remembers the best on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from netc.backends.base import Progress
from netc.backends.cuda.device import Code, Device, DeviceError
from netc.backends.cuda.emission import CudaEmitContext
from netc.backends.cuda.libraries.operation import LibraryAlgorithm
from netc.backends.cuda.products.choice import candidates, guessed
from netc.backends.cuda.products.library import operation_of, split_epilogue
from netc.backends.cuda.products.product import Product, product_key
from netc.backends.cuda.products.rows import fits_rows
from netc.backends.cuda.products.tiles import BlockTile, ProductConfig, cost
from netc.backends.cuda.products.winograd import WINOGRAD, fits_winograd, middle
from netc.backends.cuda.source import Kernel, kernel_text
from netc.backends.cuda.tuning.measuring import NEVER, Bench
from netc.backends.cuda.tuning.trials import Trial, trial, weights_shape
from netc.cache import content_key, read_entry, write_entry
from netc.diagnostics import Diagnostic, NetcError

Choices = dict[str, ProductConfig]
_MAX_MEASURED = 12  # configurations that are measured, of those that the model puts first


class Tuner:
    """Finds configurations for one device, precision and kind of answer.

    Args:
        device: where.
        emission: whose facts and precision count.
        progress: told while kernels are compiled.
    """

    def __init__(
        self, device: Device, emission: CudaEmitContext, progress: Progress | None = None
    ) -> None:
        self._progress = progress
        self._device = device
        self._emission = emission
        self._name = _entry_name(emission, device.libraries)
        self._known = _read(self._name)

    def choices(self, products: Iterable[Product]) -> Mapping[str, ProductConfig]:
        """The best configuration of each product, by key; measured where none is known."""
        wanted = {self._key(product): product for product in products}
        unknown = {key: product for key, product in wanted.items() if key not in self._known}
        if unknown:
            self._build(unknown.values())
            for product in unknown.values():
                self._best(product)
            _write(self._name, self._known)
        return {key: self._known[key] for key in wanted}

    def _key(self, product: Product) -> str:
        return config_key(self._emission, product)

    def _build(self, products: Iterable[Product]) -> None:
        """Compile the kernels of all configurations that will be measured, together."""
        codes: list[Code] = []
        for product in products:
            middles = [middle(self._emission, product, o) for o in self._outputs(product)]
            for one in (product, *middles):
                found = trial(one)
                zeros = np.zeros(weights_shape(one), np.float32)
                weights = found.weights(self._emission, zeros)
                for config in self._tried(one):
                    launches = found.launches(self._emission, config, weights)
                    codes += [launch.kernel for launch in launches]
        with suppress(DeviceError):  # one without its kernel is left out when it is measured
            self._device.build(codes, self._progress)

    def _outputs(self, product: Product) -> tuple[int, ...]:
        """Sizes of Winograd's tiles that are tried."""
        return WINOGRAD if fits_winograd(self._emission, product) else ()

    def _tried(self, product: Product) -> list[ProductConfig]:
        """Our own configurations worth measuring: the most promising, and the best of each tile."""
        emission = self._emission
        size, matrix = product.size(emission.precision.item), emission.precision.matrix > 0
        ranked = sorted(
            candidates(emission, product),
            key=lambda config: cost(size, config, emission.facts, matrix),
        )
        best_of_tile = {config.tile: config for config in reversed(ranked)}
        first = [ranked[0]._replace(rows=True)] if fits_rows(emission, product) else []
        if first and emission.exact:
            return first  # whose sums have another order than those of tiles
        limit = _MAX_MEASURED // 2
        return list(dict.fromkeys((*first, *ranked[:limit], *best_of_tile.values())))[
            :_MAX_MEASURED
        ]

    def _proposed(self, product: Product, found: Trial) -> list[ProductConfig]:
        """Algorithms of libraries, if any is installed and knows such a product.

        A library that cannot do what follows the product is asked for the product alone.
        """
        algorithms = self._algorithms(product, found, fused=True)
        able = {algorithm.library for algorithm in algorithms}
        alone = self._algorithms(product, found, fused=False) if found.has_epilogue else []
        algorithms += [
            algorithm._replace(fuses_epilogue=False)
            for algorithm in alone
            if algorithm.library not in able
        ]
        tile = self._tried(product)[0].tile
        return [ProductConfig(tile, algorithm=algorithm) for algorithm in algorithms]

    def _algorithms(self, product: Product, found: Trial, fused: bool) -> list[LibraryAlgorithm]:
        emission = self._emission
        real = operation_of(emission, product, split_epilogue(emission, product, fused))
        tried = operation_of(emission, found.product, found.library_epilogue(fused))
        if real is None or tried is None:
            return []
        asked = replace(tried, alignment=real.alignment, shared=real.shared)
        return list(self._device.algorithms(asked))

    def _best(self, product: Product) -> ProductConfig:
        """The fastest configuration of a product.

        Raises:
            NetcError: wrong-numbers, where no configuration gives the right ones.
        """
        key = self._key(product)
        if key not in self._known:
            self._known[key] = self._measured(product)
        return self._known[key]

    def _measured(self, product: Product) -> ProductConfig:
        emission = self._emission
        found = trial(product, split_epilogue(emission, product))
        bench = Bench(self._device, emission, found)
        configs = [*self._tried(product), *self._proposed(product, found)]
        times = {config: bench.seconds(config) for config in configs}
        for outputs in self._outputs(product):
            config = self._best(middle(emission, product, outputs))._replace(winograd=outputs)
            times[config] = bench.seconds(config)
        best = min(times, key=lambda config: times[config])
        if times[best] < NEVER:
            return best
        if bench.worst:
            raise NetcError(_wrong(product, bench.worst, emission))
        return guessed(emission, product)


def _wrong(product: Product, error: float, emission: CudaEmitContext) -> Diagnostic:
    return Diagnostic(
        "wrong-numbers",
        f"no configuration of layer `{product.name}` gives the right numbers on "
        f"{emission.facts.name}: they are off by {error:.1e} of the largest value",
        help=(
            "see whether the device and its driver are sound, or run with `--backend cpu`",
            "please report it, with what `netc devices` prints",
        ),
    )


# The file


def config_key(emission: CudaEmitContext, product: Product) -> str:
    """What a product's configuration is stored under: its size, and what a library would fuse."""
    epilogue = split_epilogue(emission, product)
    named = (
        ("b", epilogue.bias is not None),
        ("s", epilogue.other is not None),
        ("r", epilogue.relu),
        ("m", bool(epilogue.rest)),
    )
    operation = operation_of(emission, product, epilogue)
    words = [letter for letter, there in named if there]
    words += [str(operation.alignment)] if operation else []
    return f"{product_key(product, emission.precision.item)},ending={''.join(words)}"


def _entry_name(emission: CudaEmitContext, libraries: str) -> str:
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
            key: ProductConfig(
                BlockTile(*tile),
                int(splits),
                int(winograd),
                algorithm and LibraryAlgorithm(*algorithm),
                bool(rows),
            )
            for key, (tile, splits, winograd, algorithm, rows) in found.items()
        }
    except (ValueError, TypeError, AttributeError):  # cut short, or of another program
        return {}


def _write(name: str, choices: Choices) -> None:
    """Add to what is there by now: another process may have measured too."""
    merged = {**_read(name), **choices}
    write_entry(name, json.dumps(merged, indent=0).encode())


def choosing(
    choices: Mapping[str, ProductConfig],
) -> Callable[[CudaEmitContext, Product], ProductConfig]:
    """Chooses what was measured, else what should be fastest."""

    def choose(emission: CudaEmitContext, product: Product) -> ProductConfig:
        found = choices.get(config_key(emission, product))
        return found or guessed(emission, product)

    return choose
