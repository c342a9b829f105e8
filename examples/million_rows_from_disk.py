"""CKA of a million examples that stay on disk: two memory-mapped files, a few megabytes of memory.

Writes two .npy files into a temporary folder (2 x 256 MB at a million rows of 64 float32), compares them, and
prints the time and the peak of the process' own memory above what it held before. Pages of the files that the
system keeps in its cache are not counted: they are given back whenever something else needs the room.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gramless as gl
import numpy as np

CHUNK = 50_000  # rows


def own_memory() -> int:
    """Bytes of memory that belong to this process alone, without mapped files (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """A list that ends as [largest own_memory() seen while the block ran, above that at its start]."""
    baseline, peak, stop = own_memory(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], own_memory() - baseline)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def write_activations(x_path: Path, y_path: Path, rows: int, columns: int) -> None:
    """Two files (rows, columns): y is a rotation of x with as much noise as signal, so linear CKA is 0.5."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(columns, columns)))[0].astype(np.float32)
    x = np.lib.format.open_memmap(x_path, "w+", np.float32, (rows, columns))
    y = np.lib.format.open_memmap(y_path, "w+", np.float32, (rows, columns))
    for start in range(0, rows, CHUNK):
        chunk = x[start : start + CHUNK]
        chunk[:] = rng.standard_normal(chunk.shape, np.float32)
        y[start : start + CHUNK] = chunk @ rotation + rng.standard_normal(chunk.shape, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--kernel", choices=["linear", "rbf"], default="linear", help="rbf takes n^2 work")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        x_path, y_path = Path(folder, "x.npy"), Path(folder, "y.npy")
        write_activations(x_path, y_path, arguments.rows, arguments.columns)
        size = x_path.stat().st_size + y_path.stat().st_size

        x, y = np.load(x_path, mmap_mode="r"), np.load(y_path, mmap_mode="r")
        started = time.perf_counter()
        with peak_memory() as peak:
            value = gl.cka(x, y, kernel=arguments.kernel)
        seconds = time.perf_counter() - started

    print(f"{arguments.kernel} CKA of {arguments.rows} rows, {size / 1e6:.0f} MB on disk: {value:.6f}")
    print(f"{seconds:.2f} s, peak memory {peak[0] / 1e6:.1f} MB above the baseline")


if __name__ == "__main__":
    main()
