"""CKA of a million examples that stay on disk: memory-mapped layers, some megabytes of memory.

Writes .npy files into a temporary folder (256 MB each for a million rows of 64 float32), compares every layer
with every other, and prints the time and the peak of the process's own memory above that at the start. Pages
of the files in the system's cache are not counted, because the system frees them when other programs need
memory. With --checkpoint FILE the run can be killed at any time; the same command then resumes, and its
result is bitwise identical.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gramless as gl
import numpy as np
from _record import write_whole

CHUNK = 50_000  # rows


def own_memory() -> int:
    """The bytes of memory of this process alone, without mapped files (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """A list that after the block holds the largest own_memory() in it, less that at its start."""
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


def write_layers(folder: Path, layers: int, rows: int, columns: int) -> list[Path]:
    """Layer l is a rotation of one signal with l times as much noise, so CKA is 1 / ((1 + k) (1 + l))."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{layer}.npy" for layer in range(layers)]
    rotations = [np.linalg.qr(rng.normal(size=(columns, columns)))[0].astype(np.float32) for _ in paths]
    arrays = [np.lib.format.open_memmap(path, "w+", np.float32, (rows, columns)) for path in paths]
    for start in range(0, rows, CHUNK):
        chunk = slice(start, min(start + CHUNK, rows))
        signal = rng.standard_normal((chunk.stop - start, columns), np.float32)
        for layer, (array, rotation) in enumerate(zip(arrays, rotations, strict=True)):
            noise = rng.standard_normal(signal.shape, np.float32)
            array[chunk] = signal @ rotation + np.float32(layer**0.5) * noise
    return paths


def expected(layers: int) -> np.ndarray:
    """The linear CKA of the layers of write_layers, in the limit of infinitely many rows."""
    shares = 1 / (1 + np.arange(layers))  # of the signal in a layer's variance
    matrix = np.outer(shares, shares)
    np.fill_diagonal(matrix, 1)
    return matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument(
        "--kernel", choices=["linear", "rbf"], default="linear", help="rbf takes time in proportion to n^2"
    )
    parser.add_argument("--checkpoint", type=Path, help="save the sweep in this file and resume from it")
    parser.add_argument("--out", type=Path, help="write time, memory and digest as JSON")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        paths = write_layers(Path(folder), arguments.layers, arguments.rows, arguments.columns)
        size = sum(path.stat().st_size for path in paths)
        layers = [np.load(path, mmap_mode="r") for path in paths]
        started, cpu = time.perf_counter(), time.process_time()
        with peak_memory() as peak:
            matrix = gl.cka_matrix(
                layers,
                kernel=arguments.kernel,
                progress=importlib.util.find_spec("rich") is not None,
                checkpoint=arguments.checkpoint,
            )
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu

    print(
        f"{arguments.kernel} CKA of {arguments.rows} rows, {size / 1e6:.0f} MB on disk, {len(layers)} layers:"
    )
    print(matrix.round(4))
    print(
        f"{seconds:.2f} s ({cpu_seconds:.2f} s of CPU), peak memory {peak[0] / 1e6:.1f} MB above the baseline"
    )
    digest = hashlib.sha256(matrix.tobytes()).hexdigest()[:16]
    print(f"digest of all bits: {digest}")
    numbers = {
        "rows": arguments.rows,
        "columns": arguments.columns,
        "layers": len(layers),
        "bytes_on_disk": size,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": peak[0],
        "digest": digest,
    }
    if arguments.kernel == "linear":
        error = float(np.abs(matrix - expected(len(layers))).max())
        print(f"largest difference from the expected values: {error:.1e}")
        numbers["largest_difference"] = error
    if arguments.out:
        write_whole(arguments.out, json.dumps(numbers) + "\n")


if __name__ == "__main__":
    main()
