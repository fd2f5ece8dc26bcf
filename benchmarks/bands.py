"""What a depthwise and a 1x1 layer would gain in bands of rows: ``python benchmarks/bands.py``.

Each pair of MobileNet v1 whose depthwise output is large is timed on whole maps, and as so many
nets of its own on bands of rows, whose depthwise outputs stay in the second cache. The rows that
two bands share are computed twice, as they would be. Milliseconds an image of the steps of both
layers, the least of the rounds, one thread.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netc
from benchmarks.machine import describe

#: channels, side, stride, channels of the 1x1 layer
PAIRS = ((32, 112, 1, 64), (64, 112, 2, 128), (128, 56, 1, 128), (128, 56, 2, 256))
BANDS = (2, 4, 8)


def text_of(batch: int, pair: tuple[int, int, int, int], rows: int) -> str:
    """The two layers, for so many rows of input and what lies around them."""
    channels, side, stride, outputs = pair
    return f"""
layer {{ name: "x" type: "Input" top: "x"
        input_param {{ shape {{ dim: {batch} dim: {channels} dim: {rows} dim: {side} }} }} }}
layer {{ name: "dw" type: "Convolution" bottom: "x" top: "dw" convolution_param {{
        num_output: {channels} group: {channels} kernel_size: 3 stride: {stride}
        pad_h: 0 pad_w: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "r" type: "ReLU" bottom: "dw" top: "dw" }}
layer {{ name: "pw" type: "Convolution" bottom: "dw" top: "pw" convolution_param {{
        num_output: {outputs} kernel_size: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "s" type: "ReLU" bottom: "pw" top: "pw" }}
"""


def milliseconds(batch: int, pair: tuple[int, int, int, int], rows: int, rounds: int) -> float:
    """The least time of the two layers' steps."""
    net = netc.compile(text=text_of(batch, pair, rows), threads=1)
    shape = (batch, pair[0], rows, pair[1])
    executable = net.executable((shape,))
    feeds = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    times = []
    for _ in range(rounds):
        _, steps = executable.timed(feeds)
        times.append(sum(s.seconds for s in steps if s.name.split("+")[0] in ("dw", "pw")))
    return 1e3 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print(" ".join(f"{k}={v}" for k, v in describe("numba").items()))
    print("batch  pair                       whole  " + "".join(f"{n:>3} bands" for n in BANDS))
    for batch in options.batch:
        for pair in PAIRS:
            whole = milliseconds(batch, pair, pair[1] + 2, options.rounds) / batch
            parts = "".join(f"{_in_bands(pair, n, options.rounds):>9}" for n in BANDS)
            name = f"{pair[0]}x{pair[1]}x{pair[1]} /{pair[2]} -> {pair[3]}"
            print(f"{batch:5}  {name:24} {whole:7.3f}  {parts}")


def _in_bands(pair: tuple[int, int, int, int], bands: int, rounds: int) -> str:
    """Milliseconds of one image; "-" where its rows of output cannot be so many equal bands."""
    side, stride = pair[1], pair[2]
    if side // stride % bands:
        return "-"
    rows = side // bands + (2 if stride == 1 else 1)  # with what two bands share
    return f"{bands * milliseconds(1, pair, rows, rounds):.3f}"


if __name__ == "__main__":
    main()
