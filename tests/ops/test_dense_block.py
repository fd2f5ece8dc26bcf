"""DenseBlock against the layers that it joins, and what it keeps of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from netc.diagnostics import NetcError
from netc.ops.filler import CONSTANT_ZERO
from netc.ops.forks.dense_block import DENSE_BLOCK, DenseBlockParams
from tests.ops.test_fork_parts import close, run

RNG = np.random.default_rng(6)
STEPS, GROWTH, READ = 2, 3, 4


def arrays(bottleneck: bool) -> list[np.ndarray]:
    """The trained arrays, by kind."""
    read = [READ + GROWTH * step for step in range(STEPS)]
    narrow = [4 * GROWTH] * STEPS
    made = [RNG.normal(size=(GROWTH, c, 3, 3)) * 0.3 for c in (narrow if bottleneck else read)]
    made += normalising(read)
    if bottleneck:
        made += [RNG.normal(size=(4 * GROWTH, c, 1, 1)) * 0.3 for c in read]
        made += normalising(narrow)
    return [a.astype(np.float32) for a in (*made, np.array([2.0]))]


def normalising(channels: list[int]) -> list[np.ndarray]:
    kinds = [[RNG.normal(size=(1, c, 1, 1)) for c in channels] for _ in range(3)]
    return [*kinds[0], *kinds[1], *kinds[2], *(RNG.random((1, c, 1, 1)) + 1 for c in channels)]


def convolve(x: np.ndarray, filters: np.ndarray) -> np.ndarray:
    pad = filters.shape[2] // 2
    top = np.zeros((len(x), len(filters), *x.shape[2:]))
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for n, o, h, w in np.ndindex(*top.shape):
        window = padded[n, :, h : h + filters.shape[2], w : w + filters.shape[3]]
        top[n, o, h, w] = (window * filters[o]).sum()
    return top


def block(x: np.ndarray, own: list[np.ndarray], bottleneck: bool, training: bool) -> np.ndarray:
    def norm(x: np.ndarray, kind: int, step: int) -> np.ndarray:
        scale, shift, mean, variance = (own[(kind + n) * STEPS + step] for n in range(4))
        mean, variance = mean / own[-1], variance / own[-1]
        if training:
            mean = x.mean(axis=(0, 2, 3), keepdims=True)
            variance = x.var(axis=(0, 2, 3), keepdims=True, ddof=1)
        return np.maximum(scale * (x - mean) / np.sqrt(variance + 1e-5) + shift, 0)

    for step in range(STEPS):
        read = norm(x, 1, step)
        if bottleneck:
            read = norm(convolve(read, own[5 * STEPS + step]), 6, step)
        x = np.concatenate([x, convolve(read, own[step])], axis=1)
    return x


@pytest.mark.parametrize("phase", ("TRAIN", "TEST"))
@pytest.mark.parametrize("bottleneck", (False, True))
def test_block(bottleneck: bool, phase: str) -> None:
    x, own = RNG.normal(size=(2, READ, 3, 4)), arrays(bottleneck)
    fields = (f"denseblock_param {{ numTransition: {STEPS} growthRate: {GROWTH} initChannel: 99 "
              f"use_BC: {str(bottleneck).lower()} }}")  # fmt: skip
    got = run("DenseBlock", fields, x, weights={"l": own}, phase=phase)
    np.testing.assert_allclose(got, block(x, own, bottleneck, phase == "TRAIN"), 1e-3, 1e-4)


def test_a_batch_joins_the_averages() -> None:
    x, own = RNG.normal(size=(2, READ, 3, 4)).astype(np.float32), arrays(True)
    params = DenseBlockParams(
        STEPS, GROWTH, True, 0.5, CONSTANT_ZERO, CONSTANT_ZERO, CONSTANT_ZERO, True
    )
    assert DENSE_BLOCK.train is not None
    _, kept = DENSE_BLOCK.train(params, [x], own)
    mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)
    close(kept[3 * STEPS].reshape(-1), own[3 * STEPS].reshape(-1) / 2 + mean)
    close(kept[4 * STEPS].reshape(-1), own[4 * STEPS].reshape(-1) / 2 + variance)
    close(kept[-1], [2.0])
    moved = [at for at, (new, old) in enumerate(zip(kept, own, strict=True)) if new is not old]
    assert moved == sorted(DENSE_BLOCK.moving(params))


def test_dropout_in_training_is_refused() -> None:
    fields = "denseblock_param { numTransition: 1 growthRate: 2 use_dropout: true }"
    x = RNG.normal(size=(2, READ, 3, 4))
    assert run("DenseBlock", fields, x).shape == (2, 6, 3, 4)
    with pytest.raises(NetcError, match="use_dropout"):
        run("DenseBlock", fields, x, phase="TRAIN")
