"""Inputs of problems, as files: random ones, and activations of the demo's networks. Existing files are kept.

python -m benchmarks.data FILE    writes the activations, which needs torch and the demo's packages
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .problems import LOSSES, Data, Problem

Array: TypeAlias = npt.NDArray[np.float32]
ROOT = Path(__file__).parent.parent
KEPT = ROOT / ".benchmarks" / "data"  # ignored by git
PHOTO_ROWS, PHOTO_COLUMNS, CROPS = 8192, 1280, 512
SCALE_ROWS = 400  # rows whose median distance is the given bandwidth
EVERY: tuple[Data, ...] = ("gaussian", "spectrum", "relu", "photos")


@dataclass(frozen=True)
class Inputs:
    """Files with one array each, and a bandwidth: about the median distance of the rows of the first."""

    files: list[str]
    sigma: float


def available(problem: Problem) -> list[Data]:
    """The data that a problem can use; the photos have 8,192 rows of 1,280 columns and two layers."""
    if problem.kind in ("step", "models") or problem.offset:
        return [problem.data]
    rows = problem.n // 2 if problem.kind in LOSSES else problem.n
    fits = rows <= PHOTO_ROWS and problem.d <= PHOTO_COLUMNS and problem.layers <= 2
    return [data for data in EVERY if data != "photos" or fits]


def inputs(problem: Problem, data: Data) -> Inputs:
    """The files of a problem's inputs, which are written if they do not exist."""
    count = 1 if problem.kind in ("median", "distances", "step", "models") else problem.layers
    kind = problem.kind if problem.kind in (*LOSSES, "step", "models") else "layers"
    name = f"{kind}-{data}-{problem.n}-{problem.d}-{count}-{problem.offset:g}"
    about = KEPT / f"{name}.json"
    files = [KEPT / f"{name}-{i}.npy" for i in range(2 if problem.kind in LOSSES else count)]
    if not about.exists() or not all(file.exists() for file in files):
        KEPT.mkdir(parents=True, exist_ok=True)
        arrays = _make(problem, data, count)
        for file, array in zip(files, arrays, strict=True):
            np.save(file, array)
        about.write_text(json.dumps({"sigma": _middle_distance(arrays[0])}))
    return Inputs([str(file) for file in files], float(json.loads(about.read_text())["sigma"]))


def _make(problem: Problem, data: Data, count: int) -> list[Array]:
    rng = np.random.default_rng(problem.n * 7919 + problem.d)
    if problem.kind == "step":
        return [rng.standard_normal((problem.n, 3, 16, 16), dtype=np.float32)]
    if problem.kind == "models":
        return [_crops(problem.n)]
    if problem.kind in LOSSES:
        base = _layers(problem.n // 2, problem.d, 1, data, rng)[0]
        return [base + np.float32(0.5) * rng.standard_normal(base.shape, dtype=np.float32) for _ in range(2)]
    layers = _layers(problem.n, problem.d, count, data, rng)
    for layer in layers:
        layer += np.float32(problem.offset)
    return layers


def _layers(n: int, d: int, count: int, data: Data, rng: np.random.Generator) -> list[Array]:
    """Layers (n, d) that share half their signal, each scaled so that its columns' variances sum to d."""
    if data == "photos":
        layers = [np.ascontiguousarray(layer[:n, :d]) for layer in _photos()[:count]]
    elif data == "gaussian":
        shared = rng.standard_normal((n, min(d, 16)), dtype=np.float32)
        layers = [rng.standard_normal((n, d), dtype=np.float32) for _ in range(count)]
        for layer in layers:
            layer[:, : shared.shape[1]] += shared
    else:
        layers = _spectrum(n, d, count, rng)
        if data == "relu":
            layers = [np.maximum(layer, 0, out=layer) for layer in layers]
    for layer in layers:
        layer *= np.float32(np.sqrt(d / max(float(layer.var(axis=0).sum()), 1e-30)))
    return layers


def _spectrum(n: int, d: int, count: int, rng: np.random.Generator) -> list[Array]:
    """Layers whose covariance has an i-th eigenvalue of about 1 / i, and random eigenvectors."""
    scales = np.sqrt(0.5 / np.arange(1, d + 1)).astype(np.float32)
    shared = rng.standard_normal((n, d), dtype=np.float32)
    layers = []
    for _ in range(count):
        rotation, _ = np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))
        own = rng.standard_normal((n, d), dtype=np.float32)
        own += shared
        own *= scales
        layers.append(own @ rotation)
    return layers


def _middle_distance(array: Array) -> float:
    rows = array[:: max(1, len(array) // SCALE_ROWS)].reshape(-1, int(np.prod(array.shape[1:])))
    rows = rows[:SCALE_ROWS].astype(np.float64)
    norms = (rows * rows).sum(1)
    squares = norms[:, None] + norms - 2 * rows @ rows.T
    return float(f"{np.sqrt(max(np.median(squares[~np.eye(len(rows), dtype=bool)]), 1e-30)):.4g}")


def _photos() -> list[Array]:
    """The outputs of the last convolutions of the demo's networks at every position of 512 crops."""
    file = KEPT / "photos.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "benchmarks.data", file], check=True, cwd=ROOT)
    with np.load(file) as entries:
        return [entries["a"], entries["b"]]


def _crops(count: int) -> Array:
    from gramless.cli.networks import crop_photos, load_photos

    pixels = crop_photos(load_photos(), count).astype(np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(0, 3, 1, 2))


def write_photos(file: Path) -> None:
    import torch
    from gramless.cli.networks import hooked, load_network

    found: list[Array] = []
    images = torch.from_numpy(_crops(CROPS))
    for size in (0, 1):
        seen: list[torch.Tensor] = []
        network = load_network(size)

        def see(_: int, output: torch.Tensor, seen: list[torch.Tensor] = seen) -> None:
            seen.append(output.permute(0, 2, 3, 1).reshape(-1, output.shape[1]))

        with torch.inference_mode(), hooked([network._bn1], see):  # type: ignore[list-item]
            for batch in images.split(64):
                network(batch)
        rows = torch.cat(seen).numpy()
        found.append(rows[np.random.default_rng(0).permutation(len(rows))])
    np.savez(file, a=found[0], b=found[1])


if __name__ == "__main__":
    write_photos(Path(sys.argv[1]))
