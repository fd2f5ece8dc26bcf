"""Fixtures: where the golden numbers, the public nets and the corpus are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from netc.backends.registry import BACKENDS, backend
from netc.diagnostics import NetcError
from tests.workers import group

# How long an example takes says something of the machine, not of netc.
settings.register_profile("netc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netc")

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
        "--backend",
        action="append",
        choices=tuple(BACKENDS),
        help="run conformance tests on this backend, such as cuda (repeatable; default: cpu and "
        "reference)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A backend that is asked for and cannot be had is one mistake, not one of each test."""
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
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: needs --slow"))


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
