"""What loading a large caffemodel costs, against reading its bytes.

Makes a caffemodel of VGG-16's shapes (553 MB, seeded noise) in a temporary folder, then in fresh
processes reads its bytes, and loads it with netc; prints the ratio of the times and of the peak
memory to the file's size. The two run in turn, so that a busy machine slows both.

    python benchmarks/weights.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CONVOLUTIONS = (
    ("conv1_1", 64, 3), ("conv1_2", 64, 64), ("conv2_1", 128, 64), ("conv2_2", 128, 128),
    ("conv3_1", 256, 128), ("conv3_2", 256, 256), ("conv3_3", 256, 256), ("conv4_1", 512, 256),
    ("conv4_2", 512, 512), ("conv4_3", 512, 512), ("conv5_1", 512, 512), ("conv5_2", 512, 512),
    ("conv5_3", 512, 512),
)  # fmt: skip
PRODUCTS = (("fc6", 4096, 25088), ("fc7", 4096, 4096), ("fc8", 1000, 4096))

# The seconds of the work alone, by how much it raised the process's peak memory, and the peak.
MEASURE = """
import json, resource, sys, time
{setup}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, (peak - before) * 1024, peak * 1024]))
"""
READ = MEASURE.format(setup="", work="data = open(sys.argv[1], 'rb').read()")
FROMFILE = MEASURE.format(
    setup="import numpy", work="data = numpy.fromfile(sys.argv[1], numpy.uint8)"
)
LOAD = MEASURE.format(
    setup="from netc.weights import load_weights", work="data = load_weights(sys.argv[1])"
)


def make(path: Path) -> None:
    """Write the file."""
    from netc.weights import save_weights

    rng = np.random.default_rng(16)
    layers = {
        name: (noise(rng, (out, into, 3, 3)), noise(rng, (out,)))
        for name, out, into in CONVOLUTIONS
    }
    layers |= {name: (noise(rng, (out, into)), noise(rng, (out,))) for name, out, into in PRODUCTS}
    save_weights(path, layers)


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def measure(code: str, path: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make)
        return
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vgg16.caffemodel"
        # A process of its own: a child's peak memory starts from its parent's.
        subprocess.run([sys.executable, __file__, "--make", str(path)], check=True)
        size = path.stat().st_size
        runs = [[measure(code, path) for code in (READ, FROMFILE, LOAD)] for _ in range(rounds)]
    report(size, runs)


def report(size: int, runs: list[list[list[float]]]) -> None:
    read, fromfile, load = (statistics.median(run[i][0] for run in runs) for i in range(3))
    grown, whole = (max(run[2][i] for run in runs) for i in (1, 2))
    print(
        f"{datetime.date.today()}  {platform.machine()}, {os.cpu_count()} cores, {processor()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}"
    )
    print(f"file                {size / 1e6:9.1f} MB")
    print(f"read as bytes       {read * 1e3:9.1f} ms   median of {len(runs)}, page cache warm")
    print(f"read by fromfile    {fromfile * 1e3:9.1f} ms")
    print(f"load_weights        {load * 1e3:9.1f} ms   {load / read:.2f} times reading as bytes,")
    print(f"{load / fromfile:36.2f} times fromfile (wanted: at most 1.5)")
    print(f"peak memory added   {grown / 1e6:9.1f} MB   {grown / size:.2f} times the file (1.2)")
    print(f"peak of the process {whole / 1e6:9.1f} MB   {whole / size:.2f} times the file")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
