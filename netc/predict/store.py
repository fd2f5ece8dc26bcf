"""The output of a run: shards written atomically, and a manifest from which a run can be resumed.

An output folder has data files ``part-NUMBER.SUFFIX`` and, in ``_manifest``, a JSON entry for each,
which lists the records of the source it covers and those that could not be read. A data file counts
once its entry exists; files without one, from an interrupted run, are removed when a run begins.
``_manifest/run.json`` describes the run: net, weights, source and options. Output in one file is
kept as such a folder beside it until it is complete.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError
from netc.files import cannot_write, replacing, target_of
from netc.predict.answers import OutputColumn
from netc.predict.decode import FAULT, INDEX, NAME
from netc.predict.formats.base import Columns
from netc.predict.formats.catalog import FORMATS
from netc.predict.lock import FolderLock

_MANIFEST = "_manifest"
_RUN = "run.json"
_NAME = re.compile(r"part-\d{12}")
_LENGTH = len("part-") + 12
_LARGEST = 1 << 28  # bytes of a record of a shard

Range = tuple[int, int]  # records, from the first to before the last
Run = Mapping[str, Any]  # what a run is, as plain values


class Broken(NamedTuple):
    """A record that cannot be read: its number, its name, and the error message."""

    number: int
    name: str
    fault: str


class Shard(NamedTuple):
    """A complete data file: the ranges of its records, its number of rows, and broken records."""

    name: str
    ranges: tuple[Range, ...]
    rows: int
    broken: tuple[Broken, ...]


class Summary(NamedTuple):
    """A complete run: the number of rows written, and the broken records."""

    rows: int
    broken: tuple[Broken, ...]


class Store:
    """The shards of an output; can be pickled, so that workers write their own shards.

    Args:
        target: the output folder, or the output file.
        one_file: whether ``target`` is one file.
        format: the format's name.
        fields: the columns.
    """

    def __init__(
        self, target: Path, one_file: bool, format: str, fields: Sequence[OutputColumn]
    ) -> None:
        self.target = Path(os.path.abspath(target))
        self.one_file, self.format, self.fields = one_file, format, tuple(fields)
        self.folder = (
            self.target.with_name(self.target.name + ".parts") if one_file else self.target
        )
        self._records = self.folder / _MANIFEST
        self._lock: FolderLock | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}  # it is held where the run began

    @property
    def _finished(self) -> Path:
        """The record of an output in one file that is whole."""
        return self.target.with_name(self.target.name + ".manifest.json")

    # Beginning

    def begin(self, run: Run, *, restart: bool = False) -> Summary | None:
        """Prepare the output for a new or resumed run; the summary if it is complete already.

        With ``restart`` what an earlier run wrote is removed first.

        Raises:
            NetcError: other-run, where the output is of another net, source or options;
                output-in-use, where another run is writing it; cannot-write; what the format
                raises for columns that it cannot hold.
        """
        self.release()
        FORMATS[self.format].check(self.fields)
        if self.one_file:
            parent = target_of(self.target).parent
            if not parent.is_dir():
                gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                raise cannot_write(self.target, gone)
        if self.folder.is_dir():
            self._lock = FolderLock(self.folder)
        if restart:
            self._forget()
        if self.one_file and self.target.exists() and self._finished.exists():
            known = _loaded(self._finished)
            self._check(known.get("run"), run, self.target)
            return Summary(known["rows"], tuple(Broken(*b) for b in known["broken"]))
        self._open(run)
        return None

    def _open(self, run: Run) -> None:
        known = self._records / _RUN
        try:
            if known.exists():
                self._check(_loaded(known), run, self.folder)
            elif self.folder.exists() and any(self.folder.iterdir()):
                raise _occupied(self.folder)
            self._records.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock or FolderLock(self.folder)
            _save(known, run)
            self._sweep()
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def release(self) -> None:
        """Release the lock of the output folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check(self, known: object, run: Run, where: Path) -> None:
        plain = json.loads(json.dumps(run))
        if not isinstance(known, dict):
            raise _other(where, "its manifest cannot be read")
        for key in dict.fromkeys([*plain, *known]):
            if plain.get(key) != known.get(key):
                raise _other(where, f"{key}: {_difference(known.get(key), plain.get(key))}")

    def _forget(self) -> None:
        """Remove what an earlier run has written here, and nothing else."""
        for shard in self.done():
            (self._records / f"{shard.name}.json").unlink()
        if (self._records / _RUN).exists():
            self._sweep()
            (self._records / _RUN).unlink()
        with suppress(OSError):
            self._records.rmdir()
        with suppress(OSError):
            self._finished.unlink()

    def _sweep(self) -> None:
        """Remove data files without a record, and files that were being written."""
        whole = {shard.name for shard in self.done()}
        for path in self.folder.iterdir():
            name = path.name.lstrip(".")[:_LENGTH]
            if _NAME.fullmatch(name) and (path.name.startswith(".") or name not in whole):
                path.unlink()

    # Shards

    def done(self, but: Collection[str] = ()) -> list[Shard]:
        """The complete shards in the order of their records, without those named in ``but``."""
        found = []
        if self._records.is_dir():
            for path in sorted(self._records.iterdir()):
                name = _NAME.fullmatch(path.stem) and path.suffix == ".json"
                if name and path.stem not in but:
                    shard = _shard(path.stem, _loaded(path))
                    if shard is not None and self._data(shard.name).exists():
                        found.append(shard)
        return found

    def missing(self, total: int, rows: int) -> list[Range]:
        """The ranges of the ``total`` records still to do, each within one shard of ``rows``."""
        found = []
        last = 0
        done = sorted(r for shard in self.done() for r in shard.ranges)
        for first, stop in [*done, (total, total)]:
            while last < first:
                stop_of_shard = min(first, (last // rows + 1) * rows)
                found.append((last, stop_of_shard))
                last = stop_of_shard
            last = max(last, stop)
        return found

    def write(self, columns: Columns) -> Shard:
        """Write rows as a shard; rows of broken records go into the manifest only.

        Raises:
            NetcError: cannot-write.
        """
        numbers = [int(number) for number in columns[INDEX]]
        good = columns[FAULT] == ""
        broken = tuple(
            Broken(number, columns[NAME][row], columns[FAULT][row])
            for row, number in enumerate(numbers)
            if not good[row]
        )
        shard = Shard(f"part-{min(numbers):012d}", _ranges(numbers), int(good.sum()), broken)
        kept = {field.name: columns[field.name][good] for field in self.fields}
        try:
            with replacing(self._data(shard.name)) as temporary:
                FORMATS[self.format].write(temporary, self.fields, kept)
            _save(self._records / f"{shard.name}.json", shard._asdict())
        except OSError as error:
            raise cannot_write(self.folder, error) from None
        return shard

    def _data(self, name: str) -> Path:
        return self.folder / f"{name}{FORMATS[self.format].suffix}"

    # The end

    def finish(self, run: Run, total: int) -> Summary:
        """Check that each record is covered exactly once; with ``one_file`` join the shards.

        Raises:
            NetcError: cannot-write; incomplete-output, where records are missing or answered twice.
        """
        shards = self.done()
        _check_whole(self.folder, [r for shard in shards for r in shard.ranges], total)
        broken = tuple(b for shard in shards for b in shard.broken)
        summary = Summary(sum(shard.rows for shard in shards), broken)
        if self.one_file:
            parts = [self._data(shard.name) for shard in shards]
            with replacing(self.target) as temporary:
                FORMATS[self.format].join(parts, temporary, self.fields)
            _save(self._finished, {"run": run, **summary._asdict()})
            shutil.rmtree(self.folder)
        return summary


def _check_whole(folder: Path, ranges: Sequence[Range], total: int) -> None:
    last = 0
    for first, stop in sorted(ranges):
        if first != last:
            what = "is answered twice" if first < last else "has no answer"
            message = f"`{folder}`: record {min(first, last)} {what}"
            help = ("--restart begins anew",)
            raise NetcError(Diagnostic("incomplete-output", message, help=help))
        last = stop
    if last != total:
        message = f"`{folder}`: record {last} has no answer"
        raise NetcError(Diagnostic("incomplete-output", message, help=("run it again",)))


def _ranges(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Numbers in any order as ranges."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return tuple((first, last) for first, last in found)


def _shard(name: str, known: Any) -> Shard | None:
    try:
        ranges = tuple((int(first), int(last)) for first, last in known["ranges"])
        broken = tuple(Broken(*entry) for entry in known["broken"])
        return Shard(name, ranges, int(known["rows"]), broken)
    except (KeyError, TypeError, ValueError):
        return None


def _loaded(path: Path) -> Any:
    """A JSON file of the manifest; nothing where it is damaged."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}


def _save(path: Path, value: Mapping[str, object]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _difference(known: object, given: object) -> str:
    """What differs between two values, the first few of it."""
    found = islice(_differing("", known, given), 3)
    pairs = ((f"`{key}` " * bool(key), _short(old), _short(new)) for key, old, new in found)
    return ", ".join(f"{key}{old} and {new}" for key, old, new in pairs)


def _differing(key: str, known: object, given: object) -> Iterator[tuple[str, object, object]]:
    """The innermost key and both values of each difference."""
    if isinstance(known, dict) and isinstance(given, dict):
        for name in dict.fromkeys([*known, *given]):
            yield from _differing(name, known.get(name), given.get(name))
    elif isinstance(known, list) and isinstance(given, list) and len(known) == len(given):
        pairs = list(zip(known, given, strict=True))
        if all(isinstance(value, dict) for pair in pairs for value in pair):
            for old, new in pairs:
                yield from _differing(key, old, new)
        elif known != given:
            yield key, known, given
    elif known != given:
        yield key, known, given


def _short(value: object) -> str:
    if value is None:
        return "not said"
    if isinstance(value, str) and len(value) == 64:  # a file's SHA-256
        return f"{value[:12]}..."
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _other(where: Path, why: str) -> NetcError:
    help = ("--restart begins anew and overwrites it", "name another output with -o")
    return NetcError(
        Diagnostic("other-run", f"`{where}` has answers of another run: {why}", help=help)
    )


def _occupied(folder: Path) -> NetcError:
    message = f"`{folder}` has files in it that no run of `netc predict` has written"
    help = ("name a folder that is empty or not there yet",)
    return NetcError(Diagnostic("cannot-write", message, help=help))


def iterate(ranges: Sequence[Range], rows: int) -> Iterator[Range]:
    """Split ranges into parts of at most ``rows`` records."""
    for first, last in ranges:
        for start in range(first, last, rows):
            yield start, min(last, start + rows)
