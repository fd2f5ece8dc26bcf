"""Python layers: what they compute is registered by the user (python_layer.hpp).

Caffe imports ``module`` and calls its class ``layer``. netc imports nothing that a net names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple, TypeVar

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.types import Shape
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays, namespace
from netc.ops.contents import Contents
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, TypeReading, full_extent
from netc.ops.forks.inputs import PYTHON_INPUT
from netc.ops.random import layer_number
from netc.ops.role import Role
from netc.schema.message import Message

Implementation = Callable[..., Arrays]
ImplementationShape = Callable[..., Sequence[Shape]]
ImplementationGradient = Callable[..., Sequence[AnyArray | None]]


Item = TypeVar("Item")


class PythonContext(NamedTuple):
    """What an implementation that asks for it is told: its phase, and how to draw random numbers.

    ``phase`` is "TRAIN" or "TEST"; ``layer`` and ``key`` go to ``netc.ops.random.uniform``. A
    ``key`` of None stands for seed 0 and iteration 0. ``tops`` is how many tops the text has.
    """

    phase: str
    layer: int
    key: AnyArray | None = None
    tops: int = 0


@dataclass(frozen=True, slots=True)
class _Registered:
    run: Implementation
    shape: ImplementationShape
    rows_vary: bool
    gradient: ImplementationGradient | None
    context: bool


_REGISTRY: dict[tuple[str, str], _Registered] = {}

# The layers that come with netc, and the modules that register them when they are imported.
BUILT_IN: Mapping[tuple[str, str], str] = {
    ("rpn.proposal_layer", "ProposalLayer"): "netc.ops.detection.proposal_layers",
    ("rpn.anchor_target_layer", "AnchorTargetLayer"): "netc.ops.detection.rcnn_layers",
    ("rpn.proposal_target_layer", "ProposalTargetLayer"): "netc.ops.detection.rcnn_layers",
    ("SSH.layers.proposal_layer", "ProposalLayer"): "netc.ops.detection.proposal_layers",
    ("SSH.layers.anchor_target_layer", "AnchorTargetLayer"): "netc.ops.detection.rcnn_layers",
    ("pylayer.proposal_layer", "ProposalLayer"): "netc.ops.detection.mnc",
    ("pylayer.anchor_target_layer", "AnchorTargetLayer"): "netc.ops.detection.mnc",
    ("pylayer.proposal_target_layer", "ProposalTargetLayer"): "netc.ops.detection.mnc_targets",
    ("pylayer.mask_layer", "MaskLayer"): "netc.ops.detection.mnc_stages",
    ("pylayer.stage_bridge_layer", "StageBridgeLayer"): "netc.ops.detection.mnc_stages",
    ("ron_layer.det_layer", "DetLayer"): "netc.ops.detection.ron",
    ("ron_layer.anchor_target_layer", "AnchorTargetLayer"): "netc.ops.detection.ron",
    ("ron_layer.det_target_layer", "DetTargetLayer"): "netc.ops.detection.ron",
    ("layers.text_proposal_layer", "ProposalLayer"): "netc.ops.detection.ctpn",
    ("roi_data_layer.layer", "OHEMDataLayer"): "netc.ops.detection.ohem",
    ("rpn_msr.proposal_layer", "ProposalLayer"): "netc.ops.detection.subcnn",
    ("rpn_msr.anchor_target_layer", "AnchorTargetLayer"): "netc.ops.detection.subcnn",
    (
        "caffe.custom_layers.actions_detection_output_layer",
        "ActionsDetectionOutputLayer",
    ): "netc.ops.detection.actions",
    ("caffe.layers.detectnet.clustering", "ClusterDetections"): "netc.ops.detection.detectnet",
    ("caffe.layers.detectnet.clustering", "ClusterGroundtruth"): "netc.ops.detection.detectnet",
    ("rpn.pred_to_proposal_layer", "PredToProposalLayer"): "netc.ops.detection.affordance",
    ("spatial_dropout", "SpatialDropoutLayer"): "netc.ops.detection.rcnn_layers",
    ("oicr_layer.layer", "OICRLayer"): "netc.ops.detection.oicr",
    ("pyloss", "EuclideanLossLayer"): "netc.ops.pyloss",
    ("pyLayer", "DiceLoss"): "netc.ops.forks.dice_layer",
    ("norm2layer", "Norm2Layer"): "netc.ops.forks.triplets",
    ("tripletselectlayer", "TripletSelectLayer"): "netc.ops.forks.triplets",
    ("tripletlosslayer", "TripletLayer"): "netc.ops.forks.triplets",
    ("l2norm_layer", "L2NormLayer"): "netc.ops.forks.triplets",
    ("triplet.l2norm_layer", "L2NormLayer"): "netc.ops.forks.triplets",
    ("tripletloss_layer", "TripletLayer"): "netc.ops.forks.triplets",
    ("triplet_loss", "TripletLossLayer0"): "netc.ops.forks.triplets",
    ("triplet_loss", "TripletLossLayer1"): "netc.ops.forks.triplets",
    ("custom_interpolation_layer", "custom_interpolation_layer"): "netc.ops.forks.map_layers",
    ("CombineRegressions", "CombineRegressionsLayer"): "netc.ops.forks.map_layers",
    ("CombineRegressionsHuman", "CombineRegressionsLayer"): "netc.ops.forks.map_layers",
    ("pythonLayer", "cls_Layer"): "netc.ops.detection.mtcnn_layers",
    ("pythonLayer", "cls_Layer_fc"): "netc.ops.detection.mtcnn_layers",
    ("pythonLayer", "regression_Layer"): "netc.ops.detection.mtcnn_layers",
    ("python_layers", "Meshgrid"): "netc.ops.forks.constant_maps",
    ("python_layers", "MeanVals"): "netc.ops.forks.constant_maps",
    **{
        (module, layer): "netc.ops.forks.structural_similarity"
        for module in ("loss", "pyloss")
        for layer in ("L1", "L2", "SSIM", "MSSSIM", "MSSSIML1", "MSSSIML2")
    },
}


def _registered(module: str, layer: str) -> _Registered | None:
    """What is registered of a layer; the module of a built-in one is imported for it."""
    key = (module, layer)
    if key not in _REGISTRY and key in BUILT_IN:
        import_module(BUILT_IN[key])
    return _REGISTRY.get(key)


def register_python_layer(
    module: str,
    layer: str,
    implementation: Implementation,
    shape: ImplementationShape | None = None,
    rows_vary: bool = False,
    gradient: ImplementationGradient | None = None,
    context: bool = False,
) -> None:
    """Say what a Python layer computes, for all nets compiled afterwards.

    Args:
        module: ``python_param { module }`` of the layers meant.
        layer: ``python_param { layer }``, the class's name.
        implementation: ``(inputs, param_str) -> outputs``: read-only float32 arrays of the
            bottoms to one array for each top. It must not write to its inputs.
        shape: ``(input shapes, param_str) -> output shapes``; the implementation's own ``shape``
            attribute where it is left out. Outputs beyond the layer's tops are dropped.
        rows_vary: the length of the outputs' first axis depends on the data, and the shape rule
            gives the most it can be.
        gradient: ``(inputs, tops' gradients, param_str) -> bottoms' gradients``, one array for each
            bottom in its shape, None for one that gets none; zeros stand for a top that no gradient
            arrives at. Without it a net that would need it is refused, ``no-gradient``.
        context: all three are given a :class:`PythonContext` as their last argument: the phase, and
            the random generator's key.

    Raises:
        TypeError: there is no shape rule, or something is not callable.

    A later registration of the same names replaces the earlier one. ``None`` of a layer that has
    no bottoms is fine: ``inputs`` is then empty.
    """
    rule = shape if shape is not None else getattr(implementation, "shape", None)
    for what, given in (("implementation", implementation), ("shape", rule)):
        if not callable(given):
            raise TypeError(f"`{what}` of Python layer {module}.{layer} must be callable")
    if gradient is not None and not callable(gradient):
        raise TypeError(f"`gradient` of Python layer {module}.{layer} must be callable")
    made = _Registered(implementation, rule, rows_vary, gradient, context)  # type: ignore[arg-type]
    _REGISTRY[module, layer] = made


def no_python_gradient(
    inputs: Arrays, tops: Arrays, param_str: str, context: PythonContext
) -> tuple[None, ...]:
    """None by any bottom: the gradient of a layer whose ``backward`` does nothing."""
    return (None,) * len(inputs)


PythonContents = Callable[[str, Sequence[Shape]], Sequence[Contents | None]]
_CONTENTS: dict[tuple[str, str], PythonContents] = {}


def register_built_in(
    module: str,
    layer: str,
    implementation: Implementation,
    shape: ImplementationShape,
    rows_vary: bool = False,
    gradient: ImplementationGradient = no_python_gradient,
    contents: PythonContents | None = None,
) -> None:
    """Register a layer that comes with netc, unless somebody has registered another before."""
    if (module, layer) not in _REGISTRY:
        register_python_layer(module, layer, implementation, shape, rows_vary, gradient, True)
        if contents is not None:
            register_python_contents(module, layer, contents)


def register_python_contents(module: str, layer: str, rule: PythonContents) -> None:
    """Register a Python layer's contents rule: (param_str, input shapes) -> contents."""
    _CONTENTS[module, layer] = rule


def _contents(params: PythonParams, inputs: Sequence[Shape]) -> Sequence[Contents | None]:
    _registered(params.module, params.layer)
    rule = _CONTENTS.get((params.module, params.layer))
    return () if rule is None else rule(params.param_str, inputs)


def unregister_python_layer(module: str, layer: str) -> None:
    """Remove an implementation; nothing happens where there is none."""
    _registered(module, layer)  # so that a built-in one does not come later
    _REGISTRY.pop((module, layer), None)


@dataclass(frozen=True, slots=True)
class PythonParams:
    """A Python layer's ``python_param``, its numbers of tops and bottoms, its phase and its number.

    ``number`` is the layer's in random draws; ``bottoms`` is None where all inputs are bottoms.
    """

    module: str
    layer: str
    param_str: str
    tops: int
    bottoms: int | None = None
    phase: str = "TEST"
    number: int = 0

    def more(self, key: AnyArray | None = None) -> tuple[PythonContext, ...]:
        """The arguments of an implementation after ``param_str``: a context, or none."""
        registered = _registered(self.module, self.layer)
        if registered is None or not registered.context:
            return ()
        return (PythonContext(self.phase, self.number, key, self.tops),)

    def apart(self, inputs: Sequence[Item]) -> tuple[tuple[Item, ...], Item | None]:
        """The bottoms among a node's inputs, and the generator's key, None where there is none."""
        number = len(inputs) if self.bottoms is None else self.bottoms
        return tuple(inputs[:number]), inputs[number] if len(inputs) > number else None


def _parse(layer: Message, context: LayerContext) -> PythonParams:
    param = layer.get("python_param")
    return PythonParams(
        param.get("module"),
        param.get("layer"),
        param.get("param_str"),
        context.tops,
        context.bottoms,
        context.phase,
        layer_number(layer.get("name")),
    )


def is_registered(params: PythonParams) -> bool:
    """Whether this layer has an implementation."""
    return is_implemented(params.module, params.layer)


def is_implemented(module: str, layer: str) -> bool:
    """Whether a layer of this module and class has an implementation."""
    return _registered(module, layer) is not None


def implementation(params: PythonParams) -> Implementation | None:
    """The function that computes this layer; None where none is registered."""
    registered = _registered(params.module, params.layer)
    return None if registered is None else registered.run


def implementation_gradient(params: PythonParams) -> ImplementationGradient | None:
    """The function that computes this layer's gradients; None where none is registered."""
    registered = _registered(params.module, params.layer)
    return None if registered is None else registered.gradient


def _refusal(params: PythonParams) -> tuple[str, tuple[str, ...]]:
    names = f'"{params.module}", "{params.layer}"'
    return (
        f"the Python layer `{params.layer}` of module `{params.module}` has no implementation",
        (f"call netc.register_python_layer({names}, implementation, shape) first",),
    )


def _shape(params: PythonParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    registered = _registered(params.module, params.layer)
    if registered is None:
        message, help = _refusal(params)
        raise ShapeError(message, "python_param.layer", help, code="python-layer")
    bottoms, _ = params.apart(inputs)
    shapes = registered.shape(bottoms, params.param_str, *params.more())[: params.tops]
    return tuple(tuple(int(size) for size in shape) for shape in shapes)


def _run(params: PythonParams, inputs: Arrays, weights: Arrays) -> Arrays:
    registered = _registered(params.module, params.layer)
    if registered is None:
        message, help = _refusal(params)
        raise NetcError(Diagnostic("python-layer", message, help=help))
    bottoms, key = params.apart(inputs)
    made = registered.run(bottoms, params.param_str, *params.more(key))
    xp = namespace(*bottoms)
    kind = np.result_type(np.float32, *(array.dtype for array in bottoms))  # float64 in a check
    outputs = tuple(xp.asarray(array, dtype=kind) for array in made)[: params.tops]
    wanted = _shape(params, [array.shape for array in bottoms])
    _check_outputs(params, outputs, wanted, registered.rows_vary)
    return outputs


def _check_outputs(
    params: PythonParams, outputs: Arrays, wanted: Sequence[Shape], rows_vary: bool
) -> None:
    made = [tuple(array.shape) for array in outputs]
    if len(made) != len(wanted) or not all(
        _fits(shape, said, rows_vary) for shape, said in zip(made, wanted, strict=True)
    ):
        raise NetcError(
            Diagnostic(
                "python-layer",
                f"the implementation of Python layer `{params.layer}` made outputs of shapes "
                f"{made}, and its shape rule says {list(wanted)}",
            )
        )


def _fits(shape: Shape, said: Shape, rows_vary: bool) -> bool:
    if not rows_vary:
        return shape == said
    return len(shape) == len(said) > 0 and shape[1:] == said[1:] and shape[0] <= said[0]


def _draws(params: PythonParams) -> bool:
    """Whether it may: an implementation that is told the generator's key."""
    return bool(params.more()) and params.phase == "TRAIN"


def _reads_data(layer: Message) -> TypeReading | None:
    """A layer that has no bottoms can only read data, where nobody has said how it computes."""
    param = layer.get("python_param")
    if layer.get("bottom") or is_implemented(param.get("module"), param.get("layer")):
        return None
    return TypeReading(PYTHON_INPUT)


PYTHON = OpDef(
    name="Python",
    arity=Arity((0, None), (0, None)),
    params=_parse,
    shape=_shape,
    window=full_extent,
    reference=_run,
    draws=_draws,
    contents=_contents,
    dynamic=True,  # an implementation's rows may vary
    role=Role.RESULT,
    host=True,
    reading=_reads_data,
)

OPS = (PYTHON,)
