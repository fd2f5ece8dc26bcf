"""Compiles a predictor's nets, as written or as fully convolutional nets (``dense``)."""

from __future__ import annotations

from netc.backends.base import Progress
from netc.diagnostics import NetcError
from netc.predict.dense import dense_net
from netc.predict.member import Member, PredictorOptions, Ready, compiled_for, own_shapes


def awake(options: PredictorOptions, progress: Progress | None) -> tuple[Ready, ...]:
    """The compiled nets of a predictor, in the order of its members.

    Raises:
        NetcError: as :class:`netc.Predictor`.
    """
    return tuple(_ready(member, options, progress) for member in options.members)


def _ready(member: Member, options: PredictorOptions, progress: Progress | None) -> Ready:
    if options.dense:
        return Ready(dense_net(member, options, progress), options.batch, dense=True)
    own = own_shapes(member, options)
    wanted = {blob: (options.batch, *shape[1:]) for blob, shape in own.items()}
    try:
        return Ready(compiled_for(member, options, wanted, progress), options.batch)
    except NetcError:
        sizes = {shape[0] for shape in own.values()}
        if len(sizes) != 1 or sizes == {options.batch}:
            raise
        size = sizes.pop()
        try:  # some nets name their batch in a Reshape: they take no other
            return Ready(compiled_for(member, options, own, progress), size)
        except NetcError:
            pass
        raise
