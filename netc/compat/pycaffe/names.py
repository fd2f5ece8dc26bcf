"""What a net's layers and blobs are called, and their numbers, as pycaffe has them (_caffe.cpp)."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

from netc.compat.pycaffe.blob import Blob, SplitBlob
from netc.compat.pycaffe.definition import Definition
from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError
from netc.infer import blob_shapes
from netc.ir.graph import Graph
from netc.ops.catalog import has_role
from netc.ops.filler import fill, generator
from netc.ops.role import Role


class NetNames:
    """Names and numbers; Split layers and their blobs are among them, as in Caffe."""

    _definition: Definition
    _graph: Graph
    _seed: int

    @cached_property
    def blobs(self) -> OrderedDict[str, Blob]:
        """Every blob by name, in the order the layers make them."""
        shapes = blob_shapes(self._graph)
        known = {name: Blob(shape) for name, shape in shapes.items()}
        for blob, value in self._graph.input_blobs.items():
            filler = self._graph.values[value].filler
            if filler is not None:
                known[blob].put(fill(filler, shapes[blob], generator(blob, self._seed)))
        made: OrderedDict[str, Blob] = OrderedDict()
        for layer in self._definition.layers:
            for top in layer.tops:
                if has_role(layer.type, Role.COPY) and top not in known:
                    made[top] = SplitBlob(known[layer.bottoms[0]])
                elif top in known:
                    made[top] = known[top]
        made = OrderedDict({**made, **known})
        for layer in self._definition.layers:  # Layer::SetLossWeights
            for top, weight in zip(layer.tops, layer.losses, strict=False):
                made[top].loss_weight = weight
        return made

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self._definition.layers]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _batch_size(self) -> int:
        """The first size of the net's first blob, in whose batches forward_all runs."""
        name, blob = next(iter(self.blobs.items()))
        if not blob.shape:
            message = f"the net's first blob, `{name}`, is one number and has no batch"
            raise also(NetcError(Diagnostic("bad-shape", message)), IndexError)
        return blob.shape[0]

    @property
    def inputs(self) -> list[str]:
        """The tops of Input layers."""
        layers = self._definition.layers
        return [top for layer in layers if has_role(layer.type, Role.FED) for top in layer.tops]

    @property
    def outputs(self) -> list[str]:
        """The blobs that no layer reads, in alphabetical order as in Caffe."""
        unread: set[str] = set()
        for layer in self._definition.layers:
            unread = unread.difference(layer.bottoms).union(layer.tops)
        return sorted(unread)

    @property
    def _input_list(self) -> list[str]:
        return self.inputs

    @property
    def _output_list(self) -> list[str]:
        return self.outputs

    @property
    def _inputs(self) -> list[int]:
        return self._ids(self.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._ids(self.outputs)

    def _ids(self, names: list[str] | tuple[str, ...]) -> list[int]:
        numbers = {name: number for number, name in enumerate(self.blobs)}
        return [numbers[name] for name in names]

    def _top_ids(self, layer: int) -> list[int]:
        return self._ids(self._definition.layers[layer].tops)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._ids(self._definition.layers[layer].bottoms)

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Layer -> the blobs it makes."""
        return OrderedDict((layer.name, list(layer.tops)) for layer in self._definition.layers)

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Layer -> the blobs it reads."""
        return OrderedDict((layer.name, list(layer.bottoms)) for layer in self._definition.layers)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Blob -> its weight in the loss."""
        weights = OrderedDict.fromkeys(self.blobs, 0.0)
        for layer in self._definition.layers:
            for top, weight in zip(layer.tops, layer.losses, strict=False):
                weights[top] = weight
        return weights

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    def _source(self, blob: str) -> str:
        """The blob that a Split's top is of; any other as it is."""
        for layer in self._definition.layers:
            if (
                has_role(layer.type, Role.COPY)
                and blob in layer.tops
                and blob not in self._graph_blobs
            ):
                return layer.bottoms[0]
        return blob

    @cached_property
    def _graph_blobs(self) -> frozenset[str]:
        return frozenset(value.blob for value in self._graph.values.values())
