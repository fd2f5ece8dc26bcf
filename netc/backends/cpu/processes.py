"""Compiling kernels in several processes at once: within one they are compiled one after another.

A process gets a kernel on its standard input, compiles it, puts it into netc's cache, where the
process that started it finds it, and asks for the next one. So all are done at about one time,
however long each takes. What a process does not do, for whatever reason, its starter does itself.

The current folder may be a stranger's, with a ``netc.py`` or ``numba.py`` in it. So a process is
started isolated (``python -I``: no current folder, no ``PYTHONPATH``), in the cache folder, and is
told where the packages lie that its starter has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import util
from pathlib import Path

from netc.backends.cpu.machine import Machine, machine
from netc.cache import cache_dir

#: A kernel's module, factory and options.
Kernel = tuple[object, ...]
_WORTH = 4  # kernels for which it pays to start a process, which takes about as long as one
_MAX_PROCESSES = 4  # processes
_PATIENCE = 120.0  # seconds to wait for a process beyond the starter's own work
_STEERS = ".numba_config.yaml"  # which Numba obeys where it is in the current folder
_START = """
import sys
sys.path[:0] = [path for path in sys.argv[1:] if path not in sys.path]
from netc.backends.cpu.compile_worker import main
main()
"""


def steered() -> bool:
    """True if a file in the current folder would change what Numba makes in this process."""
    return os.path.lexists(_STEERS)


def shares(count: int, target: Machine) -> int:
    """In how many processes so many kernels are best compiled, this one included."""
    if cache_dir() is None or getattr(sys, "frozen", False) or not sys.executable:
        return 1
    if target != machine(target.isa):
        return 1
    return max(1, min(_MAX_PROCESSES, _processors(), count // _WORTH))


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _roots() -> list[str]:
    """Folders that the packages of this process lie in, none twice."""
    roots = [str(Path(__file__).parents[3])]
    for name in ("numba", "llvmlite", "numpy"):
        spec = util.find_spec(name)
        if spec is not None and spec.origin:
            roots.append(os.path.dirname(os.path.dirname(os.path.abspath(spec.origin))))
    return list(dict.fromkeys(roots))


class Process:
    """Another process that compiles kernels for a machine.

    Raises:
        OSError: it cannot be started, or there is no cache to find its kernels in.
    """

    def __init__(self, isa: str) -> None:
        folder = cache_dir()
        if folder is None:
            raise FileNotFoundError("no cache folder")
        self._running = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, *_roots()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "NETC_CACHE_DIR": str(folder)},
            text=True,
        )
        self._isa = isa
        self._feeding: threading.Thread | None = None

    def feed(self, waiting: deque[Kernel]) -> None:
        """Have it compile what waits, one kernel after another, while the caller goes on."""
        self._feeding = threading.Thread(target=self._feed, args=(waiting,), daemon=True)
        self._feeding.start()

    def _feed(self, waiting: deque[Kernel]) -> None:
        source, sink = self._running.stdout, self._running.stdin
        assert source is not None and sink is not None
        with suppress(OSError, ValueError, IndexError):  # it has ended, or nothing waits any more
            print(self._isa, file=sink, flush=True)
            while source.readline():
                print(repr(tuple(waiting.popleft())), file=sink, flush=True)
        with suppress(OSError, ValueError):
            sink.close()

    def wait(self) -> None:
        """Wait until it has ended, but not for ever."""
        if self._feeding is not None:
            self._feeding.join(_PATIENCE)
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(_PATIENCE)

    def stop(self) -> None:
        """End it if it still runs."""
        if self._running.poll() is None:
            self._running.kill()
            self._running.wait()
        if self._feeding is not None:
            self._feeding.join()
        for pipe in (self._running.stdin, self._running.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


@contextmanager
def others(count: int, target: Machine) -> Iterator[list[Process]]:
    """So many processes, or as many as can be had, ended when the block is left."""
    started: list[Process] = []
    try:
        with suppress(OSError):  # no process can be had: the caller does all
            for _ in range(count):
                started.append(Process(target.isa))
        yield started
    finally:
        for process in started:
            process.stop()
