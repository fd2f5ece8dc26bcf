"""Gradient of BeamSearchNode."""

from __future__ import annotations

import numpy as np

from netc.ops.array import AnyArray, Arrays
from netc.ops.forks.beam_search import BEAM_SEARCH_NODE, BeamSearchParams, grown
from netc.ops.gradients.define import Gradient, Reads, Saved, gradients, of


def _node(params: BeamSearchParams, saved: Saved, tops: Arrays, index: int) -> AnyArray:
    """What arrives at a new sentence goes back to the row that it grew from.

    A score has a part in it only where that row had not ended, and so has a state.
    """
    given = [None if array is None else np.asarray(array) for array in saved.inputs]
    found = grown(params, given)
    rows, source = len(found.source), found.source
    going = np.ones(rows, bool) if params.first else given[1][source, -1] != params.end
    scores = 0 if params.first else 2
    whole = np.zeros(saved.shapes[index], given[scores].dtype)
    top = tops[0] if index <= scores else tops[index + (2 if params.first else 0)]
    if top is None:
        return whole
    passed = np.asarray(top).reshape(rows, -1)
    if index == 0 and not params.first:
        np.add.at(whole, source, passed.reshape(rows, *whole.shape[1:]))
    elif index == scores:
        np.add.at(whole, (source[going], found.word[going]), passed[going, 0])
    else:
        np.add.at(whole, source[going], passed[going])
    return whole


def _reads(params: BeamSearchParams, index: int, bottoms: int) -> Reads:
    return Reads(inputs=(0,) if params.first else (0, 1, 2))


def _sentences(params: BeamSearchParams, bottoms: int) -> tuple[int, ...]:
    return () if params.first else (1,)


def _inexact(graph: object, node: object) -> str:
    return "the fork passes on what arrives at states of a sentence that ends, which are not made"


GRADIENTS = gradients(
    of(
        BEAM_SEARCH_NODE,
        Gradient(_node, _reads, stops=_sentences, inexact=_inexact, host=True),
    ),
)
