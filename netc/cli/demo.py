"""``netc demo``: the bundled digits net on the bundled images."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from netc.cli.output import print_json, say
from netc.cli.progress import compiling
from netc.compiled import CompiledNet
from netc.data import prototxt_dir
from netc.driver import compile
from netc.image_files import load_image
from netc.ir.graph import Array

_SHADES = " .:-=+*#%@"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Classify ten handwritten digits that the net never saw in training."""
    folder = prototxt_dir() / "digits"
    labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    images = sorted((folder / "images").glob("*.png"))
    start = time.perf_counter()
    with compiling() as progress:
        net = compile(
            folder / "deploy.prototxt",
            folder / "digits.caffemodel",
            inputs={"data": (len(images), 1, 8, 8)},
            progress=progress,
        )
    batch = np.stack([load_image(path, channels=1) for path in images])
    ready = time.perf_counter()
    scores = net(data=batch)["prob"]
    done = time.perf_counter()
    if args.json:
        print_json(_as_json(images, scores, labels))
        return 0
    _print(net, images, batch, scores, labels)
    say("", f"compiled in {1e3 * (ready - start):.0f} ms, ran in {1e3 * (done - ready):.1f} ms")
    say(*_NEXT.format(folder=folder).split("\n"))
    return 0


_NEXT = """
Where to go next:
  netc run {folder}/deploy.prototxt \\
      --weights {folder}/digits.caffemodel \\
      --input data={folder}/images/0.png --raw-scale 1 \\
      --labels {folder}/labels.txt
  netc check YOUR.prototxt        what is right and wrong with a net of your own
  netc --help                     all commands"""


def _as_json(images: list[Path], scores: Array, labels: list[str]) -> dict[str, object]:
    return {
        "results": [
            {
                "image": path.name,
                "label": labels[int(row.argmax())],
                "probability": float(row.max()),
            }
            for path, row in zip(images, scores, strict=True)
        ]
    }


def _print(
    net: CompiledNet, images: list[Path], batch: Array, scores: Array, labels: list[str]
) -> None:
    say(f"net `{net.name}`: {len(images)} images it never saw in training", "")
    for at in range(0, len(images), 5):
        _print_row(batch[at : at + 5], scores[at : at + 5], labels)


def print_picture(pixels: Array) -> None:
    """A small picture, (channels, height, width), as text of at most 78 columns."""
    plane = np.asarray(pixels, np.float32).mean(axis=0)
    step = -(-plane.shape[1] // 39)
    small = plane[::step, ::step]
    low, high = float(small.min()), float(small.max())
    for line in (small - low) / max(high - low, 1e-9):
        say("".join(_shade(value) * 2 for value in line).rstrip())


def _print_row(batch: Array, scores: Array, labels: list[str]) -> None:
    """Images side by side; a pixel is two characters wide, as a character is twice as high."""
    width = 2 * batch.shape[3]
    for line in range(batch.shape[2]):
        say("".join(_shade(v) * 2 for image in batch for v in image[0, line]).rstrip())
    described = (f"{labels[int(row.argmax())]} {100 * row.max():.0f} %" for row in scores)
    say("".join(text.center(width) for text in described).rstrip(), "")


def _shade(value: float) -> str:
    return _SHADES[min(int(value * len(_SHADES)), len(_SHADES) - 1)]
