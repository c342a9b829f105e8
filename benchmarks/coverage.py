"""python -m benchmarks.coverage [--data NAME ...] [--out FILE]: how often intervals of CKA hold the truth.

Intervals at level 0.95 of linear, unbiased CKA; the truth is the CKA of 100,000 other rows. Then how often
two CKA that are equal differ with p <= 0.05 by `cka_difference`. As JSON; with --data of these kinds of data
alone, in place of what the file has of them. It measures no time.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np
import numpy.typing as npt
from gramless.analysis import cka_difference, cka_interval

from .environment import RESULTS, conditions

LEVEL = 0.95
ROWS, WIDTH, CLASSES = (100, 400), 10, 5
TRUE_ROWS = 100_000
OUTLIERS, LARGER = 0.01, 15  # this share of rows is this many times larger
LONGEST = 10  # other rows are shorter
REPETITIONS = {"coverage": 1_000, "equality": 2_000}

Floats = npt.NDArray[np.float64]
Pair = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator, int], Pair]


def gaussian(generator: np.random.Generator, n: int) -> Pair:
    x, noise = generator.standard_normal((2, n, WIDTH))
    return x, x + noise


def clusters(generator: np.random.Generator, n: int) -> Pair:
    centres = 2 * np.random.default_rng(0).standard_normal((2, CLASSES, WIDTH))
    labels = generator.integers(CLASSES, size=n)
    x, y = centres[:, labels] + generator.standard_normal((2, n, WIDTH))
    return x, y


def student(generator: np.random.Generator, n: int) -> Pair:
    x, noise = generator.standard_t(3, (2, n, WIDTH))
    return x, x + noise


def independent(generator: np.random.Generator, n: int) -> Pair:
    x, y = generator.standard_normal((2, n, WIDTH))
    return x, y


def _factor(generator: np.random.Generator, n: int) -> Floats:
    return np.where(generator.random(n) < OUTLIERS, LARGER, 1.0)[:, None]


def outliers(generator: np.random.Generator, n: int) -> Pair:
    x, y = gaussian(generator, n)
    factor = _factor(generator, n)
    return x * factor, y * factor


def outliers_of_x(generator: np.random.Generator, n: int) -> Pair:
    x, y = gaussian(generator, n)
    return x * _factor(generator, n), y


def followed_student(generator: np.random.Generator, n: int) -> Pair:
    x = generator.standard_t(3, (n, WIDTH))
    return x, x + generator.standard_normal((n, WIDTH))


def followed_outliers(generator: np.random.Generator, n: int) -> Pair:
    x, noise = generator.standard_normal((2, n, WIDTH))
    x = x * _factor(generator, n)
    return x, x + noise


def heavy_student(generator: np.random.Generator, n: int) -> Pair:
    x = generator.standard_t(2.5, (n, WIDTH))
    return x, x + generator.standard_normal((n, WIDTH))


def one_sided(generator: np.random.Generator, n: int) -> Pair:
    x = generator.exponential(size=(n, WIDTH))
    return x, x**2 + generator.standard_normal((n, WIDTH))


# From "Student t of x" on the larger rows of x have less noise beside them: the more of them a sample has,
# the higher its CKA, and most samples have few.
DATA: dict[str, Draw] = {
    "Gaussian": gaussian,
    "clusters": clusters,
    "Student t, 3 degrees": student,
    "independent": independent,
    "1 % of rows 15 times larger": outliers,
    "1 % of rows of x 15 times larger": outliers_of_x,
    "Student t of x, 3 degrees, Gaussian noise": followed_student,
    "1 % of rows of x 15 times larger, the same noise": followed_outliers,
    "Student t of x, 2.5 degrees, Gaussian noise": heavy_student,
    "x exponential, y its square with Gaussian noise": one_sided,
}
LARGER_ROWS = [data for data in DATA if "larger" in data]
LIMITS = [*DATA][-2:]  # where intervals hold the truth too rarely
USUAL = [data for data in DATA if data not in (*LARGER_ROWS, *LIMITS)]


@cache
def truth(data: str) -> float:
    x, y = DATA[data](np.random.default_rng(12345), TRUE_ROWS)
    return float(gl.cka(x, y))


def coverage(data: str, n: int, groups: int | None = None, repeat: int = 1) -> dict[str, Any]:
    """How often the interval holds the true value, in all samples and in those without a warning."""
    gl.set_num_threads(1)
    generator, count = np.random.default_rng([n, [*DATA].index(data)]), REPETITIONS["coverage"] // repeat
    held, warned, unusual = np.zeros((3, count), bool)
    widths, true = np.zeros(count), truth(data)
    for i in range(count):
        x, y = DATA[data](generator, n)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = cka_interval(x, y, level=LEVEL, groups=groups)
        held[i], warned[i] = found.low <= true <= found.high, bool(caught)
        unusual[i] = data in LARGER_ROWS and bool(np.linalg.norm(x, axis=1).max() > LONGEST)
        widths[i] = found.high - found.low
    return {
        "data": data,
        "n": n,
        "groups": groups,
        "truth": true,
        "coverage": float(np.mean(held)),
        "warned": float(np.mean(warned)),
        "coverage without a warning": float(np.mean(held[~warned])) if not warned.all() else None,
        "with larger rows": float(np.mean(unusual)),
        "of these warned": float(np.mean(warned[unusual])) if unusual.any() else None,
        "median width": float(np.median(widths)),
    }


def equal_differ(n: int, noise: float, repetition: int) -> tuple[bool, bool]:
    """Whether p and z of `cka_difference` find x more similar to one y than to another, both x plus noise."""
    generator = np.random.default_rng([n, int(10 * noise), repetition])
    x, one, other = generator.standard_normal((3, n, WIDTH))
    found = cka_difference((x, x + noise * one), (x, x + noise * other), level=LEVEL)
    return bool(found.pvalue <= 1 - LEVEL), bool(abs(found.z) >= 1.959964)


def equality(n: int, noise: float, repeat: int = 1) -> dict[str, Any]:
    """How often `equal_differ` is true."""
    gl.set_num_threads(1)
    found = [equal_differ(n, noise, i) for i in range(REPETITIONS["equality"] // repeat)]
    p, z = np.mean(found, axis=0).tolist()
    return {"n": n, "noise": noise, "p": p, "z": z}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "coverage.json")
    parser.add_argument("--data", nargs="+", choices=DATA, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the repetitions")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    repeat = 20 if arguments.quick else 1
    here = conditions()
    cases = [(data, n, None, repeat) for data in arguments.data or DATA for n in ROWS]
    if arguments.data:
        found = json.loads(arguments.out.read_text(encoding="utf-8"))
        with ProcessPoolExecutor(arguments.processes) as pool:
            new = list(pool.map(coverage, *zip(*cases, strict=True)))
        where = {"commit": here["commit"], "cpu": here["machine"]["cpu"]}
        kept = [one for one in found["coverage"] if one["data"] not in arguments.data]
        found["coverage"] = kept + [one | where for one in new]
        return write(arguments.out, found)
    found = here | {"level": LEVEL, "repetitions": REPETITIONS}
    pairs = [(n, noise, repeat) for n in ROWS for noise in (0.5, 1.0, 2.0)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        found["coverage"] = list(pool.map(coverage, *zip(*cases, strict=True)))
        found["equality"] = list(pool.map(equality, *zip(*pairs, strict=True)))
    write(arguments.out, found)


def write(file: Path, found: dict[str, Any]) -> None:
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
