"""Makes pairs of digits for the siamese net: ``python pairs.py`` beside the digits' archives.

A pair is a picture of two channels, its label 1 where both show the same digit; half of them do.
``netc data make train_pairs.npz -o train_pairs_lmdb`` makes a database of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def make_pairs(source: Path, target: Path, count: int, seed: int = 0) -> None:
    """Write ``count`` pairs of an archive's pictures to another archive."""
    random = np.random.default_rng(seed)
    with np.load(source) as file:
        pictures, labels = file["data"], file["label"]
    first = random.integers(len(labels), size=count)
    second = random.integers(len(labels), size=count)
    for pair in range(0, count, 2):
        same = np.flatnonzero(labels == labels[first[pair]])
        second[pair] = random.choice(same)
    data = np.concatenate([pictures[first], pictures[second]], axis=1)
    np.savez_compressed(target, data=data, label=(labels[first] == labels[second]).astype(np.uint8))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if sys.argv[1:] else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    make_pairs(folder / "train_digits.npz", folder / "train_pairs.npz", 4000)
    make_pairs(folder / "test_digits.npz", folder / "test_pairs.npz", 600)
