"""Lists of pictures with labels: what is read, and what is told of a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.cli.main import main
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontend import read_net
from netc.lower.rules import NetState
from netc.memory import Budget, using
from netc.sources.catalog import open_sources
from netc.sources.lists import read_list


def bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-record", message))


def lines(folder: Path, text: str) -> list[tuple[int, str, int]]:
    path = folder / "list.txt"
    path.write_text(text, encoding="utf-8")
    return [tuple(line) for line in read_list(path, bad)]


def test_what_is_read(tmp_path: Path) -> None:
    text = "a b.png 3\n\n  \nc.png\t-1\r\nd.png +2"
    assert lines(tmp_path, text) == [(1, "a b.png", 3), (4, "c.png", -1), (5, "d.png", 2)]


@pytest.mark.parametrize("label", ["+-5", "²", "٣", "1.5", "x", "1e3", "", "9" * 50, "2147483648"])
def test_labels_are_whole_numbers_of_32_bits(tmp_path: Path, label: str) -> None:
    with pytest.raises(NetcError, match="line 3 "):
        lines(tmp_path, f"a.png 1\n\nb.png {label}\n")


def test_labels_of_archives_have_32_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "a.npz"
    np.savez(archive, data=np.zeros((2, 1, 2, 2), np.uint8), label=np.array([1, 1 << 40]))
    assert main(["data", "make", str(archive), "-o", str(tmp_path / "a.h5")]) == 1
    assert "`label` 1 is 1099511627776" in capsys.readouterr().err


def test_a_picture_is_told_by_its_line_blank_ones_counted(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n\nnone.png 1\n")
    text = """layer { name: "d" type: "ImageData" top: "d" top: "l"
        image_data_param { source: "list.txt" batch_size: 1 } }"""
    found = open_sources(read_net(Source("n", text)).message, NetState("TRAIN"), tmp_path)
    assert found is not None
    with pytest.raises(NetcError, match="line 3 of"):
        found(0)


@pytest.mark.parametrize("size", [2_000_000_000, 1_500_000_000])
def test_a_batch_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "list.txt").write_text("none.png 1\n")
    text = f"""layer {{ name: "d" type: "ImageData" top: "d" top: "l"
        image_data_param {{ source: "list.txt" batch_size: {size} }} }}"""
    with using(Budget(1 << 30)), pytest.raises(NetcError) as caught:
        open_sources(read_net(Source("n", text)).message, NetState("TRAIN"), tmp_path)
    found = caught.value.diagnostics[0]
    assert (found.code, found.span and found.span.line) == ("too-little-memory", 2)
    assert f"{size:,} records of a batch" in found.message
