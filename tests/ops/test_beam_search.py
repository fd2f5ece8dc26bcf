"""BeamSearchNode and Embed of Up-Down-Captioner's Caffe, against loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.analysis.example_shapes import example_shapes
from netc.diagnostics import NetcError, NetcWarning
from netc.frontend import build, read_net
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(4)


def by_hand(sums, sentences, scores, state, beams, end, several):
    """The loop of beam_search_node_layer.cpp, with the words that a sentence may hold once."""
    rows, words = scores.shape
    out = []
    for image in range(rows // beams):
        found = []
        for src in range(image * beams, (image + 1) * beams):
            own = sentences[src]
            if own[-1] == end:
                found.append((sums[src], src * words + end))
                continue
            for word in range(words):
                again = several and word in own and word not in several
                if word != own[-1] and not again:
                    found.append((sums[src] + scores[src, word], src * words + word))
        for total, place in sorted(found, reverse=True)[:beams]:
            src, word = divmod(place, words)
            kept = state[src] if word != end else 0 * state[src]
            out.append((total, [*sentences[src], word], word, kept))
    return [np.array([row[i] for row in out]) for i in range(4)]


@pytest.mark.parametrize("several", ((), (3,)))
def test_a_step_of_beam_search(several: tuple[int, ...]) -> None:
    scores = np.log(RNG.dirichlet(np.ones(7), 6)).astype(np.float32)
    sums = RNG.normal(size=(6, 1)).astype(np.float32)
    sentences = np.array([[1, 0], [2, 3], [4, 5], [3, 1], [5, 0], [6, 2]])
    state = RNG.normal(size=(6, 4)).astype(np.float32)
    fields = "beam_size: 3 " + " ".join(f"allowed_multiple: {word}" for word in several)
    got = run("BeamSearchNode", f"beam_search_param {{ {fields} }}", sums, sentences, scores, state,
              tops=4)  # fmt: skip
    wanted = by_hand(sums[:, 0], sentences.tolist(), scores, state, 3, 0, several)
    for one, other in zip(got, wanted, strict=True):
        close(one.reshape(other.shape), other)


def test_the_first_step_grows_one_of_equal_beams() -> None:
    scores = np.array([[-3, -1, -2], [-3, -1, -2.0]])
    sums, sentences, words = run(
        "BeamSearchNode", "beam_search_param { beam_size: 2 }", scores, tops=3
    )
    close(sums, [[-1], [-2]])
    close(sentences, [[1], [2]])
    close(words, [[1], [2]])


@pytest.mark.parametrize(
    ("shapes", "beams", "said"),
    [([(4, 9)], 3, "does not divide the 4 rows"), ([(4, 2)], 4, "2 words are too few"),
     ([(4, 9), (3, 2)], 2, "as many rows"), ([(4, 9), (4, 2, 2)], 2, "2 axes")],
)  # fmt: skip
def test_beams_that_do_not_fit(shapes: list[tuple[int, ...]], beams: int, said: str) -> None:
    feeds = [np.ones(shape) for shape in shapes]
    with pytest.raises(NetcError, match=said):
        run("BeamSearchNode", f"beam_search_param {{ beam_size: {beams} }}", *feeds,
            tops=len(shapes) + 2)  # fmt: skip


EMBEDDED = """
input: "word" input_shape { dim: 2 dim: 1 } input: "state" input_shape { dim: 2 dim: 3 }
layer { name: "e" type: "Embed" bottom: "word" top: "e"
        embed_param { num_output: 4 input_dim: 5 weight_filler { type: "gaussian" } } }
"""
JOINED = 'layer { name: "j" type: "Concat" bottom: "e" bottom: "state" top: "j" }'


@pytest.mark.parametrize("backend", ("reference", "cpu"))
def test_an_embedding_that_is_joined_with_rows(backend: str) -> None:
    with pytest.warns(NetcWarning, match="last axis of 1 is replaced"):
        net = netc.compile(text=EMBEDDED + JOINED, backend=backend)
    word, state = np.array([[3], [1]], np.float32), RNG.normal(size=(2, 3)).astype(np.float32)
    vectors, bias = (np.asarray(array) for array in net.params["e"])
    wanted = np.concatenate([vectors[[3, 1]] + bias, state], axis=1)
    close(net({"word": word, "state": state})["j"], wanted)


def test_an_embedding_alone_is_bvlcs() -> None:
    net = netc.compile(text=EMBEDDED, backend="reference")
    assert net.outputs["e"] == (2, 1, 4)


def test_a_net_that_neither_reading_mends_keeps_its_fault() -> None:
    with pytest.raises(NetcError, match="2x1x4 and bottom 1 is 3x3"):
        netc.compile(text=EMBEDDED.replace("dim: 2 dim: 3", "dim: 3 dim: 3") + JOINED)


CAPTIONS = """
layer { name: "d" type: "Python" top: "id" top: "said" top: "target" top: "n" top: "b" top: "x"
  python_param { module: "rcnn_layers" layer: "RCNNCaptionTrainDataLayer"
    param_str: "{'sequence_length': 7, 'pool': True, 'max_boxes': 10, 'batch_size': 3}" } }
layer { name: "slice" type: "Slice" bottom: "said" top: "w0" top: "w1"
  slice_param { slice_point: 1 } }
layer { name: "e" type: "Embed" bottom: "w0" top: "e" embed_param { num_output: 4 input_dim: 5 } }
layer { name: "i" type: "DummyData" top: "state" dummy_data_param { shape { dim: 3 dim: 2 } } }
layer { name: "j" type: "Concat" bottom: "e" bottom: "state" top: "j" }
layer { name: "p" type: "InnerProduct" bottom: "x" top: "p" inner_product_param { num_output: 2 } }
"""


def test_what_the_captions_data_layer_documents() -> None:
    text = read_net(text=CAPTIONS)
    built = build(text.message, phase="TRAIN")
    shapes = {v.blob: v.shape for v in built.graph.values.values()}
    assert (shapes["id"], shapes["said"], shapes["n"]) == ((3, 3), (3, 7), (3, 1))
    assert shapes["b"] == (3, 11, 4) and shapes["x"] is None and shapes["j"] == (3, 6)
    found = example_shapes(built.graph, built.layers)
    assert found["x"][:2] == (3, 11) and len(found["x"]) == 3
