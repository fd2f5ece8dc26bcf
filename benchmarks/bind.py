"""What giving a text its meaning costs: Document to Message, and a start's schema.

Times, in this process and in turn, netc's binding of a net's Document and google.protobuf's
reading of the same text into a message of its own (which parses and binds at once); and in fresh
processes the loading of the schema, from the cache and from the .proto texts.

    python benchmarks/bind.py [NET.prototxt] [--rounds 20]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from google.protobuf import text_format

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.nets import find, folder_of, plain  # noqa: E402
from netc.schema.bind import bind  # noqa: E402
from netc.schema.descriptors import message_class  # noqa: E402
from netc.schema.load import load_schema  # noqa: E402
from netc.syntax.parser import parse_document  # noqa: E402
from netc.syntax.reader import read_source  # noqa: E402

START = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
from netc.schema.load import load_schema
load_schema().message("NetParameter")
print(time.perf_counter() - start)
"""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(name: str, times: list[float]) -> str:
    middle, best = statistics.median(times) * 1e3, min(times) * 1e3
    return f"{name:46} median {middle:8.2f} ms   best {best:8.2f} ms"


def binding(net: Path, rounds: int) -> None:
    source = read_source(net)
    document = parse_document(source)
    type = load_schema().message("NetParameter")
    theirs = message_class(type)
    runs: dict[str, Callable[[], object]] = {
        "netc: bind": lambda: bind(document, type),
        "netc: parse and bind": lambda: bind(parse_document(source), type),
        "google.protobuf: text_format.Parse": lambda: text_format.Parse(source.text, theirs()),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, work in runs.items():
            times[name].append(seconds(work))
    print(f"{net.name}, {source.text.count(chr(10))} lines, {rounds} rounds in turn")
    for name, taken in times.items():
        print(told(name, taken))


def loading(rounds: int) -> None:
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(start(folder))
            warm.append(start(folder))
    print(f"the schema in a fresh process, imports included, {rounds} rounds")
    print(told("from the .proto texts", cold))
    print(told("from the cache", warm))


def start(cache: str) -> float:
    command = [sys.executable, "-c", START, str(ROOT)]
    environment = {**os.environ, "NETC_CACHE_DIR": cache}
    return float(subprocess.check_output(command, env=environment, text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", nargs="?", default="resnet152", help="a path, or of prototxt/")
    parser.add_argument("--folder", type=Path, default=folder_of(None))
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    net = plain(find(given.net, given.folder))
    print(f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    binding(net, given.rounds)
    loading(max(1, given.rounds // 4))


if __name__ == "__main__":
    main()
