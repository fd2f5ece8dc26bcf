"""The text cases in tests/cases: what each pass makes of a net, and what it says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netc.backends import reference
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.ir.text import print_graph
from netc.passes.base import run_passes
from netc.passes.pipeline import ALL, BY_NAME
from tests.passes.cases import FOLDER, Case, log_text, read_cases
from tests.passes.weights import assert_consistent, assert_same
from tests.strategies import random_arrays

FILES = sorted(FOLDER.glob("*.txt"))
CASES = [(path, case) for path in FILES for case in read_cases(path)[1]]


@pytest.mark.parametrize(
    ("path", "case"), CASES, ids=[f"{path.stem}: {case.title}" for path, case in CASES]
)
def test_case(path: Path, case: Case) -> None:
    before = case.graph()
    after, (applied,) = run_passes(before, [BY_NAME[path.stem]])
    text = "same\n" if after is before or print_graph(after) == print_graph(before) else None
    found = {"after": text or print_graph(after), "log": log_text(applied)}
    if os.environ.get("NETC_WRITE_CASES"):
        _write(path, case, found)
    assert found["after"] == case.sections["after"]
    assert found["log"] == case.sections.get("log", "")
    assert_consistent(after)
    _assert_equivalent(before, after, case.options().get("raises"), BY_NAME[path.stem].exact)


def _assert_equivalent(before: Graph, after: Graph, raises: list[str] | None, exact: bool) -> None:
    feeds = random_arrays({name: before.shape(name) for name in before.inputs})
    if raises:
        for graph in (before, after):
            with pytest.raises(NetcError, match=raises[0]):
                reference.run(graph, feeds)
    else:
        # What variables are to hold after a run counts as well.
        results = [reference.run(graph, feeds, graph.results) for graph in (before, after)]
        assert_same(*results, exact)


def _write(path: Path, case: Case, found: dict[str, str]) -> None:
    head, cases = read_cases(path)
    for other in cases:
        if other.title == case.title:
            other.sections |= found
    path.write_text(head + "\n".join(c.text() for c in cases), encoding="utf-8")
    case.sections |= found


def test_every_pass_has_cases() -> None:
    assert {path.stem for path in FILES} == {item.name for item in ALL}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pass_fires_and_declines(path: Path) -> None:
    cases = read_cases(path)[1]
    titles = [case.title for case in cases]
    assert len(set(titles)) == len(titles)
    assert any("+ " in case.sections.get("log", "") for case in cases)
    assert any(case.sections["after"] == "same\n" for case in cases)
