"""Damaged databases and archives: an error that names them, and never the process's end."""

from __future__ import annotations

import mmap
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netc.diagnostics import NetcError
from netc.predict.records.tar import TarRecords
from netc.sources import trial
from netc.sources.mapped import Probe
from tests.sources.test_databases import make, opened

PAGE = 4096


def fault(path: Path) -> str:
    with pytest.raises(NetcError) as error:
        opened(path)(0)
    return error.value.diagnostics[0].message


def test_an_lmdb_that_was_cut_off(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    make(tmp_path / "db", 1)
    file = tmp_path / "db" / "data.mdb"
    os.truncate(file, file.stat().st_size - PAGE)
    assert "cannot be read as a database (LMDB)" in fault(tmp_path / "db")


@pytest.mark.parametrize(("byte", "value"), [(1, 0x20), (3, 0x40), (4, 1), (7, 0xFF)])
def test_an_lmdb_of_which_a_node_is_damaged(tmp_path: Path, byte: int, value: int) -> None:
    """A record of 8 KB or a gigabyte, one that lies on pages of its own, a key of 64 KB."""
    pytest.importorskip("lmdb")
    make(tmp_path / "db", 1)
    file = tmp_path / "db" / "data.mdb"
    data = bytearray(file.read_bytes())
    at = data.rindex(b"00000000_") - 8  # a node: size (4 bytes), flags (2), the key's size (2), key
    data[at + byte] = value
    file.write_bytes(data)
    assert "cannot be read as a database (LMDB)" in fault(tmp_path / "db")


def test_an_lmdb_that_ends_the_process_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lmdb")
    make(tmp_path / "db", 1)
    monkeypatch.setattr(trial, "_SCRIPT", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert "its pages are damaged" in fault(tmp_path / "db")
    monkeypatch.setattr(trial, "_SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(trial, "_AT_LEAST", 0.01)
    assert "not gone through" in fault(tmp_path / "db")


def test_keys_of_which_there_are_more_than_the_database_says(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    make(tmp_path / "db", 1)
    file = tmp_path / "db" / "data.mdb"
    data = bytearray(file.read_bytes())
    for page in (0, PAGE):  # of the two heads the newer one counts; 3 entries are in one of them
        at = data.find((3).to_bytes(8, "little"), page, page + 200)
        if at >= 0:
            data[at] = 2
    file.write_bytes(data)
    assert "keys are damaged behind record 2" in fault(tmp_path / "db")


@pytest.mark.skipif(not hasattr(os, "writev"), reason="asking the kernel takes writev")
def test_the_probe_says_what_can_be_read(tmp_path: Path) -> None:
    probe = Probe()
    probe.check(memoryview(bytes(3 * PAGE + 1)))
    probe.check(memoryview(b""))
    file = tmp_path / "mapped"
    file.write_bytes(bytes(4 * PAGE))
    with file.open("r+b") as opened_file, mmap.mmap(opened_file.fileno(), 0) as mapped:
        view = memoryview(mapped)
        probe.check(view)
        os.truncate(file, PAGE)
        probe.check(view[:PAGE])
        with pytest.raises(ValueError, match="behind the end of the file"):
            probe.check(view[PAGE - 1 :])
        view.release()
    probe.check(memoryview(b"x" * 99))


@pytest.mark.parametrize(("keep", "told"), [(None, ""), (512, ""), (1500, "damaged")])
def test_a_tar_whose_later_entry_is_damaged(tmp_path: Path, keep: int | None, told: str) -> None:
    """The end of an archive is blocks of zeros, or the file's end; all else is told."""
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "a.png")
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("a.png", "b.png"):
            archive.add(tmp_path / "a.png", name)
    if keep == 512:  # both entries, and no block of zeros
        os.truncate(path, 2 * 1024)
    elif keep is not None:  # the second entry's checksum does not fit
        data = bytearray(path.read_bytes())
        data[1024 + 20] ^= 0xFF
        path.write_bytes(data)
    if told:
        with pytest.raises(NetcError, match=told):
            TarRecords(str(path))
    else:
        assert len(TarRecords(str(path))) == 2
