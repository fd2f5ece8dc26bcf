from __future__ import annotations

import json
from pathlib import Path

import pytest

from netc.project.scripts import calls_of, script_calls

SCRIPT = """
import numpy as np
import caffe, cv2
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
import caffe.io as cio

class Net(object):
    def __init__(self):
        self.net = caffe.Net("a", "b", caffe.TEST)
    def run(self, image):
        self.net.blobs["data"].data[...] = cio.load_image(image)
        return self.net.forward(), self.net.unheard_of()

net = cv2.dnn.readNetFromCaffe("a", "b")
net.setInput(cv2.dnn.blobFromImage(image))
caffe.unheard_of(L.Convolution(x), P.Pooling.MAX)
solver = caffe.get_solver("s")
solver.step(1)
"""


def test_each_call_is_told_with_what_it_becomes() -> None:
    found = calls_of(SCRIPT)
    assert found.problem == ""
    told = {(call.line, call.written): call for call in found.calls}
    assert told[3, "import caffe"].becomes == "import netc.compat.pycaffe as caffe"
    assert told[4, "from caffe import layers as L"].becomes == (
        "from netc.compat.pycaffe import layers as L"
    )
    assert told[5, "from caffe.proto import caffe_pb2"].works
    assert told[6, "import caffe.io as cio"].becomes == "import netc.compat.pycaffe.io as cio"
    assert told[10, "caffe.Net"].works and told[10, "caffe.TEST"].works
    assert told[12, "cio.load_image"].works and told[12, "self.net.blobs"].works
    assert told[13, "self.net.forward"].works and not told[13, "self.net.unheard_of"].works
    read = told[15, "cv2.dnn.readNetFromCaffe"]
    assert read.becomes == "dnn.readNetFromCaffe, after `import netc.compat.opencv as dnn`"
    assert told[16, "net.setInput"].works
    assert not told[17, "caffe.unheard_of"].works
    assert told[17, "L.Convolution"].works and told[17, "P.Pooling.MAX"].works
    assert told[19, "solver.step"].works


def test_blobs_of_a_net_spec_are_the_scripts_own_names() -> None:
    found = calls_of(
        "import caffe\nn = caffe.NetSpec()\nn.conv1_1, n.label = one(), two()\n"
        "print(n.conv1_1, n.to_proto(), n.tops)\n"
    )
    assert [(c.line, c.written) for c in found.calls] == [
        (1, "import caffe"), (2, "caffe.NetSpec"), (4, "n.to_proto"),
    ]  # fmt: skip
    assert all(c.works for c in found.calls)


def test_fields_of_messages_and_classes_of_the_extension_module_are_known() -> None:
    found = calls_of(
        "import caffe\nfrom caffe.proto import caffe_pb2\nnet = caffe_pb2.NetParameter()\n"
        "net.layer.add(), net.MergeFrom(net), net.nothing\ncaffe._caffe.BlobVec\n"
    )
    assert [c.written for c in found.calls if not c.works] == ["net.nothing"]


def test_attributes_that_an_initialiser_sets_are_known() -> None:
    found = calls_of(
        "import caffe\nclass D(caffe.Net):\n"
        "    def __init__(self):\n        self.t = caffe.io.Transformer({})\n"
        "        self.t.transpose, self.t.raw_scale, self.t.nothing\n"
    )
    assert [c.written for c in found.calls if not c.works] == ["self.t.nothing"]


def test_attributes_that_the_script_gives_are_its_own() -> None:
    found = calls_of(
        "import caffe\nnet = caffe.Net('a', 1)\nnet.name = 'mine'\n"
        "print(net.name, net.nothing)\nnet.blobs['a'] = 1\n"
    )
    assert [c.written for c in found.calls if not c.works] == ["net.nothing"]


def test_all_of_a_module_that_is_there_and_of_one_that_is_not() -> None:
    found = calls_of("from caffe.model_libs import *\nfrom caffe.my_nets import *\n")
    assert [c.works for c in found.calls] == [True, False]


def test_strings_of_python_2_are_no_calls() -> None:
    found = calls_of(
        'print \'caffe.INFO\', "it\'s caffe.a"\n"""\nimport caffe\ncaffe.b "quoted" \'\n"""\n'
        "f = 'don\\'t caffe.c'  # it's caffe.d\ncaffe.Net\n"
    )
    assert [(c.line, c.written) for c in found.calls] == [(7, "caffe.Net")]


def test_an_unclosed_string_of_python_2_takes_no_long_time() -> None:
    found = calls_of('print 1, "' + "\\a" * 50_000 + '\ncaffe.Net  # """' + "\\b" * 50_000)
    assert [(c.line, c.written) for c in found.calls] == [(2, "caffe.Net")]


def test_python_2_is_looked_through_line_by_line() -> None:
    found = calls_of("import caffe\nprint caffe.Net  # caffe.comment\ncaffe.nothing()\n")
    assert "Python 2" in found.problem and "line 2" in found.problem
    assert [(c.line, c.written, c.works) for c in found.calls] == [
        (1, "import caffe", True),
        (2, "caffe.Net", True),
        (3, "caffe.nothing", False),
    ]


@pytest.mark.parametrize(
    "text",
    ["x = 1", "caffeine = 1", "import caffe2", "from os import path  # caffe", "my.caffe.Net()"],
)
def test_what_must_not_be_told(text: str) -> None:
    assert calls_of(text).calls == ()


@pytest.mark.parametrize("text", ["(" * 5000 + "caffe", "caffe\0", "x = " + "-" * 9000 + "caffe"])
def test_no_script_breaks_it(text: str) -> None:
    assert calls_of(text).problem


def test_notebooks_are_read(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["import caffe"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import caffe\n"]},
    ]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert [(c.line, c.written) for c in script_calls(path).calls] == [(2, "import caffe")]
    path.write_text("{", encoding="utf-8")
    assert "no notebook" in script_calls(path).problem
