"""``include``: what it brings in, and what it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netc.frontend import read_net
from tests.language.texts import INPUT, expanded, fault

BLOCK = "module block(): x -> y { y = x -> conv(1) }\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.netc"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def test_modules_parameters_and_layers_come_in(tmp_path: Path) -> None:
    write(tmp_path, blocks="param n = 4\n" + BLOCK, head="data -> block -> fc(n)")
    text = 'include "blocks.netc"\n' + INPUT + 'include "head.netc"\n-> relu'
    assert 'name: "conv1"' in expanded(text, folder=tmp_path)
    assert "num_output: 7" in expanded(text, {"n": 7}, folder=tmp_path)


def test_a_file_is_included_once_also_by_another_way(tmp_path: Path) -> None:
    write(tmp_path, a='include "b.netc"\n', b='include "a.netc"\n' + BLOCK, sub__c=BLOCK)
    text = 'include "a.netc"\ninclude "b.netc"\ninclude "./a.netc"\n' + INPUT + "-> block"
    assert expanded(text, folder=tmp_path).count("Convolution") == 1


def test_paths_start_at_the_file_they_stand_in(tmp_path: Path) -> None:
    write(tmp_path, sub__a='include "b.netc"\n', sub__b=BLOCK)
    assert expanded('include "sub/a.netc"\n' + INPUT + "-> block", folder=tmp_path)


def test_a_fault_in_an_included_file_names_it_and_the_include(tmp_path: Path) -> None:
    write(tmp_path, sub__a="data -> conv(oops)\n")
    found = fault(INPUT + 'include "sub/a.netc"\n-> relu', folder=tmp_path)
    assert found.span and found.span.source.name == str(Path("sub/a.netc"))
    assert found.span.used_at and str(found.span.used_at) == "t.netc:2:9"


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("../a.netc", "goes up by `..`"),
        ("sub/../../a.netc", "goes up by `..`"),
        ("sub/../a.netc", "goes up by `..`"),
        ("/etc/passwd", "leads out"),
        ("link.netc", "a link that leads out"),
        ("away/a.netc", "a link that leads out"),
        ("missing.netc", "there is no file"),
        ("sub", "there is no file"),
        ("", "no file's path"),
        ("a\\\\b.netc", "no file's path"),
        ("a\\000b", "no file's path"),
        ("pipe", "there is no file"),
        ("loop", "cannot be found"),
        ("x" * 5000, "cannot be found"),
    ],
)
def test_what_is_refused(tmp_path: Path, path: str, part: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside, a=BLOCK)
    folder = tmp_path / "net"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.netc").symlink_to(outside / "a.netc")
    (folder / "away").symlink_to(outside)
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    found = fault(INPUT + f'include "{path}"\n-> relu', folder=folder)
    assert found.code == "bad-include"
    assert part in found.message or part == "cannot be found"
    assert found.span and (found.span.line, found.span.column) == (2, 9)


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path, a=BLOCK)
    (tmp_path / "b.netc").symlink_to(tmp_path / "a.netc")
    assert expanded('include "b.netc"\ninclude "a.netc"\n' + INPUT + "-> block", folder=tmp_path)


def test_a_text_from_no_file_includes_nothing() -> None:
    assert fault('include "a.netc"\n-> relu').code == "bad-include"


def test_includes_have_a_depth(tmp_path: Path) -> None:
    for i in range(20):
        write(tmp_path, **{f"f{i}": f'include "f{i + 1}.netc"\n'})
    write(tmp_path, f20=BLOCK)
    assert fault('include "f0.netc"\n-> relu', folder=tmp_path).code == "too-deep"


def test_a_net_read_from_a_path_includes_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path, blocks=BLOCK, net='include "blocks.netc"\n' + INPUT + "-> block")
    assert len(read_net(tmp_path / "net.netc").message.get("layer")) == 2
