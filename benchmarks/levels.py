"""python -m benchmarks.levels [--out FILE]: how often independent layers have p <= 0.05, as JSON.

One cell by chi2, t and gamma, and any of 100 cells by chi2 with Holm's correction. Permutations keep their
level whatever the data, which tests/test_chance.py shows. It measures no time.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import numpy.typing as npt
from gramless._chance import holm, pvalues, unbiased_moments

from .environment import RESULTS, conditions

LEVEL = 0.05
ROWS, WIDTHS, KERNELS = (20, 40, 200), (1, 10, 100), ("linear", "rbf")
REPETITIONS = {"chi2": 2_000, "t": 2_000, "gamma": 200, "chi2, Holm over 100 cells": 200}
LAYERS = 10  # on each side, of 10 columns, for many cells

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
DATA: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "lognormal": lambda generator, shape: generator.lognormal(size=shape),
    "Cauchy": lambda generator, shape: generator.standard_cauchy(shape),
    "binary": lambda generator, shape: generator.integers(0, 2, shape).astype(np.float64),
}


def levels_of_one_cell(n: int, d: int, kernel: Any, data: str, repeat: int = 1) -> dict[str, float]:
    """By method, how often one pair of independent layers has a p-value of at most 0.05."""
    generator, draw = np.random.default_rng([n, d, KERNELS.index(kernel), [*DATA].index(data)]), DATA[data]
    count = max(REPETITIONS.values()) // repeat
    cka = np.array(
        [gl.cka(draw(generator, (n, d)), draw(generator, (n, d)), kernel=kernel) for _ in range(count)]
    )
    found = {name: pvalues(name, cka, n, unbiased_moments(n)) for name in ("chi2", "t")}
    found["gamma"] = np.array(
        [
            gl.layer_matrix(
                [draw(generator, (n, d))],
                [draw(generator, (n, d))],
                kernel=kernel,
                estimator="biased",
                pvalue="gamma",
            ).pvalue[0, 0]  # type: ignore[index]
            for _ in range(REPETITIONS["gamma"] // repeat)
        ]
    )
    return {name: float(np.mean(values <= LEVEL)) for name, values in found.items()}


def level_of_many_cells(n: int, kernel: Any, data: str, repeat: int = 1) -> float:
    """How often any of 100 cells of independent layers has a corrected p-value of at most 0.05."""
    generator, draw = np.random.default_rng([n, KERNELS.index(kernel), [*DATA].index(data)]), DATA[data]
    rejected, count = 0, REPETITIONS["chi2, Holm over 100 cells"] // repeat
    for _ in range(count):
        xs, ys = ([draw(generator, (n, 10)) for _ in range(LAYERS)] for _ in range(2))
        alone = pvalues("chi2", gl.cka_matrix(xs, ys, kernel=kernel), n, unbiased_moments(n))
        rejected += bool((holm(alone, np.ones(alone.shape, bool)) <= LEVEL).any())
    return rejected / count


def measured(n: int, kernel: Any, repeat: int = 1) -> list[dict[str, Any]]:
    """All levels for so many rows and a kernel."""
    gl.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # of binary data more than half of the distances are 0
    found = []
    for data in DATA:
        where = {"n": n, "kernel": kernel, "data": data}
        level = level_of_many_cells(n, kernel, data, repeat)
        found.append(where | {"d": 10, "method": "chi2, Holm over 100 cells", "level": level})
        for d in WIDTHS:
            for method, level in levels_of_one_cell(n, d, kernel, data, repeat).items():
                found.append(where | {"d": d, "method": method, "level": level})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "levels.json")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the repetitions")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    cases = [(n, kernel, 100 if arguments.quick else 1) for n in ROWS for kernel in KERNELS]
    found = conditions() | {"level": LEVEL, "repetitions": REPETITIONS}
    with ProcessPoolExecutor(arguments.processes) as pool:
        found["levels"] = [one for part in pool.map(measured, *zip(*cases, strict=True)) for one in part]
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
