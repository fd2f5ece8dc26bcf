"""BeamSearchNode: one word more of each of the best sentences so far.

beam_search_node_layer of peteanderson80/caffe, the Caffe of Up-Down-Captioner (Anderson et al.
2018, arXiv:1707.07998). Beams of one image are neighbours along axis 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.ir.types import Shape, show
from netc.numeric import np
from netc.ops.array import AnyArray, Arrays
from netc.ops.cost import per_input
from netc.ops.define import Arity, LayerContext, OpDef, ShapeError, copies, full_extent
from netc.ops.fields import reject_unknown_fields
from netc.schema.message import Message

_OWN_TOPS = 3  # sums, sentences and words; the others are states of recurrent layers


@dataclass(frozen=True, slots=True)
class BeamSearchParams:
    """How beams grow.

    Args:
        beams: how many sentences of an image are kept.
        end: the word that ends a sentence, which does not grow then.
        no_repeats: a word does not follow itself.
        several: words that a sentence may hold several times; where there are any, all others
            stand in it once at most.
        first: there are no sentences yet: the bottoms are scores of words and states alone, and of
            an image's equal beams only the first grows.
    """

    beams: int
    end: int
    no_repeats: bool
    several: tuple[int, ...]
    first: bool


def _parse(layer: Message, context: LayerContext) -> BeamSearchParams:
    message = reject_unknown_fields(
        layer.get("beam_search_param"),
        *("beam_size", "end_of_sequence", "prevent_repeats", "allowed_multiple", "ignore_label"),
    )
    return BeamSearchParams(
        message.get("beam_size"),
        message.get("end_of_sequence"),
        message.get("prevent_repeats"),
        tuple(message.get("allowed_multiple")),
        context.tops == context.bottoms + 2,
    )


def _shape(params: BeamSearchParams, inputs: Sequence[Shape]) -> tuple[Shape, ...]:
    odd = next((shape for shape in inputs if len(shape) != 2), None)
    if odd is not None:
        raise ShapeError(f"all bottoms must have 2 axes, one is {show(odd)}")
    if not params.first and len(inputs) < _OWN_TOPS:
        raise ShapeError(
            "bottoms are sums, sentences, scores and states, with as many tops; or scores and "
            "states, with two tops more"
        )
    scores, states = (inputs[0], inputs[1:]) if params.first else (inputs[2], inputs[3:])
    rows, words = scores
    if not params.beams or rows % params.beams:
        raise ShapeError(
            f"`beam_size` {params.beams} does not divide the {rows} rows",
            "beam_search_param.beam_size",
        )
    steps = 0 if params.first else inputs[1][1]
    if any(shape[0] != rows for shape in inputs) or not (params.first or steps):
        listed = ", ".join(map(show, inputs))
        raise ShapeError(f"all bottoms must have as many rows, and sentences a word: {listed}")
    if words <= max(steps, params.beams if params.first else 1):
        raise ShapeError(f"{words} words are too few for {params.beams} sentences of {steps + 1}")
    return ((rows, 1), (rows, steps + 1), (rows, 1), *states)


class Grown(NamedTuple):
    """Of each new sentence: its sum, the row it comes from, and its last word; all (rows,)."""

    sums: AnyArray
    source: AnyArray
    word: AnyArray


def _candidates(params: BeamSearchParams, scores: AnyArray, inputs: Arrays) -> AnyArray:
    """The sum that each word of each row would give, (rows, words); -inf where it may not."""
    rows, words = scores.shape
    if params.first:
        sums = scores.copy()
        sums[np.arange(rows) % params.beams != 0] = -np.inf
        return sums
    before, sentence = inputs[0].reshape(rows, 1), inputs[1]
    sums = before + scores
    last = sentence[:, -1]
    if params.no_repeats:
        sums[np.arange(words) == last[:, None]] = -np.inf
    if params.several:
        used = (sentence[:, :, None] == np.arange(words)).any(axis=1)
        sums[used & ~np.isin(np.arange(words), params.several)] = -np.inf
    ended = last == params.end
    sums[ended] = -np.inf
    if params.end < words:
        sums[ended, params.end] = before[ended, 0]
    return sums


def grown(params: BeamSearchParams, inputs: Arrays) -> Grown:
    """The best sentences of each image; of equal sums that of the last row and word is first."""
    scores = inputs[0 if params.first else 2]
    words = scores.shape[1]
    sums = _candidates(params, scores, inputs).reshape(-1, params.beams * words)
    order = np.argsort(-sums[:, ::-1], axis=1, kind="stable")[:, : params.beams]
    best = sums.shape[1] - 1 - order
    taken = np.take_along_axis(sums, best, axis=1).reshape(-1)
    beam, word = np.divmod(best, words)
    source = beam + np.arange(len(sums))[:, None] * params.beams
    return Grown(taken, source.reshape(-1), word.reshape(-1))


def _node(params: BeamSearchParams, inputs: Arrays, weights: Arrays) -> tuple[AnyArray, ...]:
    """A sentence that ends gets states of 0, which nothing reads."""
    given = [np.asarray(array) for array in inputs]
    found = grown(params, given)
    kind = given[0].dtype
    word = found.word.astype(kind)[:, None]
    sentence = word if params.first else np.concatenate([given[1][found.source], word], axis=1)
    going = (found.word != params.end)[:, None]
    states = given[1:] if params.first else given[_OWN_TOPS:]
    kept = (np.where(going, state[found.source], kind.type(0)) for state in states)
    return (found.sums.astype(kind)[:, None], sentence, word, *kept)


BEAM_SEARCH_NODE = OpDef(
    name="BeamSearchNode",
    arity=Arity((1, None), (3, None)),
    params=_parse,
    shape=_shape,
    cost=per_input(4),
    window=full_extent,
    memory=copies(6),
    reference=_node,
    family="other",
    host=True,
)

OPS = (BEAM_SEARCH_NODE,)
