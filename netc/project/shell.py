"""The commands of Caffe's tools in a shell script, with netc's command for each.

Nothing is run: lines are split into words as a shell does it, and variables stay as they are
written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netc.project.scripts import ScriptCall

_LONGEST = 200  # characters of a command that are shown
_ENDS = re.compile(r"[|;&)]|&&|\|\||\d?[<>].*|`")  # a word that ends a command's arguments
_CAFFE = re.compile(r"caffe(?:\.bin|\.exe|-d)?")
_VERBS = ("train", "test", "time", "device_query")
_VARIABLE = re.compile(r"\$\{?\w+\}?")
_FLAG = re.compile(r"--?([A-Za-z]\w*)(?:=(.*))?", re.DOTALL)
_SWITCHES = frozenset(
    {
        "shuffle",
        "gray",
        "encoded",
        "check_size",
        "logtostderr",
        "alsologtostderr",
        "lt",
        "forward_only",
    }
)  # flags that take no word after them
_NAMING = frozenset({"solver", "model", "weights", "snapshot"})


class _Arguments(NamedTuple):
    """A tool's arguments: flags by name, and the others in order."""

    flags: Mapping[str, str]
    others: Sequence[str]

    def option(self, flag: str) -> str:
        """A flag as the option of netc's command; empty where it is not given."""
        value = self.flags.get(flag)
        return f" --{flag.replace('_', '-')} {value}" if value else ""

    def switch(self, flag: str) -> str:
        """A flag without a value, where it is set."""
        on = self.flags.get(flag, "false").lower() in ("", "true", "1")
        return f" --{flag}" if on else ""

    def other(self, index: int, instead: str) -> str:
        """An argument by its place, or a word that stands for it."""
        return self.others[index] if index < len(self.others) else instead


def shell_calls(text: str) -> Iterator[ScriptCall]:
    """The commands of Caffe's tools, in order; comments are none."""
    for number, line in _lines(text):
        words = _words(line)
        for index, word in enumerate(words):
            tool = re.sub(r"\.(?:bin|exe)$", "", re.split(r"[/\\]", word)[-1])
            rest = _command(words[index + 1 :])
            if rest and rest[0] in _VERBS and _is_caffe(word, rest):
                made = _OF_CAFFE[rest[0]](_arguments(rest[1:]))
            elif tool in _TOOLS:
                made = _TOOLS[tool](_arguments(rest))
            else:
                continue
            written = " ".join([tool if tool in _TOOLS else word, *rest])
            yield ScriptCall(number, written[:_LONGEST], made.strip(), tool not in _WITHOUT)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that continue them, each with the number of the first."""
    first, parts = 1, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not parts:
            first = number
        if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line.rstrip()[:-1])
            continue
        yield first, " ".join([*parts, line])
        parts = []
    if parts:
        yield first, " ".join(parts)


def _words(line: str) -> list[str]:
    """Words without their quotes; a quoted command, as in ``sh -c "..."``, is taken apart too."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>()")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        words = line.partition("#")[0].split()
    return [part for word in words for part in (word.split() if " train " in word else [word])]


def _command(words: Sequence[str]) -> list[str]:
    """The words up to where a command ends."""
    end = next((i for i, word in enumerate(words) if _ENDS.fullmatch(word)), len(words))
    return list(words[: end - 1] if end and words[end - 1] == "2" else words[:end])


def _is_caffe(word: str, rest: Sequence[str]) -> bool:
    """Whether a word is Caffe's tool, by its name or as a variable with such arguments."""
    if _CAFFE.fullmatch(re.split(r"[/\\]", word)[-1]):
        return True
    variable = _VARIABLE.fullmatch(re.split(r"[/\\]", word)[-1]) is not None
    return variable and bool(_NAMING & _arguments(rest[1:]).flags.keys())


def _arguments(words: Sequence[str]) -> _Arguments:
    flags: dict[str, str] = {}
    others: list[str] = []
    waiting = ""
    for word in words:
        found = _FLAG.fullmatch(word)
        if found is None:
            if waiting:
                flags[waiting] = _quoted(word)
            else:
                others.append(_quoted(word))
            waiting = ""
        else:
            flags[found[1]] = _quoted(found[2] or "")
            waiting = "" if found[2] is not None or found[1] in _SWITCHES else found[1]
    return _Arguments(flags, others)


def _quoted(word: str) -> str:
    """As it is written in a command: variables still stand for their values."""
    return f'"{word}"' if re.search(r"\s", word) else word


def _train(given: _Arguments) -> str:
    command = f"netc train {given.flags.get('solver') or 'SOLVER'}"
    command += given.option("weights") + given.option("snapshot") + _state(given)
    command += given.option("sigint_effect")
    command += given.option("sighup_effect")
    several = given.flags.get("gpu", "").count(",") + 1
    if several > 1 or given.flags.get("gpu") == "all":
        number = "N" if several == 1 else str(several)
        command = f"mpiexec -n {number} {command} --distributed mpi --batch per-rank"
    return _device(given, command)


def _test(given: _Arguments) -> str:
    command = f"netc test {given.flags.get('model') or 'NET'}"
    command += given.option("weights") or " --weights W"
    return _device(given, command + given.option("iterations") + _state(given))


def _time(given: _Arguments) -> str:
    command = f"netc time {given.flags.get('model') or 'NET'}" + given.option("weights")
    command += given.option("iterations") + given.option("phase") + _state(given)
    return _device(given, command)


def _state(given: _Arguments) -> str:
    """The net's level and stages."""
    stages = [stage for stage in given.flags.get("stage", "").split(",") if stage]
    return given.option("level") + "".join(f" --stage {stage}" for stage in stages)


def _device(given: _Arguments, command: str) -> str:
    """On a GPU where the script says so: the first, or the one that is named."""
    gpu = given.flags.get("gpu", "")
    if not gpu:
        return command
    chosen = "" if gpu in ("0", "all") or "," in gpu else f"CUDA_VISIBLE_DEVICES={gpu} "
    return f"{chosen}{command} --backend cuda"


def _convert_imageset(given: _Arguments) -> str:
    high, wide = (given.flags.get(f"resize_{axis}") or "0" for axis in ("height", "width"))
    resize = "" if "0" in (high, wide) else f" --resize {high}x{wide}"
    switches = "".join(given.switch(name) for name in ("gray", "encoded", "shuffle"))
    listed, database = given.other(1, "LIST"), given.other(2, "DATABASE")
    return (
        f"netc data make {listed} --root {given.other(0, 'FOLDER')} -o {database}{resize}{switches}"
    )


def _mean(given: _Arguments) -> str:
    return f"netc data mean {given.other(0, 'DATABASE')} -o {given.other(1, 'mean.binaryproto')}"


def _upgrade(suffix: str) -> Callable[[_Arguments], str]:
    def command(given: _Arguments) -> str:
        old, new = given.other(0, f"OLD{suffix}"), given.other(1, f"NEW{suffix}")
        return f"netc upgrade {old} -o {new}"

    return command


def _features(given: _Arguments) -> str:
    blobs = "".join(f" --output {blob}" for blob in given.other(2, "BLOB").split(","))
    return (
        f"netc run {given.other(1, 'NET')} -w {given.other(0, 'W')} -i FOLDER{blobs} "
        "--save features.npz"
    )


def _converted(given: _Arguments) -> str:
    return (
        "write `data` and `label` as FILE.npz with NumPy, then netc data make FILE.npz -o DATABASE"
    )


_OF_CAFFE: Mapping[str, Callable[[_Arguments], str]] = {
    "train": _train, "test": _test, "time": _time, "device_query": lambda given: "netc devices",
}  # fmt: skip
_WITHOUT: Mapping[str, Callable[[_Arguments], str]] = {
    "convert_mnist_data": _converted,
    "convert_cifar_data": _converted,
    "convert_mnist_siamese_data": _converted,
}
_TOOLS: Mapping[str, Callable[[_Arguments], str]] = {
    "convert_imageset": _convert_imageset,
    "compute_image_mean": _mean,
    "upgrade_net_proto_text": _upgrade(".prototxt"),
    "upgrade_net_proto_binary": _upgrade(".caffemodel"),
    "upgrade_solver_proto_text": _upgrade(".prototxt"),
    "extract_features": _features,
    "draw_net.py": lambda given: (
        f"netc draw {given.other(0, 'NET')} -o {given.other(1, 'net.png')}"
    ),
    "parse_log.py": lambda given: f"netc plot {given.other(0, 'LOG')}",
    **_WITHOUT,
}
