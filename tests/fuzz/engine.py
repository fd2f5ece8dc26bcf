"""Files with something changed, what must hold of each, and the smallest that breaks it.

A find is a file in ``finds/<target>/``: it is made as small as it can be, written there, and is a
test from then on.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netc.diagnostics import NetcError, render
from netc.printable import printable

FINDS = Path(__file__).parent / "finds"
_TRIES = 400  # to make a find smaller

Mutate = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A kind of file that strangers give.

    Args:
        name: of its folder in ``finds``.
        seeds: files that are right, or nearly.
        attempt: what must hold of every file: raises where it does not.
        mutate: makes another file of one.
        runs: how many are tried where no time is given.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    attempt: Callable[[bytes], None]
    mutate: Mutate
    runs: int = 200


@dataclass
class Found:
    """What broke, as small as it could be made."""

    data: bytes
    error: BaseException
    seen: set[str] = field(default_factory=set)


def explore(
    target: Target, seconds: float, seed: int, current: Path | None = None
) -> Iterator[Found]:
    """Every kind of failure that is met, each once.

    Args:
        target: what is tried.
        seconds: how long; 0 for the target's own number of files, the same in every run.
        seed: of the changes.
        current: where each file is written before it is tried, so that it is there after a crash.
    """
    rng, seeds = random.Random(seed), list(target.seeds())
    end, seen, count = time.monotonic() + seconds, set[str](), 0
    while time.monotonic() < end if seconds else count < target.runs:
        count += 1
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 3, 5))):
            data = target.mutate(rng, data)
        if current is not None:
            current.write_bytes(data)
        error = failure(target, data)
        if error is not None and kind(error) not in seen:
            seen.add(kind(error))
            small = smallest(target, data, kind(error))
            yield Found(small, failure(target, small) or error)


def failure(target: Target, data: bytes) -> Exception | None:
    """What trying a file raises."""
    try:
        target.attempt(data)
    except Exception as error:
        return error
    return None


def kind(error: BaseException) -> str:
    """Where an error came from: two of one kind are one fault."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "netc" in code.co_filename:
            place = f"{Path(code.co_filename).name}:{code.co_name}"
        trace = trace.tb_next
    return f"{type(error).__name__} {place}"


def smallest(target: Target, data: bytes, wanted: str) -> bytes:
    """The file without every part that it fails without in the same way."""
    size, tries = max(1, len(data) // 2), 0
    while size and tries < _TRIES:
        at, shorter = 0, False
        while at < len(data) and tries < _TRIES:
            tries += 1
            candidate = data[:at] + data[at + size :]
            error = failure(target, candidate)
            if error is not None and kind(error) == wanted:
                data, shorter = candidate, True
            else:
                at += size
        size = size if shorter and size > 1 else size // 2
    return data


def keep(target: Target, data: bytes) -> Path:
    """Write a find where it is a test from now on."""
    folder = FINDS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    return path


def told(error: NetcError) -> None:
    """What a person reads must be there, on printable lines."""
    assert error.diagnostics
    for diagnostic in error.diagnostics:
        assert diagnostic.code and diagnostic.message
        assert all(printable(line) == line for line in render(diagnostic).split("\n"))


# Changes

_BYTES = (
    b"\0", b"\xff", b"\x7f", b"\x80", bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\n",
    b"\x80" * 9 + b"\x01", b"\x00\x00\x80\x7f", b"PK\x03\x04",
)  # fmt: skip


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    """A file with some bytes set, cut, put in, doubled or moved."""
    at = rng.randrange(len(data) + 1)
    length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(data) - at)
    part = data[at : at + length]
    kind = rng.randrange(8)
    if kind == 0 and part:
        return data[:at] + bytes([part[0] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        word = rng.choice(_BYTES)
        return data[:at] + word + data[at + len(word) :]
    if kind == 4:
        return data[:at] + rng.choice(_BYTES) + data[at:]
    if kind == 5:
        return data[:at] + part * rng.choice((2, 3, 40)) + data[at + length :]
    if kind == 6:
        return data[:at] if rng.random() < 0.3 else data[:at] + part + data[at:]
    other = rng.randrange(len(data) + 1)
    return data[:other] + part + data[other:]


_NUMBERS = ("0", "1", "2", "3", "5", "-1", "-2", "7", "2147483647", "-2147483648", "4294967295",
            "4294967296", "18446744073709551615", "1e400", "-1e400", "inf", "-inf", "nan", "1e-45",
            "1e38", "0.5", "1.5", "0x10", "017", "true", "false", "64", "300")  # fmt: skip
_WORDS = (
    "{", "}", '"', "'", ":", "#", "\n", "[", "]", ",", ";", "<", ">", "\\", "\0", "layer {", "->",
    "..", "$", "*", "(", ")", "é", "\u202e", "repeat i in 0..3 {", "let a = ", "module ",
    "include ", "input ", "/", "//", '""', "top: ", "bottom: ", "name: ", "type: ",
)  # fmt: skip


def change_text(rng: random.Random, data: bytes) -> bytes:
    """A text with a number, a word or a line changed; now and then bytes."""
    text = data.decode("utf-8", "surrogateescape")
    places = [at for at, char in enumerate(text) if char.isdigit()]
    kind = rng.randrange(9)
    if kind < 4 and places:
        at = rng.choice(places)
        start = end = at
        while start and (text[start - 1].isdigit() or text[start - 1] in ".-"):
            start -= 1
        while end < len(text) and (text[end].isdigit() or text[end] in ".eE"):
            end += 1
        text = text[:start] + rng.choice(_NUMBERS) + text[end:]
    elif kind < 6:
        words = text.split(" ")
        at, other = rng.randrange(len(words)), rng.randrange(len(words))
        new = rng.choice(((), (rng.choice(_WORDS),), (words[other],), (words[at],) * 2))
        text = " ".join([*words[:at], *new, *words[at + 1 :]])
    elif kind < 8:
        lines = text.split("\n")
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        new = rng.choice(((), (lines[other],), (lines[at],) * 2, (lines[at], lines[other])))
        text = "\n".join([*lines[:at], *new, *lines[at + 1 :]])
    else:
        return change_bytes(rng, data)
    return text.encode("utf-8", "surrogateescape")


_WHOLE = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "-1", "-2", "16", "2147483647", "100000")
_REAL = ("0.0", "1.0", "0.5", "-0.5", "2.0", "1e-5", "-1.0", "inf", "nan", "1e38", "3.25", "1e-45")
_NUMBER = re.compile(r"(?<=[: ])-?\d+(\.\d*)?(e[-+]?\d+)?(?=[\s},])")
_TOP = re.compile(r'top: *"([^"]*)"')
_LAYERS = (
    'type: "ReLU"', 'type: "ReLU" relu_param { negative_slope: 0.1 }', 'type: "TanH"',
    'type: "Sigmoid"', 'type: "AbsVal"', 'type: "Power" power_param { power: 2 shift: 1 }',
    'type: "Dropout"', 'type: "BatchNorm"', 'type: "Scale" scale_param { bias_term: true }',
    'type: "Bias"', 'type: "LRN" lrn_param { local_size: 3 alpha: 0.1 }', 'type: "Softmax"',
    'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', 'type: "ELU"', 'type: "Flatten"',
    'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 pad: 1 }', 'type: "MVN"',
    'type: "Pooling" pooling_param { pool: AVE global_pooling: true }', 'type: "Exp"',
    'type: "Convolution" convolution_param { num_output: 3 kernel_size: 3 pad: 1 }',
    'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 }', 'type: "PReLU"',
    'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 2 stride: 2 }',
    'type: "InnerProduct" inner_product_param { num_output: 4 }', 'type: "Reduction"',
    'type: "Permute" permute_param { order: 0 order: 2 }', 'type: "ArgMax"', 'type: "Normalize"',
    'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }',
    'type: "SPP" spp_param { pyramid_height: 2 }', 'type: "Tile" tile_param { tiles: 2 }',
    'type: "Interp" interp_param { height: 5 width: 4 }', 'type: "Threshold"', 'type: "Reverse"',
)  # fmt: skip
_JOINS = ('type: "Eltwise"', 'type: "Concat"', 'type: "Eltwise" eltwise_param { operation: MAX }',
          'type: "Eltwise" eltwise_param { operation: PROD }', 'type: "Crop"')  # fmt: skip


def change_net(rng: random.Random, data: bytes) -> bytes:
    """A net with a number of the same kind in another's place, or a layer more; or as a text."""
    text = data.decode("utf-8", "surrogateescape")
    kind, tops = rng.random(), _TOP.findall(text)
    places = list(_NUMBER.finditer(text))
    if kind < 0.5 and places:
        at = rng.choice(places)
        chosen = _REAL if at[1] or at[2] else _WHOLE
        new = rng.choice(chosen[:8] if rng.random() < 0.7 else chosen)
        return (text[: at.start()] + new + text[at.end() :]).encode("utf-8", "surrogateescape")
    if kind < 0.9 and tops:
        name, joined = f"n{len(tops)}", rng.random() < 0.25
        layer = rng.choice(_JOINS if joined else _LAYERS)
        bottoms = " ".join(f'bottom: "{rng.choice(tops)}"' for _ in range(1 + joined))
        top = rng.choice(tops) if rng.random() < 0.2 else name
        line = f'\nlayer {{ name: "{name}" {layer} {bottoms} top: "{top}" }}\n'
        return data + line.encode("utf-8", "surrogateescape")
    return change_text(rng, data)
