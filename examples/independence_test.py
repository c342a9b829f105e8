"""Are two sets of measurements independent? HSIC detects any dependence, correlation only a linear one.

x has one coordinate of noisy points on a circle and an irrelevant column, y has the other coordinate. They
are uncorrelated, and far from independent. z is y in a random order, and so is independent of x.
"""

from __future__ import annotations

import argparse

import gramless as gl
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000, help="number of examples")
    parser.add_argument("--permutations", type=int, default=999)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    n = arguments.rows
    angle = rng.uniform(0, 2 * np.pi, n)
    x = np.column_stack([np.cos(angle), rng.normal(size=n)]) + 0.1 * rng.normal(size=(n, 2))
    y = np.sin(angle)[:, None] + 0.1 * rng.normal(size=(n, 1))
    z = rng.permutation(y)

    print(f"correlation of x[:, 0] with y: {np.corrcoef(x[:, 0], y[:, 0])[0, 1]:+.3f}\n")
    print(f"{'p-values':24}{'x and y (dependent)':>24}{'x and z (independent)':>24}")
    for kernel in ("linear", "rbf"):
        for method in ("chi2", "gamma", "permutation"):
            options = {"n_resamples": arguments.permutations, "rng": 0} if method == "permutation" else {}
            dependent = gl.independence_test(x, y, kernel=kernel, method=method, **options)
            independent = gl.independence_test(x, z, kernel=kernel, method=method, **options)
            name = f"{kernel}, {method}"
            print(f"{name:24}{dependent.pvalue:>24.2g}{independent.pvalue:>24.2g}")


if __name__ == "__main__":
    main()
