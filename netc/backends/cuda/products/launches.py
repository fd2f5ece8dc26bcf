"""Products as launches, by the configuration that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netc.backends.cuda.emission import CudaEmitContext, epilogue_code
from netc.backends.cuda.libraries.operation import LibraryAlgorithm
from netc.backends.cuda.products.library import library_launches, split_epilogue
from netc.backends.cuda.products.outer import gradient_launch
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.rows import rows_launch
from netc.backends.cuda.products.tiled import tiled_launch
from netc.backends.cuda.products.tiles import ProductConfig
from netc.backends.cuda.products.winograd import winograd_launches
from netc.backends.cuda.program import (
    AnyStep,
    Launch,
    Step,
    Steps,
    Undecided,
    UndecidedGradient,
)

Choose = Callable[[CudaEmitContext, Product], ProductConfig]
ChooseGradient = Callable[[CudaEmitContext, UndecidedGradient], LibraryAlgorithm | None]


def product_steps(product: Product, taken: int = 0) -> Steps:
    """A product among a node's steps; none where it has no outputs.

    The first ``taken`` elements of the workspace are not the product's own.
    """
    if product.out.pixels * sum(t.view.c for t in product.targets) == 0:
        return []
    return [Undecided(product, taken)]


def products_of(steps: Iterable[AnyStep]) -> list[Product]:
    """The products among steps."""
    return [step.product for step in steps if isinstance(step, Undecided)]


def gradients_of(steps: Iterable[AnyStep]) -> list[UndecidedGradient]:
    """The weight gradients among steps."""
    return [step for step in steps if isinstance(step, UndecidedGradient)]


def own_kernel(emission: CudaEmitContext, gradient: UndecidedGradient) -> None:
    """No library's algorithm, where nothing is measured."""


def decided(
    emission: CudaEmitContext,
    steps: Iterable[AnyStep],
    choose: Choose,
    choose_gradient: ChooseGradient,
) -> list[Step]:
    """The steps, each product and weight gradient replaced by the launches chosen for it."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Undecided):
            config = choose(emission, step.product)
            found += config_launches(emission, step.product, config, step.taken)
        elif isinstance(step, UndecidedGradient):
            algorithm = choose_gradient(emission, step)
            found.append(gradient_launch(emission, step.name, step.outer, step.target, algorithm))
        else:
            found.append(step)
    return found


def config_launches(
    emission: CudaEmitContext, product: Product, config: ProductConfig, taken: int = 0
) -> list[Launch]:
    """The launches of a product by a configuration."""
    # Transforms around a batch of products, one a plane, each by the inner configuration.
    if config.winograd:
        inner = config._replace(winograd=0)
        return winograd_launches(
            emission,
            product,
            config.winograd,
            lambda one, used: config_launches(emission, one, inner, used),
        )
    # Few rows: a matrix times some vectors, bound by reading the weights.
    if config.rows:
        return [rows_launch(emission, product)]
    if config.algorithm is not None:
        epilogue = split_epilogue(emission, product, config.algorithm.fuses_epilogue)
        return library_launches(emission, product, config.algorithm, epilogue, taken)
    return [
        tiled_launch(emission, product, epilogue_code(emission, product.targets), config, taken)
    ]
