"""Documents say what is so: their commands are netc's, and those of the guides are run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from netc.cli.main import COMMANDS, parsers
from netc.data import prototxt_dir
from tests.docs.blocks import DOCUMENTS, ROOT, commands, try_document

GUIDES = (
    *("tutorial.md", "migration.md", "features.md", "faq.md", "training.md", "surgery.md"),
    "predict.md",
    "serving.md",
)
PACKAGES = {
    "training.md": ("lmdb", "matplotlib"),
    "tutorial.md": ("onnx",),
    "migration.md": ("onnx",),
}
"""What a guide tells its reader to install."""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_is_one_that_netc_takes(path: Path) -> None:
    for line, words in commands(path):
        if len(words) == 1 or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, f"{path.name}:{line}: {' '.join(words)}"
        parser, _ = parsers(words[1])
        try:
            _, unknown = parser.parse_known_args(words[1:])
        except SystemExit as stop:
            pytest.fail(f"{path.name}:{line}: `{' '.join(words)}` gives exit code {stop.code}")
        assert not unknown, f"{path.name}:{line}: `{' '.join(words)}` has no {unknown}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_in_running_text_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for command, rest in re.findall(r"`netc ([a-z]+)((?: [^`\n]*)?)`", text):
        assert command in COMMANDS, f"{path.name}: netc {command}"
        _, subs = parsers(command)
        known = {o for action in subs[command]._actions for o in action.option_strings}
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest):
            assert option in known, f"{path.name}: `netc {command}{rest}` names {option}"


@pytest.mark.parametrize("name", GUIDES)
def test_the_guides_can_be_followed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES.get(name, ()):
        pytest.importorskip(package, reason=f"{name} uses {package}")
    monkeypatch.chdir(tmp_path)
    # A reader may have followed the guide here before: what it makes is not copied.
    made = shutil.ignore_patterns("*_lmdb", "*_iter_*")
    shutil.copytree(prototxt_dir() / "digits", tmp_path / "digits", ignore=made)
    try_document(ROOT / "docs" / name)


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links {target}"


def test_the_readme_links_every_document() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in DOCUMENTS if path.name != "README.md"]
    missing = [name for name in names if f"docs/{name}" not in text]
    assert missing == []
