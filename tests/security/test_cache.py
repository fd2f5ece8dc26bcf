"""The cache holds machine code: what others can have put there is never run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from netc import cache
from netc.backends.cpu import jit
from netc.diagnostics import NetcWarning
from netc.schema import load
from netc.schema import load as schema_load
from netc.syntax import tables as syntax_tables
from tests.conftest import ROOT
from tests.machines import runnable
from tests.security.texts import net_in, outcome

PLAIN = runnable("plain 1M")  # instructions that every processor has

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX's owners and modes")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETC_CACHE_DIR", str(tmp_path / "cache"))
    cache.write_entry("a", b"one")
    cache.write_entry("b", b"two")
    return tmp_path / "cache"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that is used instead of one that is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    cache._warn.cache_clear()
    yield tmp_path / "home" / "netc"
    cache._warn.cache_clear()


def test_entries_are_bound_to_name_content_and_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.read_entry("a") == b"one"
    good = (folder / "a").read_bytes()
    for bad in (b"", good[:-1], good + b"x", good[:30], b"one", (folder / "b").read_bytes()):
        (folder / "a").write_bytes(bad)
        assert cache.read_entry("a") is None
    for at in range(len(good)):
        (folder / "a").write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert cache.read_entry("a") is None
    (folder / "a").write_bytes(good)
    assert cache.read_entry("a") == b"one"
    monkeypatch.setattr(cache, "_machine", lambda: b"another")
    assert cache.read_entry("a") is None


def test_swapped_and_garbled_kernels_are_compiled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = [jit.spec("moving", "image_to_pixels", channels=c) for c in (241, 242, 243)]
    jit.load(kernels, PLAIN)
    first, second, third = (folder / f"{jit.kernel_key(k, PLAIN)}.o" for k in kernels)
    whole = [path.read_bytes() for path in (first, second, third)]
    shutil.copy(first, folder / "kept")
    shutil.copy(second, first)
    shutil.copy(folder / "kept", second)
    third.write_bytes(whole[2][:-100])
    compiled: list[object] = []
    original = jit._compile

    def compile_(kernel: jit.KernelSpec, target: object) -> bytes:
        compiled.append(kernel)
        return original(kernel, PLAIN)

    monkeypatch.setattr(jit, "_compile", compile_)
    for kernel in kernels:  # as a new process would have it
        assert not jit._load_cached(kernel, PLAIN)
    assert [cache.read_entry(p.name) for p in (first, second, third)] == [None] * 3
    for kernel, path in zip(kernels, (first, second, third), strict=True):
        cache.write_entry(path.name, compile_(kernel, PLAIN))
    assert len(compiled) == 3 and [p.read_bytes() for p in (first, second, third)] == whole


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write_is_refused(
    folder: Path, elsewhere: Path, mode: int
) -> None:
    folder.chmod(mode)
    with pytest.warns(NetcWarning, match="may be written by other users"):
        assert cache.read_entry("a") is None
    cache.write_entry("a", b"three")
    assert (elsewhere / "a").exists() and elsewhere.stat().st_mode & 0o777 == 0o700
    assert cache.read_entry("a") == b"three"
    folder.chmod(0o700)
    assert cache.read_entry("a") == b"one"


@posix
def test_a_folder_of_another_user_is_refused(
    folder: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(cache, "_check", _as_if(owner + 1))
    with pytest.warns(NetcWarning, match="belongs to another user"):
        assert cache.cache_dir() != folder


def _as_if(user: int) -> object:
    """The check as it is for another user in the folder that NETC_CACHE_DIR names."""
    original = cache._check
    given = os.stat(os.environ["NETC_CACHE_DIR"]).st_ino

    def check(status: os.stat_result) -> None:
        if status.st_ino == given:
            fields = list(status)
            fields[4] = user
            status = os.stat_result(fields)
        original(status)

    return check


@posix
def test_where_no_folder_is_safe_one_is_made_for_the_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "netc").mkdir(parents=True)
    for path in (folder, home / "netc"):
        path.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetcWarning)
        found = cache.cache_dir()
        assert found is not None and found not in (folder, home / "netc")
        assert found.stat().st_mode & 0o777 == 0o700
        cache.write_entry("a", b"four")
        assert cache.read_entry("a") == b"four" and cache.cache_dir() == found


@posix
def test_entries_that_are_links_pipes_or_anyones_are_none(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "a").read_bytes()
    (tmp_path / "outside").write_bytes(whole)
    (folder / "a").unlink()
    (folder / "a").symlink_to(tmp_path / "outside")
    assert cache.read_entry("a") is None
    (folder / "a").unlink()
    os.mkfifo(folder / "a")
    assert cache.read_entry("a") is None, "and nobody waits for a writer"
    (folder / "a").unlink()
    (folder / "a").mkdir()
    assert cache.read_entry("a") is None
    (folder / "a").rmdir()
    (folder / "a").write_bytes(whole)
    (folder / "a").chmod(0o666)
    assert cache.read_entry("a") is None
    (folder / "a").chmod(0o600)
    assert cache.read_entry("a") == b"one"


@posix
def test_writing_replaces_a_link_and_not_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    (folder / "c").symlink_to(tmp_path / "mine")
    cache.write_entry("c", b"new")
    assert (tmp_path / "mine").read_text() == "kept"
    assert not (folder / "c").is_symlink() and cache.read_entry("c") == b"new"
    assert not list(folder.glob(".c*")), "no temporary file is left"


def test_a_relative_folder_is_refused(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lie in whatever folder netc is started in, with what is in there already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETC_CACHE_DIR", "below")
    with pytest.warns(NetcWarning, match="no absolute path"):
        assert cache.cache_dir() == elsewhere
    assert not (tmp_path / "below").exists()
    monkeypatch.delenv("NETC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME" if sys.platform != "win32" else "USERPROFILE", str(tmp_path / "h"))
    assert cache.cache_dir() == tmp_path / "h" / ".cache" / "netc"


@posix
def test_the_command_says_so(folder: Path, elsewhere: Path, tmp_path: Path) -> None:
    folder.chmod(0o777)
    load._load.cache_clear()  # another test may have had the schema read: the cache must be asked
    code, out, error = outcome("check", net_in(tmp_path), "--json")
    assert code == 0 and error.count("warning[unsafe-cache]") == 1 and str(folder) in error
    assert "unsafe-cache" not in out and "cache.py" not in error


@pytest.mark.parametrize(
    "garbled", [b"", b"{", b"[]", b"{}", b"7", b"null", b"\xff", b'{"messages": {}, "enums": {}}',
                b'{"messages": {"NetParameter": [[1]]}, "enums": {}, "maps": []}',
                b'{"messages": {"NetParameter": []}, "enums": {"a": 3}, "maps": []}'],
)  # fmt: skip
def test_entries_that_fit_and_make_no_sense(folder: Path, garbled: bytes) -> None:
    """Such as another version of netc could have written under the same name."""
    cache.write_entry("schema-x.json", garbled)
    assert cache.read_entry("schema-x.json") == garbled
    assert schema_load._from_cache("x") is None
    assert syntax_tables._from_json(garbled) is None


def test_they_are_made_again(folder: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "netc", "check", net_in(tmp_path)]
    assert subprocess.run(line, cwd=ROOT, capture_output=True).returncode == 0
    entries = [path.name for path in folder.iterdir() if path.suffix == ".json"]
    assert len(entries) == 2
    for name in entries:
        cache.write_entry(name, b"{}")
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(cache.read_entry(name) != b"{}" for name in entries)
