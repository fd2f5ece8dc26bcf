"""Python layers that propose regions: Faster R-CNN's, and those of projects that were made from it.

``rpn/proposal_layer.py`` of rbgirshick/py-faster-rcnn (Ren et al. 2015) and
``SSH/layers/proposal_layer.py`` of mahyarnajibi/SSH (Najibi et al. 2017), which suppresses nothing
outside of training. One implementation serves all, with the numbers of each configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.ops.array import AnyArray, Arrays
from netc.ops.define import ShapeError
from netc.ops.detection import video_windows
from netc.ops.detection.proposal import ProposalParams, proposal_shapes, propose
from netc.ops.numbers import LARGEST
from netc.ops.param_str import param_str_fields
from netc.ops.python import (
    Implementation,
    PythonContext,
    PythonParams,
    implementation,
    register_built_in,
)

# What a `param_str` may say, and Faster R-CNN's configuration where it does not. A few forks have
# other names for a field, and their own numbers for it.
_Numbers = Mapping[str, float | tuple[float, ...]]
_FASTER_RCNN: _Numbers = {
    "scales": (8, 16, 32), "ratios": (0.5, 1, 2), "base_size": 16, "min_size": 16,
    "pre_nms_topn": 6000, "post_nms_topn": 300, "nms_thresh": 0.7,
}  # fmt: skip
_LISTS = ("scales", "ratios")


class ProposalProject(NamedTuple):
    """A project's layer.

    Args:
        name: of the project, for messages.
        testing: what its configuration has in place of Faster R-CNN's numbers.
        training: what it has in their place in the phase TRAIN.
        unused: fields that its texts have and that change no output.
    """

    name: str
    testing: _Numbers
    training: _Numbers
    unused: tuple[str, ...] = ()


FASTER_RCNN = ProposalProject("Faster R-CNN", {}, {"pre_nms_topn": 12000, "post_nms_topn": 2000})
_ALL = 1.0  # an overlap that no two boxes exceed
_SSH = ProposalProject(
    "SSH",
    {"min_size": 0, "pre_nms_topn": 1000, "post_nms_topn": 1000, "nms_thresh": _ALL},
    {"min_size": 4, "pre_nms_topn": 1000, "post_nms_topn": 300, "nms_thresh": 0.3},
)


def proposal_params(project: ProposalProject, param_str: str, phase: str) -> ProposalParams:
    """The parameters that a ``param_str`` such as ``'feat_stride': 16`` stands for.

    Raises:
        ShapeError: python-layer, where it says anything else.
    """
    own = project.training if phase == "TRAIN" else {}
    try:
        given = {**_FASTER_RCNN, **project.testing, **own, **param_str_fields(param_str)}
        for name in project.unused:
            given.pop(name, None)
        lists = {name: tuple(map(float, given.pop(name))) for name in _LISTS}
        overlap, least = float(given.pop("nms_thresh")), int(given.pop("min_size"))
        names = ("feat_stride", "base_size", "pre_nms_topn", "post_nms_topn")
        sizes = [int(given.pop(name)) for name in names]
    except Exception:  # whatever a text can drive Python's parser into
        given, lists, overlap, least, sizes = {"": ""}, {}, 0.0, 0, []
    numbers = (*sizes, *(value for values in lists.values() for value in values))
    known = not given and all(lists.values()) and all(0 < value <= LARGEST for value in numbers)
    if not known or not 0 <= least <= LARGEST:
        raise ShapeError(
            f"{project.name}'s `ProposalLayer` takes `feat_stride` and "
            f"{', '.join(f'`{name}`' for name in (*_FASTER_RCNN, *project.unused))}, its "
            f"`param_str` is {param_str[:60]!r}",
            "python_param.param_str",
            ("register another implementation with netc.register_python_layer",),
            code="python-layer",
        )
    stride, base, before, after = sizes
    return ProposalParams(
        stride, base, least, lists["ratios"], lists["scales"], before, after, overlap, 2,
        keep_small=False, even=True,
    )  # fmt: skip


def proposal_layer_shapes(
    project: ProposalProject, params: ProposalParams, inputs: Sequence[Shape]
) -> tuple[Shape, Shape]:
    """The most rows of boxes, and of their scores.

    Raises:
        ShapeError: the bottoms are not those of a single image.
    """
    if len(inputs) != 3 or inputs[0][:1] != (1,):
        raise ShapeError(
            f"{project.name}'s `ProposalLayer` takes 3 bottoms of a single image, scores, box "
            f"changes and image size; they are {', '.join(map(show, inputs))}"
        )
    boxes, scores = proposal_shapes(params, inputs)
    return boxes, (*scores, 1)


ProposalRule = Callable[[PythonParams], ProposalParams | None]
_RULES: dict[Implementation, ProposalRule] = {}


def tell_proposals(run: Implementation, rule: ProposalRule) -> None:
    """Say that an implementation does what the layer Proposal does with these parameters.

    A rule that gives None says that this layer does something else.
    """
    _RULES[run] = rule


def proposal_of(params: PythonParams) -> ProposalParams | None:
    """The parameters, where a Python layer is one of these; None for other layers.

    Raises:
        ShapeError: with code python-layer, for a ``param_str`` that does not belong to that layer.
    """
    run = implementation(params)
    rule = None if run is None else _RULES.get(run)
    return None if rule is None else rule(params)


def _register(module: str, project: ProposalProject) -> None:
    """Under the name of Faster R-CNN's layer stands R-C3D's too, of video_windows."""

    def shape(
        inputs: Sequence[Shape], param_str: str, context: PythonContext
    ) -> tuple[Shape, Shape]:
        if video_windows.are_windows(inputs):
            return video_windows.proposal_shape(inputs, param_str, context)
        params = proposal_params(project, param_str, context.phase)
        return proposal_layer_shapes(project, params, inputs)

    def run(inputs: Arrays, param_str: str, context: PythonContext) -> tuple[AnyArray, ...]:
        if video_windows.are_windows([array.shape for array in inputs]):
            return video_windows.propose(inputs, param_str, context)
        params = proposal_params(project, param_str, context.phase)
        boxes, scores = propose(params, inputs, ())
        return boxes, scores[:, None]

    def rule(params: PythonParams) -> ProposalParams | None:
        if params.bottoms == 2:  # windows
            return None
        return proposal_params(project, params.param_str, params.phase)

    tell_proposals(run, rule)
    register_built_in(module, "ProposalLayer", run, shape, True)


_register("rpn.proposal_layer", FASTER_RCNN)
_register("SSH.layers.proposal_layer", _SSH)
