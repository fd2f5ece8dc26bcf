"""What DummyData layers with random fillers hold in training: numbers drawn anew in each pass.

BVLC/caffe src/caffe/layers/dummy_data_layer.cpp: Forward fills every top whose filler is not
constant. Here the numbers follow from the seed, the blob and the number of the pass alone, so that
a run that goes on from a snapshot, or looks at a pass again, has those it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from netc.feeding import filled_input
from netc.ir.graph import Graph
from netc.sources.base import draws


class Noise:
    """The random inputs of a net, of which those that are not fed are drawn.

    Args:
        graph: the net.
        seed: of the run.
        net: 0 for the TRAIN net, 1 and more for TEST nets, which draw other numbers.
    """

    def __init__(self, graph: Graph, seed: int, net: int = 0) -> None:
        self._graph, self._seed, self._net = graph, seed, net
        self._drawn = {
            blob: value
            for blob, value in graph.input_blobs.items()
            if (filler := graph.values[value].filler) is not None and filler.type != "constant"
        }

    def filled(self, feeds: Mapping[str, object], number: int) -> Mapping[str, object]:
        """What a pass is fed, with what is drawn for it.

        Args:
            feeds: input blob, or input value, -> array.
            number: of the pass, from 0.

        Raises:
            NetcError: bad-filler, where a filler cannot fill its blob's shape.
        """
        drawn = {
            blob: filled_input(self._graph, value, draws(self._seed, blob, self._net, number))
            for blob, value in self._drawn.items()
            if blob not in feeds and value not in feeds
        }
        return {**feeds, **drawn} if drawn else feeds
