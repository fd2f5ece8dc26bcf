"""What a library is planned as, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netc
from netc.aot.build import Choices, plan_library
from netc.aot.library import ARENA, EXTERNAL, NUMBER, WEIGHTS, WORKSPACE, PlannedLibrary, identifier
from netc.aot.objects import kernel_objects
from netc.aot.source import header, source, weights_file
from netc.aot.targets import cpus_of, target_of
from netc.backends.cpu.instructions import has_products
from netc.diagnostics import NetcError, NetcWarning
from netc.ops.reduced import Int8

X86 = "x86_64-linux-gnu"
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }'
IMAGE = INPUT % "dim: 1 dim: 3 dim: 12 dim: 12"
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param '
    '{ num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }'
)


def planned(*layers: str, **choices: Any) -> PlannedLibrary:
    text = 'name: "a net"\n' + "\n".join(layers)
    graph = netc.compile(text=text, backend="reference", missing="fill").graph
    return plan_library(graph, Choices(**choices))


def refused(*layers: str, **choices: Any) -> list[str]:
    with pytest.raises(NetcError) as caught:
        planned(*layers, **choices)
    return [f"{d.code}: {d.message}" for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("name", "cpu", "isa", "width"),
    (
        ("x86_64-linux-gnu", None, "avx2", 8),
        ("x86_64-linux-gnu", "znver3", "avx2", 8),
        ("x86_64-linux-gnu", "x86-64-v4", "avx512", 16),
        ("x86_64-linux-gnu", "skylake-avx512", "avx512", 16),
        ("x86_64-linux-gnu", "nehalem", "plain", 4),
        ("aarch64-linux-gnu", None, "neon", 4),
        ("wasm32", None, "plain", 4),
    ),
)
def test_kernels_are_fitted_to_the_processor(
    name: str, cpu: str | None, isa: str, width: int
) -> None:
    machine = target_of(name, cpu).machine
    assert (machine.isa, machine.width) == (isa, width)


@pytest.mark.parametrize(
    ("cpu", "int8", "bf16"),
    (
        ("x86-64-v3", False, False),
        ("x86-64-v4", False, False),
        ("skylake-avx512", False, False),
        ("cascadelake", True, False),
        ("cooperlake", True, True),
        ("alderlake", True, False),
        ("sapphirerapids", True, True),
        ("znver3", False, False),
        ("znver4", True, True),
    ),
)
def test_processors_have_the_instructions_that_llvm_gives_them(
    cpu: str, int8: bool, bf16: bool
) -> None:
    if cpu not in cpus_of("x86_64-linux-gnu"):
        pytest.skip(f"this LLVM does not know {cpu}")
    machine = target_of("x86_64-linux-gnu", cpu).machine
    assert (has_products(machine, "int8"), has_products(machine, "bf16")) == (int8, bf16)


@pytest.mark.parametrize("precision", ("bf16", "int8"))
def test_products_in_fewer_bits_are_built_of_the_instructions(precision: str) -> None:
    """Of a processor that need not be this one; LLVM ends the process where it lacks one."""
    pytest.importorskip("numba")
    layers = {"conv": Int8(0.05, 128)} if precision == "int8" else None
    library = planned(IMAGE, CONV, cpu="cooperlake", target=X86, precision=precision, layers=layers)
    (kernel,) = [k for k in library.kernels if "formats" in dict(k.options)]
    from netc.backends.cpu.kernels.build import llvm_code
    from netc.backends.cpu.kernels.conv import convolve

    options: dict[str, Any] = dict(kernel.options)
    text = llvm_code(convolve(library.target.machine, **options), "kernel")
    assert {"bf16": "dpbf16ps.512", "int8": "vpdpbusd.512"}[precision] in text
    objects = kernel_objects([kernel], library.target, "net", lambda *told: None)
    assert objects[kernel][1].startswith(b"\x7fELF")
    feature = {"bf16": "avx512bf16", "int8": "avx512vnni"}[precision]
    assert f'__builtin_cpu_supports("{feature}")' in source(
        library, dict.fromkeys(library.kernels, "k"), kind="embed"
    )


def test_who_lacks_the_instructions_is_told_while_building() -> None:
    with pytest.warns(NetcWarning, match=r"processor `x86-64-v3` has no instructions for bf16"):
        planned(IMAGE, CONV, cpu="x86-64-v3", target=X86, precision="bf16")


@pytest.mark.parametrize(
    ("name", "cpu", "told"),
    (
        ("aarch64", None, "there is no target `aarch64`"),
        (
            "x86_64-linux-gnu",
            "cortex-a76",
            "target `x86_64-linux-gnu` has no processor `cortex-a76`",
        ),
        ("wasm32", "native", "`--cpu native` is this machine's processor, and `wasm32` is not"),
    ),
)
def test_targets_that_there_are_not(name: str, cpu: str | None, told: str) -> None:
    with pytest.raises(NetcError) as caught:
        target_of(name, cpu)
    assert told in caught.value.diagnostics[0].message


def test_every_layer_without_a_kernel_is_named_at_its_place() -> None:
    cosine = 'layer { name: "%s" type: "Cos" bottom: "%s" top: "%s" }'
    told = refused(IMAGE, cosine % ("one", "data", "one"), cosine % ("two", "one", "two"))
    assert [line.partition(" has")[0] for line in told] == [
        "no-kernel: layer `one` (Cos)",
        "no-kernel: layer `two` (Cos)",
    ]


def test_sizes_that_a_run_tells_are_refused() -> None:
    layers = (
        INPUT.replace('"data"', '"x"') % "dim: 4 dim: 2",
        INPUT.replace('"data"', '"keep"') % "dim: 4",
        'layer { name: "f" type: "Filter" bottom: "x" bottom: "keep" top: "f" }',
    )
    rows = planned(*layers).outputs[0]
    assert rows.shape == (4, 2) and rows.chosen is not None, "a Filter gives its most"
    softmax = 'layer { name: "s" type: "Softmax" bottom: "f" top: "s" softmax_param { axis: 0 } }'
    (told,) = refused(*layers, softmax)
    assert told.startswith("dynamic-size: layer `f` (Filter)")


def test_a_plan_has_steps_arguments_and_weights() -> None:
    library = planned(IMAGE, CONV, cpu="x86-64-v3", target="x86_64-linux-gnu")
    assert library.name == "a_net"
    assert [(b.blob, b.shape) for b in library.inputs] == [("data", (1, 3, 12, 12))]
    assert [(b.blob, b.shape) for b in library.outputs] == [("conv", (1, 4, 10, 10))]
    kinds = {kind for kind, _ in library.arguments}
    assert {NUMBER, WEIGHTS, EXTERNAL, EXTERNAL + 1} <= kinds
    assert kinds <= {NUMBER, ARENA, WORKSPACE, WEIGHTS, EXTERNAL, EXTERNAL + 1}
    assert all(
        0 <= number < len(library.weights) for kind, number in library.arguments if kind == WEIGHTS
    )
    assert weights_file(library)[64:] == library.weights
    assert weights_file(library)[:64].startswith(b"netc weights 1 ")


def test_the_same_net_is_the_same_library() -> None:
    first, second = (planned(IMAGE, CONV, target="aarch64-linux-gnu") for _ in range(2))
    symbols = {kernel: "k" for kernel in first.kernels}
    assert source(first, symbols, kind="embed") == source(second, symbols, kind="embed")
    assert first.weights == second.weights


def test_names_are_those_of_c() -> None:
    assert identifier("SSD 300 (VGG)") == "ssd_300__vgg"
    assert identifier("3net") == "n3net"
    assert identifier("*") == "net"
    odd = INPUT.replace('"data"', '"data/int"') % "dim: 1 dim: 2"
    other = INPUT.replace('"data"', '"float"') % "dim: 1 dim: 2"
    sums = 'layer { name: "s" type: "Eltwise" bottom: "data/int" bottom: "float" top: "data-int" }'
    library = planned(odd, other, sums, name="Two")
    assert [b.name for b in library.inputs] == ["data_int", "float_"]
    assert [b.name for b in library.outputs] == ["data_int_"]
    text = header(library, kind="file")
    assert "int two_run(two_net *instance, const float *data_int, const float *float_, " in text
    assert "#define TWO_DATA_INT_SIZE 2" in text


def test_a_name_cannot_end_a_comment() -> None:
    text = 'name: "*/ int main() { return 1; } /*"\n' + IMAGE + CONV
    graph = netc.compile(text=text, backend="reference", missing="fill").graph
    library = plan_library(graph, Choices(name="safe"))
    assert "*/ int main" not in header(library, kind="embed")


def test_constants_with_gaps_keep_their_memory() -> None:
    from netc.aot.library import _memory_of

    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = np.frombuffer(_memory_of(whole[:, :2]), np.float32)
    np.testing.assert_array_equal(found, np.arange(10))


def test_a_page_is_for_pictures(tmp_path: Path) -> None:
    from netc.aot.build import build
    from netc.aot.page import PagePicture

    graph = netc.compile(
        text=f'name: "n" {INPUT % "dim: 2 dim: 5"} '
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }',
        backend="reference",
    ).graph
    with pytest.raises(NetcError, match="a page runs WebAssembly, and the target is"):
        build(graph, tmp_path / "out", Choices(target="x86_64-linux-gnu"), picture=PagePicture())
    assert not (tmp_path / "out").exists()
