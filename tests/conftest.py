"""Fixtures: where the golden numbers, the public nets and the corpus are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from netc.backends.registry import BACKENDS, backend
from netc.diagnostics import NetcError
from tests.machines import DESCRIBED, HERE, describe_this_machine
from tests.optional import lacking
from tests.workers import group

# How long an example takes says something of the machine, not of netc. The same examples are drawn
# in every run, here and in CI; `--explore` draws others, and keeps what failed.
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("netc", QUIET, derandomize=True, database=None)
settings.register_profile("explore", QUIET, derandomize=False, print_blob=True)
settings.load_profile("explore" if os.environ.get("NETC_EXPLORE") else "netc")

# What people set for themselves must not change what a test sees. Where the kernel cache and the
# public files are may be chosen.
FOREIGN = (
    "CI", "COLUMNS", "FORCE_COLOR", "LINES", "NETC_CPU_ISA", "NETC_DEBUG", "NETC_MAX_MEMORY",
    "NETC_NUM_THREADS", "NO_COLOR", "PYTHONWARNINGS", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent


def corpus_dir() -> Path:
    """The corpus of public prototxt files; it is not part of the project."""
    return Path(os.environ.get("NETC_CORPUS", ROOT.parent / "shared" / "corpus"))


def nets_dir() -> Path:
    """The public benchmark nets; they are not part of the project."""
    return Path(os.environ.get("NETC_NETS", corpus_dir().parent / "nets"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too (minutes)")
    parser.addoption(
        "--gpu-tools",
        action="store_true",
        help="run the tests of CuPy over the tests' own driver and of NVRTC too, as CI does",
    )
    parser.addoption(
        "--backend",
        action="append",
        choices=tuple(BACKENDS),
        help="run conformance tests on this backend, such as cuda (repeatable; default: cpu and "
        "reference)",
    )
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=0,
        metavar="N",
        help="how long tests/fuzz tries files of each kind, others in each run (default: a few "
        "files, the same in each run)",
    )
    parser.addoption(
        "--explore",
        action="store_true",
        help="draw other random examples in each run (also: NETC_EXPLORE=1)",
    )
    parser.addoption(
        "--machine",
        choices=tuple(DESCRIBED),
        help="run whole nets as on this machine (default: the processor's instructions, with a "
        "second cache of 1 MiB)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Every run sees the same examples, environment and machine.

    A backend that is asked for and cannot be had is one mistake, not one of each test.
    """
    if config.getoption("--explore"):
        settings.load_profile("explore")
    for name in FOREIGN:
        os.environ.pop(name, None)
    name = config.getoption("--machine")
    if name and name not in HERE:
        raise pytest.UsageError(f"--machine {name}: this processor has no such instructions")
    describe_this_machine(name)
    for name in config.getoption("--backend") or ():
        try:
            backend(name)
        except NetcError as error:
            raise pytest.UsageError(f"--backend {name}: {error}") from None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share what takes long to make run in one process (see tests/workers.py)."""
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Sharing(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that take a `backend`, and do not say which, run on those that are asked for."""
    own = (str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "backend" in metafunc.fixturenames and not any("backend" in names for names in own):
        chosen = metafunc.config.getoption("--backend") or ("reference", "cpu")
        metafunc.parametrize("backend", chosen)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("slow", "gpu_tools"):
        option = f"--{name.replace('_', '-')}"
        asked = config.getoption(option) or name in config.getoption("markexpr")
        for item in () if asked else items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"{name}: needs {option}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """A fixture that needs an absent package skips its test."""
    yield from _skipping()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that needs an absent package is skipped."""
    yield from _skipping()


def _skipping() -> Iterator[None]:
    try:
        yield
    except (ModuleNotFoundError, NetcError) as error:
        reason = lacking(error)
        if reason is None:
            raise
        pytest.skip(reason)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers that BVLC Caffe computed."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus folder; skips where it is absent."""
    path = corpus_dir()
    if not path.is_dir():
        pytest.skip(f"the corpus of public nets is not at {path} (set NETC_CORPUS)")
    return path


@pytest.fixture(scope="session")
def nets() -> Path:
    """The folder of public benchmark nets; skips where it is absent."""
    path = nets_dir()
    if not path.is_dir():
        pytest.skip(f"the public benchmark nets are not at {path} (set NETC_NETS)")
    return path
