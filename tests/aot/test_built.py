"""Libraries that are compiled, linked and run: bit for bit what netc.compile gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from benchmarks.seeded import seeded_inputs, seeded_weights
from netc.aot.build import BuiltLibrary, Choices, build
from netc.aot.page import PagePicture
from netc.aot.targets import host_target
from netc.ir.graph import Array, Graph
from netc.ops.reduced import Int8
from tests.optional import installed

ROOT = Path(__file__).resolve().parent.parent.parent
PROTOTXT = ROOT / "prototxt"
COMPILER = shutil.which("cc")
PUBLIC = (
    "alexnet", "caffenet", "vgg16", "googlenet", "squeezenet", "resnet18", "mobilenet",
    "mobilenet2", "densenet121", "inceptionv3", "fcn", "nin", "deepface", "lppool",
)  # fmt: skip

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
needs_zig = pytest.mark.skipif(not installed("ziglang"), reason="ziglang is not installed")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the target is Linux")

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 19 dim: 17 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 24 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm" type: "LRN" bottom: "conv1" top: "norm" }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "a" type: "Convolution" bottom: "pool" top: "a" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "b" type: "Convolution" bottom: "pool" top: "b"
        convolution_param { num_output: 8 kernel_size: 5 pad: 2 } }
layer { name: "both" type: "Concat" bottom: "a" bottom: "b" top: "both" }
layer { name: "up" type: "Deconvolution" bottom: "both" top: "up"
        convolution_param { num_output: 4 kernel_size: 4 stride: 2 } }
layer { name: "sum" type: "InnerProduct" bottom: "up" top: "sum" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "sum" top: "prob" }
"""  # noqa: E501


def with_weights(net: Any) -> Graph:
    """A net with seeded weights."""
    given: dict[str, Any] = {"text": net} if "\n" in str(net) else {"net": net}
    graph = netc.compile(backend="reference", missing="fill", **given).graph
    return netc.compile(weights=seeded_weights(graph), backend="reference", **given).graph


def ran(
    command: list[str],
    graph: Graph,
    feeds: Mapping[str, Array],
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Array]:
    """The outputs that the example writes for these inputs; ``shapes`` are those of rows found."""
    given = b"".join(np.ascontiguousarray(feeds[v], np.float32).tobytes() for v in graph.inputs)
    done = subprocess.run(command, input=given, capture_output=True, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    flat, found, begin = np.frombuffer(done.stdout, np.float32), [], 0
    for name in graph.outputs:
        shape = (shapes or {}).get(name, graph.shape(name))
        size = int(np.prod(shape))
        found.append(flat[begin : begin + size].reshape(shape))
        begin += size
    assert begin == len(flat)
    return found


def here(
    graph: Graph,
    feeds: Mapping[str, Array],
    threads: int = 1,
    precision: str = "float32",
    layers: Mapping[str, Int8] | None = None,
) -> list[Array]:
    """What the CPU backend gives for a graph."""
    from netc.backends.base import BackendOptions, Options
    from netc.compiled import CompiledNet
    from netc.passes.pipeline import chosen

    own = BackendOptions(precision, dict(layers or {}))
    made = CompiledNet(graph, "cpu", Options(chosen(True), False, threads, own))
    return list(made(dict(feeds)).values())


def example(made: BuiltLibrary, folder: Path) -> str:
    """The example, compiled and linked with the library."""
    name = made.library.name
    command = [
        COMPILER or "cc",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        "example.c",
    ]
    command += [f"lib{name}.a", "-lm", "-lpthread", "-o", "example"]
    subprocess.run(command, cwd=folder, check=True)
    return str(folder / "example")


def check(
    net: Any,
    folder: Path,
    counts: tuple[int, ...] = (1, 3),
    feeds: Mapping[str, Array] | None = None,
    **choices: Any,
) -> list[Array]:
    """The program's outputs, which are those of netc."""
    graph = with_weights(net)
    feeds = seeded_inputs(graph) if feeds is None else feeds
    made = build(graph, folder, Choices(cpu="native", **choices))
    program = example(made, folder)
    want = here(graph, feeds)
    shapes = {name: array.shape for name, array in zip(graph.outputs, want, strict=True)}
    for count in counts:
        made_there = ran([program, str(count)], graph, feeds, folder, shapes)
        for got, array in zip(made_there, want, strict=True):
            np.testing.assert_array_equal(got, array)
    return want


@needs_compiler
@on_linux
@pytest.mark.parametrize("weights", ("embed", "file"))
@pytest.mark.parametrize("threads", ("pthread", "none"))
def test_a_library_gives_what_netc_gives_bit_for_bit(
    weights: Any, threads: Any, tmp_path: Path
) -> None:
    check(SMALL, tmp_path, weights=weights, threads=threads)


PLACES = """
name: "places"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 9 dim: 8 } } }
layer { name: "own" type: "LocallyConnected" bottom: "x" top: "own"
        convolution_param { num_output: 6 kernel_size: 3 group: 2 } }
layer { name: "norm" type: "LpPooling" bottom: "own" top: "norm" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "cube" type: "LpPooling" bottom: "norm" top: "cube"
        pooling_param { kernel_size: 2 } lp_pooling_param { p: 3 } }
"""  # noqa: E501


@needs_compiler
@on_linux
def test_weights_of_places_and_norms_of_windows(tmp_path: Path) -> None:
    check(PLACES, tmp_path)


CHOSEN = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 dim: 3 dim: 6 dim: 6 } } }
layer { name: "keep" type: "Input" top: "keep" input_param { shape { dim: 5 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 9 kernel_size: 3 } }
layer { name: "f" type: "Filter" bottom: "c" bottom: "keep" top: "f" }
layer { name: "d" type: "Convolution" bottom: "f" top: "d"
  convolution_param { num_output: 20 kernel_size: 1 } }
layer { name: "r" type: "ReLU" bottom: "d" top: "d" }
"""


@needs_compiler
@pytest.mark.parametrize("keep", [(1, 0, 2, 0, -1), (0, 0, 0, 0, 0), (1, 1, 1, 1, 1)])
def test_a_filter_gives_the_items_it_chose(tmp_path: Path, keep: tuple[int, ...]) -> None:
    feeds = seeded_inputs(with_weights(CHOSEN)) | {"keep": np.array(keep, np.float32)}
    (found,) = check(CHOSEN, tmp_path, feeds=feeds)
    assert len(found) == np.count_nonzero(keep)


YOLO = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 13 dim: 13 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 50 kernel_size: 1 } }
layer { name: "y" type: "DetectionOutput" bottom: "c" top: "y"
  detection_output_param { side: 13 num_classes: 20 num_box: 2 confidence_threshold: 0.1
    nms_threshold: 0.3 biases: 1 biases: 2 biases: 3 biases: 2 } }
"""


@needs_compiler
def test_boxes_of_yolo(tmp_path: Path) -> None:
    (found,) = check(YOLO, tmp_path)
    assert found.shape[2] > 1


SSD = """
name: "ssd"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 8 kernel_size: 3 stride: 8 } }
layer { name: "loc" type: "Convolution" bottom: "conv" top: "loc"
        convolution_param { num_output: 16 kernel_size: 1 } }
layer { name: "loc_p" type: "Permute" bottom: "loc" top: "loc_p"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc_f" type: "Flatten" bottom: "loc_p" top: "loc_f" }
layer { name: "conf" type: "Convolution" bottom: "conv" top: "conf"
        convolution_param { num_output: 12 kernel_size: 1 } }
layer { name: "conf_p" type: "Permute" bottom: "conf" top: "conf_p"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "conf_r" type: "Reshape" bottom: "conf_p" top: "conf_r"
        reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "soft" type: "Softmax" bottom: "conf_r" top: "soft" softmax_param { axis: 2 } }
layer { name: "conf_f" type: "Flatten" bottom: "soft" top: "conf_f" }
layer { name: "priors" type: "PriorBox" bottom: "conv" bottom: "data" top: "priors"
        prior_box_param { min_size: 6 max_size: 12 aspect_ratio: 2 flip: true variance: 0.1 } }
layer { name: "detection_out" type: "DetectionOutput" bottom: "loc_f" bottom: "conf_f" bottom: "priors"
        top: "detection_out" detection_output_param { num_classes: 3 keep_top_k: 40 code_type: CENTER_SIZE
        confidence_threshold: 0.3 nms_param { nms_threshold: 0.3 top_k: 30 } } }
"""  # noqa: E501


@needs_compiler
@on_linux
def test_a_library_tells_how_many_boxes_it_found(tmp_path: Path) -> None:
    (found,) = check(SSD, tmp_path)
    assert 2 < found.shape[2] < 80
    header = (tmp_path / "ssd.h").read_text()
    assert "#define SSD_DETECTION_OUT_MAX_ROWS 80\n" in header
    assert "#define SSD_DETECTION_OUT_ROW_FLOATS 7\n" in header
    assert "const float *data, float *detection_out, int *detection_out_rows);" in header


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
@needs_compiler
@on_linux
def test_the_program_that_takes_the_place_of_libcaffe(tmp_path: Path) -> None:
    """The one that docs/building.md has, on a picture of one image."""
    text = (ROOT / "docs" / "building.md").read_text()
    start = text.index("    // detect.cpp")
    code = text[start : text.index("\n## ", start)].replace("\n    ", "\n")
    (tmp_path / "detect.cpp").write_text(code.strip() + "\n")
    graph = with_weights(SSD.replace("dim: 2 dim: 3 dim: 32", "dim: 1 dim: 3 dim: 32"))
    build(graph, tmp_path / "ssd", Choices(cpu="native"))
    command = ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "detect.cpp", "ssd/libssd.a"]
    command += ["-lpthread", "-lm", "-o", "detect"]
    subprocess.run(command, cwd=tmp_path, check=True)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    done = subprocess.run(["./detect"], cwd=tmp_path, input=pixels.tobytes(), capture_output=True)
    data = (pixels.transpose(2, 0, 1)[None] - np.float32(127.5)) * np.float32(0.007843)
    want = here(graph, {"data": data})[0][0, 0, :, 1:]
    got = np.array([line.split() for line in done.stdout.decode().splitlines()], np.float32)
    assert len(want) > 1
    np.testing.assert_array_equal(got, want)


RCNN = """
name: "rcnn"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8 dim: 6 dim: 7 } } }
layer { name: "info" type: "Input" top: "im_info" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "s" type: "Convolution" bottom: "x" top: "s" convolution_param { num_output: 18 kernel_size: 1 } }
layer { name: "d" type: "Convolution" bottom: "x" top: "d" convolution_param { num_output: 36 kernel_size: 1 } }
layer { name: "rois" type: "Python" bottom: "s" bottom: "d" bottom: "im_info" top: "rois" python_param {
        module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 16" } }
layer { name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 3 pooled_w: 3 spatial_scale: 0.0625 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "cls" type: "Softmax" bottom: "fc" top: "cls" }
layer { name: "out" type: "Silence" bottom: "rois" }
"""  # noqa: E501


@needs_compiler
@on_linux
def test_rows_of_proposals(tmp_path: Path) -> None:
    graph = with_weights(RCNN)
    feeds = {**seeded_inputs(graph)}
    feeds[graph.input_blobs["im_info"]] = np.array([[96, 112, 1.5]], np.float32)
    (found,) = check(RCNN, tmp_path, feeds=feeds)
    assert 1 < len(found) < 300


REGIONS = """
name: "regions"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 6 dim: 7 } } }
layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 3 dim: 5 } } }
layer { name: "po\\"ol??/" type: "PSROIPooling" bottom: "x" bottom: "rois" top: "pool"
        psroi_pooling_param { spatial_scale: 0.5 output_dim: 2 group_size: 2 } }
"""


@needs_compiler
@on_linux
def test_a_region_of_no_image(tmp_path: Path) -> None:
    rois = np.array([[0, 1, 1, 9, 9], [1, 0, 3, 4, 8], [1, 2, 2, 2, 2]], np.float32)
    graph = with_weights(REGIONS)
    feeds = {**seeded_inputs(graph), "rois": rois}
    check(REGIONS, tmp_path, feeds=feeds)
    rois[1, 0] = 2
    given = b"".join(feeds[v].tobytes() for v in graph.inputs)
    done = subprocess.run([str(tmp_path / "example")], input=given, capture_output=True)
    assert done.returncode == 1
    assert b'layer `po"ol??/`: a region is of an image that is not in the batch' in done.stderr


SERIES = """
name: "series"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 6 dim: 2 dim: 5 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 6 dim: 2 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "lstm"
        recurrent_param { num_output: 11 } }
layer { name: "rnn" type: "RNN" bottom: "lstm" bottom: "cont" top: "rnn"
        recurrent_param { num_output: 4 } }
"""


@needs_compiler
@on_linux
def test_recurrent_layers(tmp_path: Path) -> None:
    check(SERIES, tmp_path)


CAPTION = """
name: "caption"
layer { name: "words" type: "Input" top: "words" input_param { shape { dim: 6 dim: 2 } } }
layer { name: "embed" type: "Embed" bottom: "words" top: "embed"
        embed_param { num_output: 9 input_dim: 30 weight_filler { type: "gaussian" } } }
layer { name: "marks" type: "ContinuationIndicator" top: "marks"
        continuation_indicator_param { time_step: 6 batch_size: 2 } }
layer { name: "lstm" type: "LSTM" bottom: "embed" bottom: "marks" top: "lstm"
        recurrent_param { num_output: 11 } }
layer { name: "next" type: "InnerProduct" bottom: "lstm" top: "next"
        inner_product_param { num_output: 30 axis: 2 } }
layer { name: "prob" type: "Softmax" bottom: "next" top: "prob" softmax_param { axis: 2 } }
"""


@needs_compiler
@on_linux
def test_a_net_of_words(tmp_path: Path) -> None:
    words = np.random.default_rng(1).integers(0, 30, (6, 2)).astype(np.float32)
    check(CAPTION, tmp_path, feeds={"words": words})
    words[3, 1] = 30
    done = subprocess.run([str(tmp_path / "example")], input=words.tobytes(), capture_output=True)
    assert done.returncode == 1
    assert b"layer `embed`: an index is no whole number from 0 to 29" in done.stderr


@needs_compiler
@on_linux
@pytest.mark.parametrize("name", ("main", "steps", "index", "log", "int", "memcpy", "team"))
def test_names_that_c_has_already(name: str, tmp_path: Path) -> None:
    shape = "input_param { shape { dim: 1 dim: 2 } }"
    blob = f'layer {{ name: "in" type: "Input" top: "{name}" {shape} }}'
    text = f'name: "{name}"\n{blob} layer {{ name: "r" type: "ReLU" bottom: "{name}" top: "n" }}'
    check(text, tmp_path)


@needs_compiler
@on_linux
def test_weights_as_float16(tmp_path: Path) -> None:
    graph = with_weights(SMALL)
    made = build(graph, tmp_path, Choices(cpu="native", precision="fp16"))
    got = ran([example(made, tmp_path)], graph, seeded_inputs(graph), tmp_path)
    want = netc.compile(text=SMALL, weights=seeded_weights(graph), precision="fp16", threads=1)
    np.testing.assert_array_equal(got[0], want(seeded_inputs(graph))["prob"])


@pytest.mark.slow
@needs_compiler
@on_linux
@pytest.mark.parametrize("name", PUBLIC)
def test_public_nets(name: str, tmp_path: Path) -> None:
    check(PROTOTXT / f"{name}.netc", tmp_path)


TWICE = """
#include "small.h"
#include "other.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static float in[SMALL_DATA_SIZE], want[SMALL_PROB_SIZE];

static void *work(void *unused)
{
    float out[SMALL_PROB_SIZE];
    int n;
    small_net *net = small_create(2);
    (void)unused;
    if (net == NULL)
        return "create";
    for (n = 0; n < 200; n++) {
        memset(out, 0, sizeof out);
        if (small_run(net, in, out) != 0 || memcmp(out, want, sizeof out) != 0)
            return "different";
    }
    small_destroy(net);
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    void *wrong = NULL;
    int n;
    float out[OTHER_PROB_SIZE];
    small_net *first = small_create(1);
    other_net *second = other_create(1);

    for (n = 0; n < SMALL_DATA_SIZE; n++)
        in[n] = (float)(n % 7) - 3;
    small_run(first, in, want);
    if (other_run(second, in, out) != 0 || memcmp(out, want, sizeof out) != 0)
        return printf("the other differs\\n");
    for (n = 0; n < 4; n++)
        pthread_create(&threads[n], NULL, work, NULL);
    for (n = 0; n < 4; n++) {
        pthread_join(threads[n], &wrong);
        if (wrong)
            return printf("%s\\n", (char *)wrong);
    }
    if (small_run(first, NULL, want) != -1 || !strstr(small_last_error(), "an array is NULL"))
        return printf("no error: %s\\n", small_last_error());
    if (small_create(0) != NULL || !strstr(small_last_error(), "at least one thread"))
        return printf("no error: %s\\n", small_last_error());
    if (small_run(NULL, in, want) != -1)
        return printf("NULL is an instance\\n");
    small_destroy(first);
    small_destroy(NULL);
    other_destroy(second);
    return 0;
}
"""


@needs_compiler
@on_linux
def test_instances_and_libraries_side_by_side(tmp_path: Path) -> None:
    """Four threads with instances of two threads each, and two libraries in one program."""
    graph = with_weights(SMALL)
    build(graph, tmp_path, Choices(cpu="native"))
    build(graph, tmp_path, Choices(cpu="native", name="other"))
    (tmp_path / "twice.c").write_text(TWICE)
    command = [COMPILER or "cc", "-g", "twice.c", "libsmall.a", "libother.a", "-lm", "-lpthread"]
    subprocess.run([*command, "-o", "twice"], cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "twice")], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "")


@needs_compiler
@on_linux
def test_weights_of_another_library_are_refused(tmp_path: Path) -> None:
    graph = with_weights(SMALL)
    made = build(graph, tmp_path, Choices(cpu="native", weights="file"))
    program = example(made, tmp_path)
    whole = (tmp_path / "small.weights").read_bytes()
    for content, told in (
        (b"netc weights 1 0000" + whole[19:], "is not the file of weights of this library"),
        (whole[:-1], "is cut short, or too long"),
        (whole + b"x", "is cut short, or too long"),
        (b"", "is not the file of weights of this library"),
    ):
        (tmp_path / "bad").write_bytes(content)
        done = subprocess.run([program, "1", "bad"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert told in done.stderr
    done = subprocess.run([program, "1", "none"], cwd=tmp_path, capture_output=True, text=True)
    assert "none cannot be opened" in done.stderr


@needs_compiler
@on_linux
def test_the_shared_library_runs_through_ctypes(tmp_path: Path) -> None:
    import ctypes

    graph = with_weights(SMALL)
    build(graph, tmp_path, Choices(cpu="native"))
    library = ctypes.CDLL(str(tmp_path / "libsmall.so"))
    library.small_create.restype = ctypes.c_void_p
    instance = ctypes.c_void_p(library.small_create(1))
    data = np.ascontiguousarray(seeded_inputs(graph)["data"])
    out = np.zeros((2, 7), np.float32)
    pointer = ctypes.POINTER(ctypes.c_float)
    assert (
        library.small_run(instance, data.ctypes.data_as(pointer), out.ctypes.data_as(pointer)) == 0
    )
    library.small_destroy(instance)
    np.testing.assert_array_equal(out, here(graph, {"data": data})[0])


def test_without_a_compiler_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netc.aot import toolchain

    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "installed_program", lambda name: None)
    monkeypatch.setattr(toolchain.util, "find_spec", lambda name: None)
    with pytest.raises(netc.NetcError, match="there is no C compiler") as caught:
        build(with_weights(SMALL), tmp_path / "out", Choices())
    assert "netc[build]" in str(caught.value)
    assert not (tmp_path / "out").exists()


# Other processors


QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")


FEWER_BITS = """
name: "fewer bits"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 8 dim: 13 dim: 11 } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
        convolution_param { num_output: 20 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "pool" type: "Pooling" bottom: "a" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "b" type: "Convolution" bottom: "pool" top: "b"
        convolution_param { num_output: 20 kernel_size: 3 pad: 1 group: 20 } }
layer { name: "c" type: "Convolution" bottom: "b" top: "c" convolution_param { num_output: 24 kernel_size: 1 } }
layer { name: "up" type: "Deconvolution" bottom: "c" top: "up"
        convolution_param { num_output: 8 kernel_size: 4 stride: 2 pad: 1 } }
layer { name: "out" type: "InnerProduct" bottom: "up" top: "out" inner_product_param { num_output: 9 } }
"""  # noqa: E501
INT8 = {name: Int8(0.05, 128) for name in ("a", "b", "c", "up", "out")}
# Nets whose kernels are of all kinds, and what they are computed in.
ELSEWHERE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "float32": (SMALL, {}),
    "places": (PLACES, {}),
    "detection": (SSD, {}),
    "proposals": (RCNN, {}),
    "regions": (REGIONS, {}),
    "words": (CAPTION, {}),
    "int8": (FEWER_BITS, {"precision": "int8", "layers": INT8}),
    "bf16": (FEWER_BITS, {"precision": "bf16"}),
}


def feeds_of(kind: str, graph: Graph) -> dict[str, Array]:
    """Inputs that a net can do something with."""
    feeds = dict(seeded_inputs(graph))
    if kind == "words":
        feeds["words"] = np.random.default_rng(1).integers(0, 30, (6, 2)).astype(np.float32)
    if kind == "proposals":
        feeds[graph.input_blobs["im_info"]] = np.array([[96, 112, 1.5]], np.float32)
    if kind == "regions":
        feeds["rois"] = np.array([[0, 1, 1, 9, 9], [1, 0, 3, 4, 8], [1, 2, 2, 2, 2]], np.float32)
    return feeds


def compare(kind: str, got: list[Array], want: list[Array]) -> None:
    """Whole numbers' sums are the same anywhere; float32's are added in another order."""
    for own, array in zip(got, want, strict=True):
        if kind == "int8":
            np.testing.assert_array_equal(own, array)
        else:
            np.testing.assert_allclose(own, array, rtol=1e-3, atol=1e-5)


@needs_zig
@pytest.mark.skipif(QEMU is None, reason="qemu-aarch64 is not installed")
@pytest.mark.filterwarnings("ignore::netc.diagnostics.NetcWarning")
@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_library_for_arm(kind: str, tmp_path: Path) -> None:
    net, options = ELSEWHERE[kind]
    graph = with_weights(net)
    feeds = feeds_of(kind, graph)
    made = build(graph, tmp_path, Choices(target="aarch64-linux-gnu", **options))
    name = made.library.name
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-static"]
    command += ["example.c", f"lib{name}.a", "-o", "example"]
    subprocess.run(command, cwd=tmp_path, check=True)
    want = here(graph, feeds, **options)
    shapes = {name: array.shape for name, array in zip(graph.outputs, want, strict=True)}
    for threads in ("1", "2"):
        got = ran([str(QEMU), "./example", threads], graph, feeds, tmp_path, shapes)
        compare(kind, got, want)


class Module:
    """A WebAssembly module under wasmtime, and its memory."""

    def __init__(self, path: Path) -> None:
        wasmtime = pytest.importorskip("wasmtime", exc_type=ImportError)
        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(self.store.engine, str(path))
        assert list(module.imports) == []  # it needs nothing of a system
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.call("_initialize")

    def call(self, name: str, *arguments: int) -> int:
        return self.exports[name](self.store, *arguments)  # type: ignore[no-any-return]

    def put(self, content: bytes) -> int:
        place = self.call("malloc", len(content))
        self.exports["memory"].write(self.store, content, place)
        return place

    def get(self, place: int, shape: tuple[int, ...]) -> Array:
        size = 4 * int(np.prod(shape))
        content = self.exports["memory"].read(self.store, place, place + size)
        return np.frombuffer(content, np.float32).reshape(shape)


@needs_zig
@pytest.mark.filterwarnings("ignore::netc.diagnostics.NetcWarning")
@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_module_for_the_web(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("wasmtime", exc_type=ImportError)
    net, options = ELSEWHERE[kind]
    graph = with_weights(net)
    feeds = feeds_of(kind, graph)
    library = build(graph, tmp_path, Choices(target="wasm32", **options)).library
    module, name = Module(tmp_path / f"{library.name}.wasm"), library.name
    weights = (tmp_path / f"{name}.weights").read_bytes()
    place = module.put(weights)
    assert module.call(f"{name}_create", place, len(weights) - 1, 1) == 0
    instance = module.call(f"{name}_create", place, len(weights), 1)
    inputs = [module.put(np.ascontiguousarray(feeds[v]).tobytes()) for v in graph.inputs]
    places = [module.call("malloc", 4 * blob.elements) for blob in library.outputs]
    outputs = [at for k, blob in enumerate(library.outputs)
               for at in ((places[k], 0) if blob.chosen else (places[k],))]  # fmt: skip
    assert module.call(f"{name}_run", instance, *inputs, *outputs) == 0
    want = here(graph, feeds, **options)
    compare(kind, [module.get(at, a.shape) for at, a in zip(places, want, strict=True)], want)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """
<script>
(async () => {
  while (!net) await new Promise((done) => setTimeout(done, 10));
  const pixels = new Uint8ClampedArray(4 * 64).map((_, n) => (n * 37) % 256);
  const [scores] = run(loaded(pixels, facts.shape));
  show(scores, 1);
  document.title = "scores " + JSON.stringify(scores);
})();
</script>
"""


@needs_zig
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_runs_in_a_browser(tmp_path: Path) -> None:
    folder = PROTOTXT / "digits"
    net = netc.compile(folder / "deploy.prototxt", folder / "digits.caffemodel", threads=1)
    labels = [f"<b>{n}</b>" for n in range(10)]
    picture = PagePicture(mean=(16.0,), scale=1 / 256, labels=labels)
    build(net.graph, tmp_path, Choices(target="wasm32"), picture=picture)
    page = (tmp_path / "index.html").read_text("utf-8")
    (tmp_path / "probe.html").write_text(page.replace("</html>", PROBE + "</html>"), "utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=20000", "--dump-dom", f"file://{tmp_path}/probe.html",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.startswith("scores ["), done.stdout[:2000] + done.stderr[-2000:]
    got = np.array([float(x) for x in title[8:-1].split(",")], np.float32)
    pixels = (np.arange(256) * 37 % 256).astype(np.float32).reshape(64, 4)
    gray = pixels[:, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    want = net(data=((gray - 16) / 256).reshape(1, 1, 8, 8))["prob"][0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert "&lt;b&gt;" in done.stdout  # labels are text


# The command


@needs_compiler
@on_linux
def test_the_command_tells_what_it_wrote(tmp_path: Path) -> None:
    folder = PROTOTXT / "digits"
    command = [sys.executable, "-m", "netc", "build", str(folder / "deploy.prototxt")]
    command += ["-w", str(folder / "digits.caffemodel"), "-o", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True
    )
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("wrote out: digits.h, digits.c, example.c, CMakeLists.txt, ")
    assert second.startswith(f"digits for {host_target()} (")
