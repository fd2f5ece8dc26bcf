"""Coordinate maps between blobs, and the offsets of crops that follow from them.

A layer with a window maps a coordinate p of its bottom to a * p + b of its top: a convolution or
pooling of stride s, kernel extent k (dilation included) and pad d to p / s + (d - (k - 1) / 2) / s,
a deconvolution to the inverse. The ``Crop`` of FCN's first release has no offset: it aligns its
first bottom with the second by the maps of both from the blob where their paths, followed along
first bottoms, meet (crop_layer.cpp and DiagonalAffineMap of longjon/caffe@future; Long et al.
2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from netc.diagnostics import Diagnostic, Note
from netc.ir.graph import Graph, Node
from netc.ir.types import Shape
from netc.ops.catalog import CATALOG, has_role
from netc.ops.cropping import CropParams
from netc.ops.define import ShapeError, Window
from netc.ops.role import Role
from netc.schema.message import Message

if TYPE_CHECKING:
    from netc.ops.cropping import CropParams


class AffineMap(NamedTuple):
    """The affine map from a coordinate p of one blob to ``scale * p + shift`` of another."""

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)

    def then(self, other: AffineMap) -> AffineMap:
        """The composition: this map, then ``other``."""
        return AffineMap(self.scale * other.scale, self.shift * other.scale + other.shift)


@dataclass(frozen=True, slots=True)
class CoordinateMap:
    """The map from the coordinates of value ``root`` to a value's own, for each spatial axis."""

    root: str
    axes: tuple[AffineMap, ...]


class Aligned(NamedTuple):
    """The graph with all offsets computed, and the diagnostics."""

    graph: Graph
    diagnostics: tuple[Diagnostic, ...]


def align_crops(graph: Graph, messages: Mapping[str, Message]) -> Aligned:
    """The graph with the offset of each AutoCrop computed from its bottoms' coordinates.

    Diagnostics are misaligned-crop, where there is no such offset, and the warning fork-reading for
    a ``Crop`` without ``crop_param``: it stays BVLC's, from offset 0, and a fork would crop
    elsewhere.

    Args:
        graph: with shapes inferred as far as they are known.
        messages: node name -> its layer as it was written.
    """
    if not any(has_role(node.op, Role.CROP) for node in graph.nodes):
        return Aligned(graph, ())
    walk = _AlignmentWalk(graph, messages)
    nodes = tuple(map(walk.visit, graph.nodes))
    return Aligned(graph.replace(nodes=nodes), tuple(walk.found))


class _AlignmentWalk:
    """One walk along the nodes; ``places`` has every value met."""

    def __init__(self, graph: Graph, messages: Mapping[str, Message]) -> None:
        self.graph, self.messages = graph, messages
        self.places: dict[str, CoordinateMap] = {}
        self.found: list[Diagnostic] = []

    def place(self, value: str) -> CoordinateMap:
        """A value's place; of one that no map leads to, itself."""
        known = self.places.get(value)
        if known is None:
            axes = len((self.graph.values[value].shape or ())[2:])
            known = self.places[value] = CoordinateMap(value, (AffineMap(),) * axes)
        return known

    def visit(self, node: Node) -> Node:
        """The node, with its offset if it is a crop, whose tops then have places."""
        shapes = [self.graph.values[name].shape for name in (*node.inputs, *node.outputs)]
        known = [shape for shape in shapes if shape is not None]
        if len(known) < len(shapes) or not node.inputs:
            return node
        inputs, outputs = known[: len(node.inputs)], known[len(node.inputs) :]
        if has_role(node.op, Role.CROP):
            node = self._crop(node, inputs)
        window = CATALOG[node.op].window(node.params, inputs, outputs)
        for index, output in enumerate(node.outputs):
            first = node.inputs[index] if CATALOG[node.op].arity.same else node.inputs[0]
            self._produce(window, first, output, len(outputs[index][2:]))
        return node

    def _produce(self, window: Window, source: str, value: str, axes: int) -> None:
        place = self.place(source)
        steps = _steps(window, axes)
        if steps is not None and len(place.axes) == axes:
            lines = zip(place.axes, steps, strict=True)
            self.places[value] = CoordinateMap(
                place.root, tuple(line.then(step) for line, step in lines)
            )

    def _crop(self, node: Node, inputs: Sequence[Shape]) -> Node:
        params = node.params_as(CropParams)
        if not params.aligned and not self._says_nothing(node):
            return node
        offset = self._offset(node, inputs)
        if not params.aligned:
            if isinstance(offset, tuple) and any(offset):
                self.found.append(_other_reading(node, offset, self.messages.get(node.name)))
            return node
        if isinstance(offset, str):
            self.found.append(_misaligned(node, offset, self._notes(node)))
            offset = (0,) * len(inputs[0][2:])
        return replace(node, params=replace(params, offset=offset, aligned=False))

    def _says_nothing(self, node: Node) -> bool:
        """True if a text has the layer without ``crop_param``."""
        message = self.messages.get(node.name)
        return message is not None and not message.has("crop_param")

    def _offset(self, node: Node, inputs: Sequence[Shape]) -> tuple[int, ...] | str:
        """The crop's offset, or why there is none."""
        one, two = (self.place(name) for name in node.inputs)
        names = [f"`{self.graph.values[name].blob}`" for name in node.inputs]
        if one.root != two.root or len(one.axes) != len(two.axes):
            return (
                f"no layers of known coordinates lead from one blob to both {' and '.join(names)}"
            )
        offset = []
        for ours, theirs in zip(one.axes, two.axes, strict=True):
            if ours.scale != theirs.scale:
                ratio = ours.scale / theirs.scale
                return f"{names[0]} has {ratio} elements where {names[1]} has one"
            offset.append(ours.shift - theirs.shift)
        if any(at.denominator > 1 or at < 0 for at in offset):
            said = ", ".join(str(at) for at in offset)
            return f"the offset would be {said}, and it must be whole and at least 0"
        return self._fitting(node, inputs, tuple(int(at) for at in offset))

    def _fitting(
        self, node: Node, inputs: Sequence[Shape], offset: tuple[int, ...]
    ) -> tuple[int, ...] | str:
        try:
            params = replace(node.params_as(CropParams), offset=offset, aligned=False)
            CATALOG[node.op].shape(params, inputs)
        except ShapeError as error:
            return error.message
        return offset

    def _notes(self, node: Node) -> Iterator[Note]:
        for name in node.inputs:
            value = self.graph.values[name]
            yield Note(f"bottom `{value.blob}` comes from here", value.span)


def _steps(window: Window, axes: int) -> tuple[AffineMap, ...] | None:
    """A window's map from its bottom's coordinates to its top's, an axis each; None of none."""
    if window.whole:
        return None
    if not window.kernel:
        return (AffineMap(),) * axes
    if len(window.kernel) != axes:
        return None
    sizes = zip(window.kernel, window.stride, window.pad, window.dilation, strict=True)
    return tuple(_step(window.fractional, *size) for size in sizes)


def _step(fractional: bool, kernel: int, stride: int, pad: int, dilation: int) -> AffineMap:
    middle = Fraction(dilation * (kernel - 1), 2)
    if fractional:
        return AffineMap(Fraction(stride), middle - pad)
    return AffineMap(Fraction(1, stride), (pad - middle) / stride)


def _written(offset: Sequence[int]) -> str:
    """``offset: 34``, one for all axes or one each."""
    values = offset[:1] if len(set(offset)) == 1 else offset
    return " ".join(f"offset: {value}" for value in values)


def _other_reading(node: Node, offset: tuple[int, ...], message: Message | None) -> Diagnostic:
    return Diagnostic(
        "fork-reading",
        f"layer `{node.name}` (Crop): without `crop_param` it crops from offset 0, as BVLC Caffe "
        "does; the `Crop` of FCN's first release, HED, DeepCut and CRF-RNN lays its bottoms over "
        f"each other, which here is `{_written(offset)}`",
        message.span_of("type") if message else node.span,
        "warning",
        help=(
            f"if the net was trained with such a fork, write `crop_param {{ {_written(offset)} }}` "
            'or `type: "AutoCrop"`',
            "if not, write `crop_param { offset: 0 }`",
        ),
    )


def _misaligned(node: Node, why: str, notes: Iterator[Note]) -> Diagnostic:
    return Diagnostic(
        "misaligned-crop",
        f"layer `{node.name}` (AutoCrop): its offset follows from the coordinates of its bottoms, "
        f"and {why}",
        node.span,
        notes=tuple(notes),
        help=('write `type: "Crop"` with `crop_param { offset: N }`',),
    )
