"""python -m benchmarks.accuracy [--out FILE]: errors against offset, width, unit, outlier and
temperature, as JSON.

Inputs are float32; the true value is computed from the same float32 values in float64. No time is measured,
so that all contenders run in one process.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import numpy.typing as npt
import torch

from .contenders import ours_torch
from .contenders.torch_losses import Loss, infonce_loss, lightly_loss, pml_loss, torch_nt_xent
from .environment import RESULTS, conditions
from .problems import Problem

OFFSETS = [0, 1, 10, 100, 1000, 10_000]
UNITS = [1e-30, 1e-20, 1e-12, 1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9, 1e12, 1e20, 1e30]
OUTLIERS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6]
WIDTHS = [4, 16, 64, 256, 1024, 4096, 16_384]
TEMPERATURES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
SEEDS = range(5)  # an error is the largest over these

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Cka = Callable[[Float32, Float32, str], float]
Data = Callable[[float, int], tuple[Float32, Float32]]  # (what is varied, seed): two representations


@dataclass(frozen=True)
class Panel:
    """One plot: errors over one varied quantity."""

    name: str
    title: str
    against: str
    values: Sequence[float]
    errors: dict[str, list[float | None]]  # by name, None where an answer is not a number


def related(n: int, d: int, offset: float, seed: int) -> tuple[Float32, Float32]:
    """Two representations that share half their signal, with `offset` added to every value."""
    rng = np.random.default_rng(1000 * seed + d)
    shared = rng.standard_normal((n, min(d, 16)))
    layers = []
    for _ in range(2):
        x = rng.standard_normal((n, d))
        x[:, : shared.shape[1]] += shared
        layers.append((x + offset).astype(np.float32))
    return layers[0], layers[1]


def in_units(unit: float, seed: int) -> tuple[Float32, Float32]:
    """Two representations, with every value multiplied by `unit`."""
    x, y = related(512, 64, 0, seed)
    return x * np.float32(unit), y * np.float32(unit)


def with_outlier(size: float, seed: int) -> tuple[Float32, Float32]:
    """Two representations, of which one has a value of `size`."""
    x, y = related(512, 64, 0, seed)
    x[3, 2] = size
    return x, y


def gram(x: Rows, kernel: str, center: bool) -> Rows:
    """The Gram matrix, computed in the dtype of x."""
    x = x - x.mean(axis=0) if center else x
    dots = x @ x.T
    if kernel == "linear":
        return dots
    norms = np.sum(x * x, axis=1)
    distance2 = np.maximum(norms[:, None] + norms - 2 * dots, 0)
    np.fill_diagonal(distance2, 0)
    return np.exp(-distance2 / (2 * np.median(distance2[~np.eye(len(x), dtype=bool)])))


def unbiased(k: Rows, l: Rows) -> np.floating[Any]:
    n = k.dtype.type(len(k))
    k, l = (np.where(np.eye(len(m), dtype=bool), m.dtype.type(0), m) for m in (k, l))
    total = np.sum(k * l) + k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * np.sum(k.sum(0) * l.sum(0))) / (n * (n - 3))


def naive(x: Rows, y: Rows, kernel: str, center: bool) -> float:
    with np.errstate(all="ignore"):
        k, l = gram(x, kernel, center), gram(y, kernel, center)
        return float(unbiased(k, l) / np.sqrt(unbiased(k, k)) / np.sqrt(unbiased(l, l)))


def truth_of(x: Float32, y: Float32, kernel: str) -> float:
    """The CKA in float64, of rows less the medians of the columns, which far rows do not move."""
    wide = [z.astype(np.float64) - np.median(z, axis=0) for z in (x, y)]
    return naive(wide[0], wide[1], kernel, False)


def pytorch_cka(x: Float32, y: Float32, kernel: str) -> float:
    from cka import cka_from_features

    return float(cka_from_features(torch.from_numpy(x), torch.from_numpy(y))[0, 0])


def ckatorch(x: Float32, y: Float32, kernel: str) -> float:
    """ckatorch, which computes in float64 for every input dtype."""
    from ckatorch import cka_base

    return float(cka_base(torch.from_numpy(x), torch.from_numpy(y), kernel="linear", unbiased=True))


def contenders(kernel: str) -> dict[str, Cka]:
    """All contenders that are installed and compute the unbiased CKA with this kernel."""
    found: dict[str, Cka] = {
        "gramless": lambda x, y, kernel: gl.cka(x, y, kernel="linear" if kernel == "linear" else "rbf"),
        "numpy float32, centred": lambda x, y, kernel: naive(x, y, kernel, True),
        "numpy float32, not centred": lambda x, y, kernel: naive(x, y, kernel, False),
    }
    if kernel == "linear":
        peers: dict[str, tuple[str, Cka]] = {
            "pytorch-cka": ("cka", pytorch_cka),
            "ckatorch": ("ckatorch", ckatorch),
        }
        found |= {name: run for name, (package, run) in peers.items() if find_spec(package)}
    return found


def worst(errors: Iterable[float]) -> float | None:
    found = float(np.max(list(errors)))
    return found if np.isfinite(found) else None


def cka_panel(kernel: str, against: str, shape: str, values: Sequence[float], data_of: Data) -> Panel:
    """Errors of the CKA of data_of(value, seed)."""
    errors: dict[str, list[float | None]] = {name: [] for name in contenders(kernel)}
    for value in values:
        data = [data_of(value, seed) for seed in SEEDS]
        truth = [truth_of(x, y, kernel) for x, y in data]
        for name, run in contenders(kernel).items():
            found = [abs(run(x, y, kernel) - exact) for (x, y), exact in zip(data, truth, strict=True)]
            errors[name].append(worst(found))
    title = f"{'linear' if kernel == 'linear' else 'RBF'} CKA, {shape}"
    return Panel(f"{kernel}_{against}", title, against, values, errors)


def views_of(noise: float, seed: int) -> list[Float32]:
    """Two views of 128 rows that differ by `noise`."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((128, 64))
    return [(base + noise * rng.standard_normal(base.shape)).astype(np.float32) for _ in range(2)]


def gradient_error(loss_of: Loss, problem: Problem, views: Sequence[Float32]) -> float:
    """The error of the gradient, relative to its length."""
    exact_views = [view.astype(float) for view in views]
    _, grads = gl.reference.nt_xent_value_and_grad(*exact_views, temperature=problem.temperature)
    exact = np.concatenate([grad.ravel() for grad in grads[:2]])
    leaves = [torch.from_numpy(view).requires_grad_() for view in views]
    loss_of(problem, *leaves).backward()
    found = np.concatenate([leaf.grad.double().numpy().ravel() for leaf in leaves])
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def gradient_panel(name: str, title: str, noise: float) -> Panel:
    """Errors of NT-Xent's gradient over temperatures, for views that differ by `noise`."""
    losses: dict[str, Loss] = {"gramless": ours_torch.loss_of, "torch float32": torch_nt_xent}
    peers = {
        "lightly": ("lightly", lightly_loss),
        "infonce": ("infonce", infonce_loss),
        "pytorch-metric-learning": ("pytorch_metric_learning", pml_loss),
    }
    losses |= {peer: loss_of for peer, (package, loss_of) in peers.items() if find_spec(package)}
    errors: dict[str, list[float | None]] = {name: [] for name in losses}
    for temperature in TEMPERATURES:
        problem = Problem(name, "nt_xent", 256, 64, temperature=temperature)
        for contender, loss_of in losses.items():
            found = [gradient_error(loss_of, problem, views_of(noise, seed)) for seed in SEEDS]
            errors[contender].append(worst(found))
    return Panel(name, title, "temperature", TEMPERATURES, errors)


def panels() -> list[Panel]:
    """Every plot."""
    found = []
    for kernel in ("linear", "rbf"):
        wide = "n 512, d 64"
        found.append(cka_panel(kernel, "offset", wide, OFFSETS, lambda by, seed: related(512, 64, by, seed)))
        found.append(
            cka_panel(kernel, "width", "n 256", WIDTHS, lambda d, seed: related(256, int(d), 1.0, seed))
        )
        found.append(cka_panel(kernel, "unit", wide, UNITS, in_units))
        found.append(cka_panel(kernel, "outlier", wide, OUTLIERS, with_outlier))
    found.append(gradient_panel("nt_xent_early", "gradient of NT-Xent, views as they start", 1.0))
    found.append(gradient_panel("nt_xent_late", "gradient of NT-Xent, views nearly equal", 0.03))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "accuracy.json", metavar="FILE")
    arguments = parser.parse_args()
    found = conditions() | {"seeds": len(SEEDS), "panels": [asdict(panel) for panel in panels()]}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    for panel in found["panels"]:
        print(panel["title"], panel["errors"])


if __name__ == "__main__":
    main()
