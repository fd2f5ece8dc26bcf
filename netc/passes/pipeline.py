"""The pipelines, as literal tuples, and how a caller chooses among them."""

from __future__ import annotations

from collections.abc import Sequence

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.passes.affine import FOLD_AFTER, FOLD_BEFORE, MERGE_MAPS
from netc.passes.base import Pass
from netc.passes.epilogue import FUSE_EPILOGUES
from netc.passes.prune import DROP_DEAD, DROP_IDENTITIES
from netc.passes.siblings import MERGE_SIBLINGS

ALL: tuple[Pass, ...] = (
    DROP_DEAD,
    DROP_IDENTITIES,
    FOLD_AFTER,
    MERGE_MAPS,
    FOLD_BEFORE,
    FUSE_EPILOGUES,
    MERGE_SIBLINGS,
)
EXACT: tuple[Pass, ...] = tuple(p for p in ALL if p.exact)
BY_NAME = {p.name: p for p in ALL}


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
