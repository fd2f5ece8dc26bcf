"""The arena: buffers alive together never share bytes, and little is wasted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netc.plan import arena
from netc.plan.arena import ALIGNMENT, BufferLifetime, aligned, live_peak, plan_arena

SIZES = st.integers(1, 10_000)


@st.composite
def buffers(draw: st.DrawFn) -> list[BufferLifetime]:
    spans = draw(st.lists(st.tuples(SIZES, st.integers(0, 20), st.integers(0, 8)), max_size=30))
    return [BufferLifetime(str(i), size, at, at + life) for i, (size, at, life) in enumerate(spans)]


@given(buffers())
def test_buffers_alive_together_do_not_overlap(wanted: list[BufferLifetime]) -> None:
    arena = plan_arena(wanted)
    for i, a in enumerate(wanted):
        assert arena.offsets[a.name] % ALIGNMENT == 0
        assert arena.offsets[a.name] + a.size <= arena.size
        for b in wanted[:i]:
            if a.first <= b.last and b.first <= a.last:
                start, end = arena.offsets[a.name], arena.offsets[a.name] + a.size
                other = arena.offsets[b.name]
                assert end <= other or other + b.size <= start


@given(buffers())
def test_the_arena_is_between_the_floor_and_the_sum(wanted: list[BufferLifetime]) -> None:
    arena = plan_arena(wanted)
    assert arena.floor <= arena.size <= sum(aligned(b.size) for b in wanted)


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    chain = [BufferLifetime(str(i), size * 64, i, i + 1) for i, size in enumerate((4, 9, 3, 5, 8))]
    assert live_peak(chain) == 13 * 64
    assert plan_arena(chain).size == 13 * 64


def test_no_buffers_take_no_arena() -> None:
    assert plan_arena([]).size == 0


@given(buffers())
def test_thousands_are_placed_in_one_sweep(wanted: list[BufferLifetime]) -> None:
    real = [b._replace(size=arena.aligned(b.size)) for b in wanted if b.size > 0]
    offsets = arena._swept(real)
    for index, one in enumerate(real):
        for other in real[index + 1 :]:
            apart = one.last < other.first or other.last < one.first
            a, b = offsets[one.name], offsets[other.name]
            assert apart or a + one.size <= b or b + other.size <= a
    assert all(offset >= 0 for offset in offsets.values())


def test_a_long_chain_takes_two_places() -> None:
    found = plan_arena(BufferLifetime(f"b{i}", 64, i, i + 1) for i in range(10_000))
    assert found.size == found.floor == 128
