"""What a command imports: a check of a text needs no array, no kernel and no library of tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netc.ops.homes import OPS, READINGS

PROTOTXT = Path(__file__).resolve().parents[2] / "prototxt"

# What no command that reads a text alone has any use for.
HEAVY = frozenset({
    "numpy", "numba", "llvmlite", "google.protobuf", "rich", "PIL", "h5py", "lark", "fractions",
    "multiprocessing", "urllib.request",
    "netc.driver", "netc.compiled", "netc.backends", "netc.passes", "netc.plan", "netc.weights",
    "netc.report", "netc.train", "netc.sources", "netc.surgery",
})  # fmt: skip

TABLES = frozenset({"fractions", "netc.report"})  # of receptive fields, and as they are printed
WEIGHTS = frozenset({"numpy", "netc.weights"})  # whether a file's name is one of weights

# Families that others are made of.
PARTS = frozenset({"activation", "forks.bottom_products", "forks.pooling3d"})

LIST = """
import sys
from netc.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print("code", code)
print("modules", *sys.modules)
"""


def modules_of(*arguments: object) -> set[str]:
    """The modules that a command has imported, in a process of its own."""
    command = [sys.executable, "-c", LIST, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, code, modules = run.stdout.splitlines()
    assert code == "code 0", run.stderr
    return set(modules.split()[1:])


def families(modules: set[str]) -> set[str]:
    return {name for name in (*OPS, *READINGS) if f"netc.ops.{name}" in modules} - PARTS


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Tables of grammars and schemas are in the cache, as after any first start."""
    modules_of("check", PROTOTXT / "lenet.netc")


def test_a_check_of_the_dialect() -> None:
    modules = modules_of("check", PROTOTXT / "lenet.netc")
    assert not modules & HEAVY
    assert families(modules) == {"inputs", "convolution", "pooling", "linear", "rectifiers",
                                 "normalization"}  # fmt: skip


def test_a_check_of_plain_prototxt_needs_no_dialect(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }\n'
        'layer { name: "y" type: "TanH" bottom: "x" top: "y" }\n'
    )
    modules = modules_of("check", net)
    assert not modules & HEAVY
    assert families(modules) == {"inputs"}  # hyperbolic tangents are one of the parts
    assert "netc.syntax.repair" not in modules


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_and_version_import_no_net(arguments: tuple[str, ...]) -> None:
    modules = modules_of(*arguments)
    assert not modules & HEAVY
    assert not modules & {"netc.ops", "netc.schema", "netc.language", "netc.infer"}


def test_fmt_prints_without_layers() -> None:
    modules = modules_of("fmt", PROTOTXT / "lenet.netc")
    assert not modules & HEAVY and not families(modules)


def test_an_upgrade_and_lints_need_no_kernels(tmp_path: Path) -> None:
    assert not modules_of("lint", PROTOTXT / "lenet.netc") & (HEAVY - {"fractions"})
    assert not modules_of("summary", PROTOTXT / "lenet.netc") & (HEAVY - TABLES)
    old = tmp_path / "old.prototxt"
    old.write_text('layers { name: "y" type: TANH bottom: "x" top: "y" }\ninput: "x"\n'
                   "input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2\n")  # fmt: skip
    assert not modules_of("upgrade", old, "-o", tmp_path / "new.prototxt") & (HEAVY - WEIGHTS)
