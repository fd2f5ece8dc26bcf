"""Printing after an upgrade."""

from __future__ import annotations

import csv
from pathlib import Path

from netc.diagnostics import NetcError, Source
from netc.migrate.generations import bind_net
from netc.migrate.upgrade import upgrade_net
from netc.schema.convert import to_document
from netc.schema.load import load_schema
from netc.schema.message import Message
from netc.syntax.comments import comments_of
from netc.syntax.moved import in_written_order, print_moved
from netc.syntax.parser import parse_document
from netc.syntax.printer import print_document
from tests.migrate.texts import net_of, plain

OLD = """# A header
# of two lines
input: "data"  # the image

input_dim: [1, 3, 8, 8]  # sizes
name: "x"

# First convolution
layers {
  layer {  # v0
    name: "conv1"
    type: "conv"
    # many of them
    num_output: 96
    kernelsize: 3    # small
    blobs_lr: 1.

    blobs_lr: 2  # bias
    # last words
  }
  bottom: "data"
  top: "conv1"
}  # end of conv1

# padding
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "conv1" top: "pad" }
layers { layer { name: "p" type: "pool" kernelsize: 2 } bottom: "pad" top: "p" }
# end
"""
NEW = """# A header
# of two lines
name: "x"
layer {
  name: "input"
  type: "Input"
  top: "data"  # the image
  input_param {
    shape {
      dim: 1
      dim: 3
      dim: 8
      dim: 8  # sizes
    }
  }
}

# First convolution
layer {  # v0
  name: "conv1"
  type: "Convolution"
  # last words
  bottom: "data"
  top: "conv1"
  param {
    lr_mult: 1.
  }
  param {
    lr_mult: 2  # bias
  }
  convolution_param {
    # many of them
    num_output: 96
    kernel_size: 3  # small
  }
}  # end of conv1
layer {
  name: "p"
  type: "Pooling"
  bottom: "conv1"
  top: "p"
  pooling_param {
    kernel_size: 2
    # padding
    pad: 1
  }
}
# end
"""


def moved(text: str) -> str:
    return print_moved(to_document(upgrade_net(net_of(text))[0]))


def test_comments_go_with_what_they_are_about() -> None:
    assert moved(OLD) == NEW


def test_fields_in_the_order_they_were_written() -> None:
    text = """input: "data"  # in
layer {
  top: "a"
  type: "BatchNorm"
  bottom: "data"
  top: "b"
  param {
    decay_mult: 1
  }
  param {
  }
  param {
  }
}
"""
    document = in_written_order(to_document(upgrade_net(net_of(text))[0]))
    assert (
        print_moved(document)
        == """layer {
  name: "input"
  type: "Input"
  top: "data"  # in
}
layer {
  top: "a"
  top: "b"
  type: "BatchNorm"
  bottom: "data"
  param {
    lr_mult: 0
    decay_mult: 0
  }
  param {
    lr_mult: 0
    decay_mult: 0
  }
  param {
    lr_mult: 0
    decay_mult: 0
  }
}
"""
    )


def _corpus_nets(corpus: Path) -> list[tuple[str, Source]]:
    with open(corpus / "index.tsv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "net"]
    paths = [(row["file"], corpus / "files" / row["file"]) for row in rows if row["schema"] != "V2"]
    return [
        (name, Source(name, path.read_text(encoding="utf-8", errors="replace")))
        for name, path in paths
    ]


def _bound(source: Source) -> Message | None:
    try:
        return bind_net(parse_document(source), load_schema().message("NetParameter"))
    except NetcError:
        return None


def test_corpus(corpus: Path) -> None:
    """The new text means what the upgraded net means, is canonical, and has every comment."""
    seen = 0
    for name, source in _corpus_nets(corpus):
        net = _bound(source)
        try:
            net = net and upgrade_net(net)[0]
        except NetcError:
            continue
        if net is None:
            continue
        text = print_moved(to_document(net))
        document = parse_document(Source(name, text))
        again = bind_net(document, load_schema().message("NetParameter"))
        assert plain(again) == plain(net), name
        assert print_document(document) == text, name
        ours = sorted(c.text for c in comments_of(document.source))
        assert ours == sorted(c.text for c in comments_of(source)), name
        seen += 1
    assert seen > 100
