"""Threads of a context."""

from __future__ import annotations

import os
import threading
import time

import pytest

from netc.backends.cpu.pool import Workers, current_processor


def wait_for(condition: object) -> None:
    for _ in range(2000):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.005)
    raise AssertionError("it did not come")


def test_each_thread_does_its_job_when_woken() -> None:
    done: list[int] = []
    workers = Workers([lambda: done.append(0), lambda: done.append(1)])
    assert not done
    for count in (2, 4):
        workers.wake()
        wait_for(lambda count=count: len(done) == count)
    workers.stop()
    wait_for(lambda: not any(thread.is_alive() for thread in workers._threads))
    assert sorted(done) == [0, 0, 1, 1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_keep_off_the_processor_of_their_waker() -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2 or current_processor() is None:
        pytest.skip("one processor")
    seen: list[set[int]] = []
    workers = Workers([lambda: seen.append(os.sched_getaffinity(0))])
    try:
        for processor in sorted(allowed)[:2]:
            os.sched_setaffinity(0, {processor})
            os.sched_setaffinity(0, allowed)
            here = current_processor()
            seen.clear()
            workers.wake()
            wait_for(lambda: seen)
            assert seen[0] == allowed - {workers._avoided}
            assert workers._avoided == here or current_processor() != here
    finally:
        os.sched_setaffinity(0, allowed)
        workers.stop()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_stay_where_there_is_one_processor() -> None:
    allowed, done = os.sched_getaffinity(0), threading.Event()
    os.sched_setaffinity(0, {min(allowed)})
    try:
        workers = Workers([done.set])
        workers.wake()
        assert done.wait(20)
        workers.stop()
    finally:
        os.sched_setaffinity(0, allowed)
