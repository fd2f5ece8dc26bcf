"""Products as launches, in one of several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netc.backends.cuda.emission import Emission, ending
from netc.backends.cuda.products.borrowed import borrowed_launches, split_ending
from netc.backends.cuda.products.product import Product
from netc.backends.cuda.products.rows import rows_launch
from netc.backends.cuda.products.tiled import tiled_launch
from netc.backends.cuda.products.tiles import Way
from netc.backends.cuda.products.winograd import winograd_launches
from netc.backends.cuda.program import Launch, Step, Steps, Undecided

Choose = Callable[[Emission, Product], Way]


def product_steps(product: Product, taken: int = 0) -> Steps:
    """A product among a node's steps; none where it has no outputs.

    The first ``taken`` elements of the workspace are not the product's own.
    """
    if product.out.pixels * sum(t.view.c for t in product.targets) == 0:
        return []
    return [Undecided(product, taken)]


def products_of(steps: Iterable[Step | Undecided]) -> list[Product]:
    """The products among steps."""
    return [step.product for step in steps if isinstance(step, Undecided)]


def decided(emission: Emission, steps: Iterable[Step | Undecided], choose: Choose) -> list[Step]:
    """The steps with the launches of each product in its place, in the way that is chosen."""
    found: list[Step] = []
    for step in steps:
        if isinstance(step, Undecided):
            way = choose(emission, step.product)
            found += way_launches(emission, step.product, way, step.taken)
        else:
            found.append(step)
    return found


def way_launches(emission: Emission, product: Product, way: Way, taken: int = 0) -> list[Launch]:
    """A product computed in a way."""
    if way.winograd:
        inner = way._replace(winograd=0)
        return winograd_launches(
            emission,
            product,
            way.winograd,
            lambda one, used: way_launches(emission, one, inner, used),
        )
    if way.rows:
        return [rows_launch(emission, product)]
    if way.plan is not None:
        end = split_ending(emission, product, way.plan.ended)
        return borrowed_launches(emission, product, way.plan, end, taken)
    return [tiled_launch(emission, product, ending(emission, product.targets), way, taken)]
