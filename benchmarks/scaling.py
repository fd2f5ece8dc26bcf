"""What time takes beside size: large texts of many kinds, each at three sizes.

    python benchmarks/scaling.py                         `netc check` of 5,000 to 20,000 layers
    python benchmarks/scaling.py --command "lint {net}" --layers 1000 --kinds fan,ladder

A row has the seconds of a processor for one, two and four times as many layers, and how often more
the last took than the one before: 2 where time grows as the text does. `{out}` in a command is a
file that it may write.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from netc.cli.main import main as netc

INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: [1, 4, 8, 8] } } }\n'
)
SAME = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }"
ONE = "convolution_param { num_output: 4 kernel_size: 1 }"


def layer(name: str, kind: str, bottoms: Sequence[str], tops: Sequence[str], more: str = "") -> str:
    """A layer's text."""
    blobs = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {more} }}\n'


def chain(number: int, kind: str = "ReLU", more: str = "", named: str = "b") -> str:
    """Layers one after another."""
    blobs = ["data", *(f"{named}{i}" for i in range(number))]
    steps = pairwise(blobs)
    return INPUT + "".join(layer(f"l{i}", kind, [a], [b], more) for i, (a, b) in enumerate(steps))


def fan(number: int, kind: str = "ReLU") -> str:
    """Layers that all read the input."""
    return INPUT + "".join(layer(f"l{i}", kind, ["data"], [f"b{i}"]) for i in range(number))


def gathered(number: int, kind: str, each: str) -> str:
    """Layers that all read the input, and one that reads them all."""
    return fan(number, each) + layer("all", kind, [f"b{i}" for i in range(number)], ["all"])


def ladder(number: int) -> str:
    """Two sums of two sums of two sums: the paths through it double at each."""
    text, a, b = INPUT, "data", "data"
    for i in range(number // 2):
        text += layer(f"x{i}", "Eltwise", [a, b], [f"x{i}"])
        text += layer(f"y{i}", "Eltwise", [a, b], [f"y{i}"])
        a, b = f"x{i}", f"y{i}"
    return text


def residual(number: int) -> str:
    """Blocks of a convolution and a sum."""
    text, before = INPUT, "data"
    for i in range(number // 2):
        text += layer(f"c{i}", "Convolution", [before], [f"c{i}"], SAME)
        text += layer(f"e{i}", "Eltwise", [before, f"c{i}"], [f"e{i}"])
        before = f"e{i}"
    return text


def dense(number: int) -> str:
    """Each layer's output put beside all before it."""
    text, before = INPUT, "data"
    for i in range(number // 2):
        text += layer(f"c{i}", "Convolution", [before], [f"c{i}"], ONE)
        text += layer(f"k{i}", "Concat", [before, f"c{i}"], [f"k{i}"])
        before = f"k{i}"
    return text


def wrong_blobs(number: int) -> str:
    """Blobs that no layer makes, beside others with names much like theirs."""
    long, half = "b" * 60, number // 2
    made = (layer(f"n{i}", "ReLU", ["data"], [f"{long}{i}"]) for i in range(half))
    read = (layer(f"q{i}", "ReLU", [f"{long}x{i}"], [f"m{i}"]) for i in range(half))
    return INPUT + "".join([*made, *read])


KINDS: dict[str, Callable[[int], str]] = {
    "chain": chain,
    "convolutions": lambda n: chain(n, "Convolution", SAME),
    "in-place": lambda n: INPUT + layer("l", "ReLU", ["data"], ["data"]) * n,
    "identities": lambda n: chain(n, "Dropout"),
    "shared": lambda n: chain(n, "Convolution", f'param {{ name: "w" }} {SAME}'),
    "long-names": lambda n: chain(n, named="b" * 200),
    "one-line": lambda n: chain(n).replace("\n", " "),
    "fan": fan,
    "fan-in": lambda n: gathered(n, "Eltwise", "ReLU"),
    "fan-in-identities": lambda n: gathered(n, "Concat", "Dropout"),
    "many-bottoms": lambda n: INPUT + layer("e", "Eltwise", ["data"] * n, ["e"]),
    "many-tops": lambda n: INPUT + layer("s", "Split", ["data"], [f"t{i}" for i in range(n)]),
    "many-inputs": lambda n: "".join(INPUT.replace("data", f"d{i}") for i in range(n)),
    "ladder": ladder,
    "residual": residual,
    "dense": dense,
    "v1": lambda n: chain(n).replace("layer {", "layers {").replace('"ReLU"', "RELU"),
    "wrong-blobs": wrong_blobs,
    "wrong-fields": lambda n: chain(n, "Convolution", "convolution_param { num_outptu: 3 }"),
    "wrong-types": lambda n: chain(n, "Convolutoin"),
    "open-braces": lambda n: chain(n).replace(" }\n", "\n"),
    "nested": lambda n: "a { " * n + "} " * n,
    "comments": lambda n: INPUT + "# a comment of some length, again and again\n" * n,
}


def seconds(command: str, text: str, folder: Path) -> float:
    """Seconds of the processor that a command takes on a text."""
    net = folder / "net.prototxt"
    net.write_text(text, encoding="ascii")
    words = [w.format(net=net, out=folder / "out") for w in command.split()]
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        netc(words)
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--command", default="check {net}", help="default: check {net}")
    parser.add_argument("--layers", type=int, default=5000, help="of the smallest text")
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas between")
    args = parser.parse_args()
    print(f"{'text':20}{'layers':>8}{'MB':>7}{'seconds of 1, 2, 4 times as many':>36}{'times':>7}")
    with tempfile.TemporaryDirectory() as folder:
        seconds(args.command, INPUT, Path(folder))  # imports
        for name in args.kinds.split(","):
            texts = [KINDS[name](args.layers * times) for times in (1, 2, 4)]
            took = [seconds(args.command, text, Path(folder)) for text in texts]
            shown = "".join(f"{t:12.2f}" for t in took)
            size, more = len(texts[-1]) / 1e6, took[-1] / max(took[-2], 1e-3)
            print(f"{name:20}{4 * args.layers:8,}{size:7.1f}{shown}{more:7.1f}", flush=True)


if __name__ == "__main__":
    main()
