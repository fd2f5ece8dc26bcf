"""Bad input, tried one by one: what a person reads, the exit code, and the same facts as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netc.cli.main import main
from tests.errors.cases import Case, all_cases, write_cases

CASES = all_cases()
WRITE = bool(os.environ.get("NETC_WRITE_CASES"))
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
_CLOSING = re.compile(r"\d+ files?: .*\n\Z")  # how `netc check` and `netc lint` end
_EXCERPT = re.compile(r" *\d* \| .*|      \|.*")


@pytest.fixture
def case(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A case in a folder of its own."""
    chosen: Case = request.param
    if ROOT and any(maker in ("locked", "sealed folder") for maker, _ in chosen.files.values()):
        pytest.skip("nothing is closed to the superuser")
    chosen.write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield chosen
    for name, (maker, _) in chosen.files.items():
        if maker == "sealed folder":
            (tmp_path / name).chmod(0o755)


@pytest.fixture(scope="module", autouse=True)
def written() -> Iterator[None]:
    yield
    if WRITE:
        write_cases(CASES)


@pytest.mark.parametrize("case", CASES, ids=str, indirect=True)
def test_what_a_person_reads(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(case.command)
    out, err = capsys.readouterr()
    told = (_CLOSING.sub("", out) + err).rstrip("\n")
    if WRITE:
        case.expected, case.code = told, code
    assert (code, told) == (case.code, case.expected)
    assert "Traceback" not in told
    assert "internal error" not in told


JSON_COMMANDS = ("check", "run", "upgrade")


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.command[0] in JSON_COMMANDS and c.code == 1],
    ids=str,
    indirect=True,
)
def test_the_same_facts_as_json(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*case.command, "--json"]) == case.code
    out, _ = capsys.readouterr()
    lines = [line for line in case.expected.splitlines() if not _EXCERPT.fullmatch(line)]
    assert list(_shown(_found(json.loads(out)))) == lines


def _found(told: Any) -> list[Any]:
    if "files" in told:
        return [d for file in told["files"] for d in file["diagnostics"]]
    return list(told["diagnostics"])


def _shown(diagnostics: list[Any]) -> Iterator[str]:
    """Diagnostics from JSON as they are printed, without the lines of the text."""
    for found in diagnostics:
        yield f"{_place(found)}{found['severity']}[{found['code']}]: {found['message']}"
        for note in found.get("notes", ()):
            place = _place(note).removesuffix(": ")
            yield f"   = note: {note['message']}" + (f" ({place})" if place else "")
        yield from (f"   = help: {line}" for line in found.get("help", ()))


def _place(found: Any) -> str:
    return f"{found['file']}:{found['line']}:{found['column']}: " if "line" in found else ""


@pytest.mark.parametrize("command", ["run", "upgrade"])
@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.group in ("files", "text", "fields") and c.command[0] == "check"],
    ids=str,
    indirect=True,
)
def test_every_command_tells_it(
    case: Case, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *case.command[1:]]) == case.code
    _, err = capsys.readouterr()
    assert err.rstrip("\n") == case.expected
