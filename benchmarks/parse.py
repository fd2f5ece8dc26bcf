"""What reading a net's text costs: characters to Document, against protobuf's own reader.

In this process and in turn: netc's parse_document, google.protobuf's text_format.Parse into a
NetParameter of netc's schema (netc may take three times as long), and Lark's
stock parser of the same grammar without a tree. In fresh processes: importing the parser and
reading the net, with and without the grammar's tables in the cache.

    python benchmarks/parse.py [NET.prototxt] [--rounds 20]
"""

from __future__ import annotations

import argparse
import os
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

from benchmarks.machine import describe  # noqa: E402
from benchmarks.nets import find, folder_of, plain  # noqa: E402
from netc.schema.descriptors import message_class  # noqa: E402
from netc.schema.load import load_schema  # noqa: E402
from netc.syntax.parser import parse_document  # noqa: E402
from netc.syntax.printer import print_document  # noqa: E402
from netc.syntax.reader import read_source  # noqa: E402
from netc.syntax.tables import GRAMMAR, lark_parser  # noqa: E402

LIMIT = 3.0
START = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
from netc.syntax.parser import parse_document
from netc.syntax.reader import read_source
parse_document(read_source(sys.argv[2]))
print(time.perf_counter() - start)
"""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def told(name: str, times: list[float]) -> str:
    middle, best = statistics.median(times) * 1e3, min(times) * 1e3
    return f"  {name:46} median {middle:8.2f} ms   best {best:8.2f} ms"


def reading(net: Path, rounds: int) -> float:
    """Time the readers in turn; how many times protobuf's median ours is."""
    source = read_source(net)
    document = parse_document(source)
    message = message_class(load_schema().message("NetParameter"))
    stock = lark_parser(GRAMMAR.read_text(encoding="utf-8"))
    runs: dict[str, Callable[[], object]] = {
        "netc: parse_document": lambda: parse_document(source),
        "google.protobuf: text_format.Parse": lambda: text_format.Parse(source.text, message()),
        "lark: the same grammar, stock LALR parser": lambda: stock.parse(source.text),
        "netc: print_document": lambda: print_document(document),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, work in runs.items():
            times[name].append(seconds(work))
    print(f"{net.name}, {source.text.count(chr(10))} lines, {rounds} rounds in turn")
    for name, taken in times.items():
        print(told(name, taken))
    ours, theirs, *_ = (statistics.median(taken) for taken in times.values())
    return ours / theirs


def starting(net: Path, rounds: int) -> None:
    """Time fresh processes."""
    cold, warm = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(start(net, folder))
            warm.append(start(net, folder))
    print(f"a fresh process: imports, file to Document, {rounds} rounds")
    print(told("tables worked out by Lark", cold))
    print(told("tables from the cache", warm))


def start(net: Path, cache: str) -> float:
    command = [sys.executable, "-c", START, str(ROOT), str(net)]
    environment = {**os.environ, "NETC_CACHE_DIR": cache}
    return float(subprocess.check_output(command, env=environment, text=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", nargs="?", default="resnet152", help="a path, or of prototxt/")
    parser.add_argument("--folder", type=Path, default=folder_of(None))
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    net = plain(find(given.net, given.folder))
    print(", ".join(f"{name} {value}" for name, value in describe("lark", "protobuf").items()))
    ratio = reading(net, given.rounds)
    starting(net, max(1, given.rounds // 4))
    verdict = "kept" if ratio <= LIMIT else "BROKEN"
    print(f"netc takes {ratio:.2f} times protobuf's time; the limit of {LIMIT:g} is {verdict}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
