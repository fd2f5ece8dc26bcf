"""What a training step has besides layers and gradients: variables as values, updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from netc.backends.cpu.emit.emission import EmitContext, Sweeps, scratch_of
from netc.backends.cpu.emit.gradients import InnerProductSums, inner_product_sums
from netc.backends.cpu.emit.ranks import summands
from netc.backends.cpu.lowering import sweep_of
from netc.backends.cpu.machine import Machine
from netc.backends.cpu.program import Step
from netc.backends.cpu.steps.elementwise import add, chain_step
from netc.backends.cpu.steps.moving import copy_step
from netc.backends.cpu.steps.transpose import from_planes
from netc.backends.cpu.steps.update import clip_steps, update_steps
from netc.backends.shared.layout import is_in_c_order, view_of
from netc.backends.shared.views import External, Place, View, dense, moved
from netc.diagnostics import InternalError
from netc.ir.graph import Node
from netc.ops.gradient_update import GradientUpdateParams, updated_by
from netc.ops.update import ClipScaleParams, UpdateParams
from netc.passes.fuse_updates import band_rows


def emit_parameter(context: EmitContext, node: Node) -> Sweeps | None:
    """A trained array, or a history, as a value."""
    (array,) = context.arrays(node)
    place = cast(Place, array)  # steps take the address of either
    shape, view = context.graph.shape(node.outputs[0]), context.view(node.outputs[0])
    if isinstance(view.place, External) and node.outputs[0] not in context.graph.outputs:
        return []  # it lies in the variable: see netc.backends.cpu.variable_values
    if is_in_c_order(shape):
        return [sweep_of(lambda: [copy_step(node.name, view_of(shape, place), view)], (), [view])]
    return [sweep_of(lambda: [from_planes(node.name, place, view)], (), [view])]


def emit_update(context: EmitContext, node: Node) -> Sweeps | None:
    """A parameter's update; all of its arrays lie without gaps and in one order."""
    params = node.params_as(UpdateParams)
    histories = params.rule.histories
    given = [context.view(value) for value in node.inputs]
    gradient = given.pop(0) if params.reached else None
    arrays, scalars = given[: 1 + histories], given[1 + histories :]
    results = [context.view(value) for value in node.outputs]
    views = [*arrays, *results, *([gradient] if gradient else [])]
    of_ranks = summands(context, node)
    begin, end = params.part or (0, arrays[0].count)
    some = 0 < end - begin < arrays[0].count
    in_kernels = not params.part or (
        not (some and params.has_local_rate) and _in_variables(context, node)
    )
    if not in_kernels or any(view.ld != view.c for view in views):
        if of_ranks is not None:
            raise InternalError(f"`{node.name}` is given a mean that nobody has taken")
        return None
    mean = None if gradient is None else moved(gradient.place, begin)
    steps = update_steps(
        node.name,
        params,
        end - begin,
        mean if of_ranks is None else of_ranks.moved(begin),
        [moved(view.place, begin) for view in arrays],
        [view.place for view in scalars],
        [moved(view.place, begin) for view in results],
    )
    made = steps if end > begin else []
    return [sweep_of(lambda: made, [gradient, *arrays, *scalars], results)]


def _in_variables(context: EmitContext, node: Node) -> bool:
    """True if an update works where its variables are, so that what it leaves alone stays."""
    given = node.inputs[int(node.params_as(UpdateParams).reached) :][: len(node.outputs)]
    in_place = _same_places(context, given, node.outputs)
    return in_place and context.in_c_order(*node.inputs[:1], *given, *node.outputs)


def _same_places(context: EmitContext, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether each value lies where the one that follows it will."""
    return all(
        context.view(old).place == context.view(new).place
        for old, new in zip(before, after, strict=True)
    )


def emit_gradient_update(context: EmitContext, node: Node) -> Sweeps | None:
    """Some rows of a gradient at a time, in scratch memory, and the update by them."""
    params = node.params_as(GradientUpdateParams)
    own = updated_by(node)
    found = [inner_product_sums(context, of, *read) for of, read in params.parts(node.inputs)]
    sums = [one for one in found if one is not None]
    assert own is not None
    if len(sums) < len(found) or not context.in_c_order(*own.arrays, *node.outputs):
        return None
    arrays, results, scalars = (
        [context.view(value).place for value in values]
        for values in (own.arrays, node.outputs, own.scalars)
    )
    if params.update.part and not _same_places(context, own.arrays, node.outputs):
        return None  # what other ranks update would be written over
    columns = sums[0].columns
    every = _rows_updated(params, sums[0])
    at_once = max(1, min(len(every), band_rows(columns)))
    band = at_once * columns
    scratch = dense(scratch_of(node), at_once * min(2, len(sums)), 1, 1, columns)

    def steps() -> Iterator[Step]:
        for first in every[::at_once]:
            rows = range(first, min(first + at_once, every.stop))
            yield from _band_steps(node.name, sums, rows, scratch, band, context.target)
            begin = first * columns
            yield from update_steps(
                node.name,
                params.update,
                len(rows) * columns,
                scratch.place,
                [moved(place, begin) for place in arrays],
                scalars,
                [moved(place, begin) for place in results],
            )

    return [
        sweep_of(
            lambda: list(steps()),
            [*(view for one in sums for view in (one.x, one.y)), scratch, *arrays, *scalars],
            [scratch, *results],
            scratch=scratch.count,
        )
    ]


def _rows_updated(params: GradientUpdateParams, sums: InnerProductSums) -> range:
    """The rows of a matrix of weights that this rank updates: all of them where it is alone."""
    begin, end = params.update.part or (0, sums.y.c * sums.columns)
    return range(begin // sums.columns, end // sums.columns)


def _band_steps(
    name: str,
    sums: Sequence[InnerProductSums],
    rows: range,
    scratch: View,
    band: int,
    machine: Machine,
) -> Iterator[Step]:
    """Some rows of a gradient at the beginning of scratch memory; summands go behind the band."""
    total, more = (
        dense(moved(scratch.place, begin), len(rows), 1, 1, scratch.c) for begin in (0, band)
    )
    for number, one in enumerate(sums):
        yield from one.steps(name, rows, more if number else total, machine)
        if number:
            yield chain_step(name, total, total, [add(more)])


def emit_clip_scale(context: EmitContext, node: Node) -> Sweeps | None:
    """The norm of all gradients, and the factor that clips them."""
    params = node.params_as(ClipScaleParams)
    gradients = [context.view(value) for value in node.inputs]
    scale, norm = (context.view(value).place for value in node.outputs)
    if any(view.ld != view.c for view in gradients):
        return None
    places = [(view.place, view.count) for view in gradients]

    def steps() -> list[Step]:
        return clip_steps(node.name, places, params.limit, scale, norm)

    return [sweep_of(steps, gradients, [scale, norm])]
