"""Cases of bad input: files, a command and the text that a person then reads.

A file of ``cases/`` holds many, each like this::

    === what is wrong
    $ check net.prototxt
    --- net.prototxt
    layer { nam: "x" }
    --- expected
    net.prototxt:1:9: error[unknown-field]: ...

A file's name may be followed by how it is made of the lines below it, as in
``--- net.prototxt (gzip)``; see ``MAKERS``. ``--- expected 2`` is another exit code than 1.
``NETC_WRITE_CASES=1 pytest tests/errors`` writes what is printed now in the place of what was
expected; read the difference before you commit it.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from netc.weights import load_weights, save_weights

FOLDER = Path(__file__).parent / "cases"


@dataclass
class Case:
    """A command on files, and what it prints."""

    group: str
    title: str
    command: list[str]
    files: dict[str, tuple[str, str]]  # name -> how it is made, of what text
    expected: str
    code: int = 1

    def __str__(self) -> str:
        return f"{self.group}: {self.title}"

    def write_files(self, folder: Path) -> None:
        """Make the case's files."""
        for name, (maker, text) in self.files.items():
            MAKERS[maker](folder / name, text)

    def written(self) -> str:
        """The case as it stands in its file."""
        lines = [f"=== {self.title}", f"$ {' '.join(self.command)}"]
        for name, (maker, text) in self.files.items():
            lines += [f"--- {name}" + (f" ({maker})" if maker != "text" else ""), text.rstrip("\n")]
        lines += ["--- expected" + (f" {self.code}" if self.code != 1 else ""), self.expected]
        return "\n".join(line for line in lines if line) + "\n"


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of a file."""
    _, *parts = ("\n" + path.read_text(encoding="utf-8")).split("\n=== ")
    for part in parts:
        head, *sections = part.rstrip("\n").split("\n--- ")
        title, command = head.split("\n$ ")
        files: dict[str, tuple[str, str]] = {}
        for section in sections[:-1]:
            first, _, text = section.partition("\n")
            name, _, maker = first.partition(" (")
            files[name] = (maker.rstrip(")") or "text", text + "\n" if text else "")
        first, _, expected = sections[-1].partition("\n")
        assert first.startswith("expected"), (path, title)
        code = int(first.removeprefix("expected") or 1)
        yield Case(path.stem, title, command.split(), files, expected, code)


def all_cases() -> list[Case]:
    """Every case of every file."""
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]


def write_cases(cases: list[Case]) -> None:
    """Write cases over the files they came from."""
    for group in {case.group for case in cases}:
        texts = [case.written() for case in cases if case.group == group]
        (FOLDER / f"{group}.txt").write_text("\n".join(texts), encoding="utf-8")


# How files are made.


def _arrays(text: str) -> dict[str, list[Any]]:
    """``name: 4x3x3x3, 4`` a line -> arrays of ones; ``scalar`` is an array of no axes."""
    found: dict[str, list[Any]] = {}
    for line in text.splitlines():
        name, _, shapes = line.rpartition(":")
        sizes = [s.strip() for s in shapes.split(",")]
        found[name] = [
            np.ones([] if s == "scalar" else [int(n) for n in s.split("x")], np.float32)
            for s in sizes
            if s
        ]
    return found


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _cut(path: Path, text: str) -> None:
    """Text without its last line end."""
    _text(path, text.rstrip("\n"))


def _latin1(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))


def _weights(path: Path, text: str) -> None:
    save_weights(path, _arrays(text))


def _truncated(path: Path, text: str) -> None:
    """Weights without their last 20 bytes."""
    _weights(path, text)
    path.write_bytes(path.read_bytes()[:-20])
    assert load_weights


def _array(path: Path, text: str) -> None:
    """``float32 1x3x8x8`` as an .npy file."""
    dtype, shape = text.split()
    np.save(path, np.ones([int(n) for n in shape.split("x")], dtype))


def _arrays_file(path: Path, text: str) -> None:
    np.savez(path, **{name: arrays[0] for name, arrays in _arrays(text).items()})


def _image(path: Path, text: str) -> None:
    """``8x8`` as a grey image."""
    from PIL import Image

    height, width = (int(n) for n in text.split("x"))
    Image.new("L", (width, height), 128).save(path)


def _torch(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(text))
        archive.writestr("model/version", "3\n")


def _binary(path: Path, text: str) -> None:
    path.write_bytes(bytes.fromhex(text))


def _folder(path: Path, text: str) -> None:
    path.mkdir()
    (path / "net.prototxt").write_text(text, encoding="utf-8")


def _locked(path: Path, text: str) -> None:
    """A file that nobody may read."""
    _text(path, text)
    path.chmod(0)


def _sealed(path: Path, text: str) -> None:
    """A folder that nobody may write to."""
    path.mkdir()
    path.chmod(0o555)


def _deep(path: Path, text: str) -> None:
    """``NUMBER OPEN CLOSE``: a text that many levels deep."""
    number, opening, closing = text.split()
    _text(path, opening * int(number) + closing * int(number))


def _long(path: Path, text: str) -> None:
    """``NUMBER TEXT``: the text as many times."""
    number, _, piece = text.strip("\n").partition(" ")
    _text(path, f"{piece}\n" * int(number))


def _gzip(path: Path, text: str) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", fileobj=buffer, mtime=0) as file:
        file.write(text.encode())
    path.write_bytes(buffer.getvalue())


MAKERS: Mapping[str, Callable[[Path, str], None]] = {
    "text": _text,
    "cut off": _cut,
    "latin-1": _latin1,
    "gzip": _gzip,
    "weights": _weights,
    "truncated weights": _truncated,
    "array": _array,
    "arrays": _arrays_file,
    "image": _image,
    "torch": _torch,
    "hex": _binary,
    "folder": _folder,
    "locked": _locked,
    "sealed folder": _sealed,
    "deep": _deep,
    "long": _long,
}
