"""python -m benchmarks.levels [--few-rows] [--out FILE]: how often independent layers have p <= 0.05.

One cell by chi2, t and gamma, any of 100 cells by chi2 with Holm's correction and by the default method, one
cell and any of six by permutations; with --few-rows one cell by chi2 up to 40 rows. As JSON, and no time.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import numpy.typing as npt
from gramless._chance import holm, pvalues, unbiased_moments

from .environment import RESULTS, conditions

LEVEL = 0.05
ROWS, WIDTHS, KERNELS = (20, 40, 200), (1, 10, 100), ("linear", "rbf")
PERMUTED_ROWS, PERMUTED_DATA = (20, 60, 200), ("normal", "Cauchy")
DEFAULT_ROWS = (20, 40, 200, 300)
FEW_ROWS = (4, 6, 8, 10, 15, 20, 30, 40)
ONE, LARGEST, DEFAULT = "permutation, one cell", "permutation, largest of 6", "auto, 100 cells"
REPETITIONS = {
    "chi2": 2_000,
    "t": 2_000,
    "gamma": 200,
    "chi2, Holm over 100 cells": 200,
    DEFAULT: 400,
    ONE: 2_000,
    LARGEST: 2_000,
}
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
    """For each method, how often one pair of independent layers has a p-value of at most 0.05."""
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


def default_rejects(n: int, data: str, repetition: int) -> bool:
    """Whether any of 100 cells of independent layers has a corrected p-value of at most 0.05 with "auto".

    The kernel is linear; with RBF, "auto" is chi2 from 40 rows on.
    """
    generator, draw = np.random.default_rng([n, 0, [*DATA].index(data), 1, repetition]), DATA[data]
    xs, ys = ([draw(generator, (n, 10)) for _ in range(LAYERS)] for _ in range(2))
    found = gl.layer_matrix(xs, ys, rng=generator)
    return bool((found.pvalue_corrected <= LEVEL).any())  # type: ignore[operator,union-attr]


def permutations_reject(n: int, data: str, repetition: int) -> tuple[bool, bool]:
    """Whether one cell, and any of 2 x 3 layers of 2 columns, linear, has a p-value of at most 0.05."""
    generator, draw = np.random.default_rng([n, [*DATA].index(data), 2, repetition]), DATA[data]
    layers = [draw(generator, (n, 2)) for _ in range(5)]
    found = gl.layer_matrix(layers[:2], layers[2:], pvalue="permutation", rng=generator)
    alone, corrected = found.pvalue, found.pvalue_corrected
    return bool(alone[0, 0] <= LEVEL), bool((corrected <= LEVEL).any())  # type: ignore[index,operator,union-attr]


def level_of_the_default(n: int, data: str, repeat: int = 1) -> dict[str, Any]:
    """How often `default_rejects` is true."""
    count = REPETITIONS[DEFAULT] // repeat
    level = sum(default_rejects(n, data, i) for i in range(count)) / count
    return {"n": n, "kernel": "linear", "data": data, "d": 10, "method": DEFAULT, "level": level}


def levels_of_permutations(n: int, data: str, repeat: int = 1) -> list[dict[str, Any]]:
    """How often `permutations_reject` is true, for one cell and for the largest."""
    count = REPETITIONS[ONE] // repeat
    rejected = np.array([permutations_reject(n, data, i) for i in range(count)])
    where = {"n": n, "kernel": "linear", "data": data, "d": 2}
    return [
        where | {"method": method, "level": level}
        for method, level in zip((ONE, LARGEST), rejected.mean(axis=0).tolist(), strict=True)
    ]


def measured(n: int, kernel: Any, repeat: int = 1) -> list[dict[str, Any]]:
    """The levels of chi2, t and gamma for this number of rows and a kernel."""
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


def level_of_few_rows(n: int, kernel: Any, data: str, d: int, repeat: int = 1) -> dict[str, Any]:
    """How often one pair of independent layers has a p-value of at most 0.05 by chi2."""
    warnings.simplefilter("ignore", RuntimeWarning)  # of a few rows of binary data all may be equal
    generator, draw = np.random.default_rng([n, d, KERNELS.index(kernel), [*DATA].index(data), 3]), DATA[data]
    count = REPETITIONS["chi2"] // repeat
    cka = [gl.cka(draw(generator, (n, d)), draw(generator, (n, d)), kernel=kernel) for _ in range(count)]
    level = float(np.mean(pvalues("chi2", np.array(cka), n, unbiased_moments(n)) <= LEVEL))
    return {"n": n, "kernel": kernel, "data": data, "d": d, "level": level}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few-rows", action="store_true", help="of chi2 alone, of few rows")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the repetitions")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    repeat = 100 if arguments.quick else 1
    if arguments.few_rows:
        few = [(*case, repeat) for case in product(FEW_ROWS, KERNELS, DATA, WIDTHS)]
        found = conditions() | {"level": LEVEL, "repetitions": REPETITIONS["chi2"] // repeat}
        with ProcessPoolExecutor(arguments.processes, initializer=gl.set_num_threads, initargs=(1,)) as pool:
            found["levels"] = list(pool.map(level_of_few_rows, *zip(*few, strict=True)))
        return write(arguments.out or RESULTS / "few_rows.json", found)
    cases = [(n, kernel, repeat) for n in ROWS for kernel in KERNELS]
    found = conditions() | {"level": LEVEL, "repetitions": REPETITIONS}
    default = [(n, data, repeat) for n in DEFAULT_ROWS for data in DATA]
    permuted = [(n, data, repeat) for n in PERMUTED_ROWS for data in PERMUTED_DATA]
    with ProcessPoolExecutor(arguments.processes, initializer=gl.set_num_threads, initargs=(1,)) as pool:
        found["levels"] = [one for part in pool.map(measured, *zip(*cases, strict=True)) for one in part]
        found["levels"] += pool.map(level_of_the_default, *zip(*default, strict=True))
        of_permutations = pool.map(levels_of_permutations, *zip(*permuted, strict=True))
        found["levels"] += [one for part in of_permutations for one in part]
    write(arguments.out or RESULTS / "levels.json", found)


def write(file: Path, found: dict[str, Any]) -> None:
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
