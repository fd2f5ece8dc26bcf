"""The pipelines, as literal tuples, and how a caller chooses among them."""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.passes.base import Pass
from netc.passes.constants import FOLD_CONSTANTS
from netc.passes.cut_kernels import CUT_KERNELS
from netc.passes.epilogue import FUSE_EPILOGUES
from netc.passes.fold_into_next import FOLD_INTO_NEXT
from netc.passes.fold_into_previous import FOLD_INTO_PREVIOUS
from netc.passes.fuse_updates import FUSE_UPDATES
from netc.passes.joins import SIMPLIFY_JOINS
from netc.passes.maps import MERGE_MAPS
from netc.passes.multiply import MULTIPLY_PRODUCTS
from netc.passes.pool_first import POOL_FIRST
from netc.passes.prune import DROP_DEAD, DROP_IDENTITIES
from netc.passes.reshapes import MERGE_RESHAPES
from netc.passes.siblings import MERGE_SIBLINGS
from netc.passes.split_eltwise import SPLIT_ELTWISE
from netc.passes.tile_bottlenecks import TILE_BOTTLENECKS
from netc.passes.update_early import UPDATE_EARLY
from netc.passes.whole_window import WHOLE_WINDOW_PRODUCTS

ALL: tuple[Pass, ...] = (
    SPLIT_ELTWISE,
    DROP_DEAD,
    CUT_KERNELS,
    FOLD_CONSTANTS,
    DROP_IDENTITIES,
    MERGE_RESHAPES,
    SIMPLIFY_JOINS,
    FOLD_INTO_PREVIOUS,
    MERGE_MAPS,
    FOLD_INTO_NEXT,
    POOL_FIRST,
    MULTIPLY_PRODUCTS,
    WHOLE_WINDOW_PRODUCTS,
    FUSE_UPDATES,  # before sums of gradients become chains
    FUSE_EPILOGUES,
    MERGE_SIBLINGS,
    TILE_BOTTLENECKS,
    UPDATE_EARLY,
)
EXACT: tuple[Pass, ...] = tuple(p for p in ALL if p.exact)
BY_NAME = {p.name: p for p in ALL}


def with_bounds(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Passes with what a backend needs in any case: layers that kernels of bounded size can run."""
    return tuple(passes) if SPLIT_ELTWISE in passes else (SPLIT_ELTWISE, *passes)


def chosen(optimize: bool | str | Sequence[str]) -> tuple[Pass, ...]:
    """The passes of an ``optimize`` argument, in pipeline order.

    Args:
        optimize: True for all, False for none, "exact" for those that change no sum, a pass's
            name, or a sequence of names.

    Raises:
        NetcError: unknown-pass.
    """
    if isinstance(optimize, bool):
        return ALL if optimize else ()
    if optimize == "exact":
        return EXACT
    names = [optimize] if isinstance(optimize, str) else list(optimize)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        listed = ", ".join(f"`{name}`" for name in BY_NAME)
        raise NetcError(
            Diagnostic(
                "unknown-pass",
                f"there is no pass `{unknown[0]}`; there are {listed}",
                help=did_you_mean(unknown[0], BY_NAME),
            )
        )
    return tuple(p for p in ALL if p.name in names)
