"""Small calls of every operation to run under valgrind, which does not support AVX-512.

    PYTHONMALLOC=malloc valgrind --error-exitcode=9 python tests/valgrind_calls.py

Sizes at and around register tiles; inputs end where their memory ends: reads beyond it are reported.
"""

from __future__ import annotations

import warnings

import gramless as gl
import numpy as np
from gramless import _core, analysis

ROWS, COLUMNS = (5, 13, 50), (1, 7, 33)


def arrays(n, d, dtype):
    generator = np.random.default_rng(n * 100 + d)
    x = generator.standard_normal((n, d))
    return x.astype(dtype), (x + generator.standard_normal((n, d))).astype(dtype)


def similarities(x, y):
    for kernel in ("linear", "rbf"):
        for estimator in ("biased", "unbiased"):
            gl.cka(x, y, kernel=kernel, estimator=estimator)
        gl.cka_matrix([x, y, x[:, :1]], kernel=kernel)
        analysis.cka_interval(x, y, kernel=kernel, groups=5)
    gl.median_distance(x)
    gl.independence_test(x, y, method="permutation", n_resamples=9, rng=0)
    gl.hsic(x[::-1], np.asfortranarray(y), kernel="rbf")


def losses(x, y):
    gl.value_and_grad(gl.nt_xent)(x, y, temperature=0.1)
    gl.value_and_grad(gl.nt_xent)(x, y, temperature=0.003, exclude_hardest=0.3)
    gl.value_and_grad(gl.nt_xent)(x, y, normalize=False, exclude_above=0.5)
    gl.value_and_grad(gl.info_nce)(x, y, np.concatenate([y, x]), symmetric=True)
    gl.value_and_grad(gl.sup_con)(x, np.arange(len(x)) % 3)
    gl.value_and_grad(gl.dcl)(x, y)
    gl.value_and_grad(gl.row_log_sum_exp)(x, y, cotangent=np.ones(len(x)))
    gl.value_and_grad(gl.similarity_distillation)(x, y, y)


def main():
    warnings.simplefilter("ignore", RuntimeWarning)  # one column, few rows: NaN is right
    for backend in gl.backends():
        if not backend.supported:
            continue
        _core.set_backend(backend.name)
        for n in ROWS:
            for d in COLUMNS:
                for dtype in (np.float32, np.float64, np.float16):
                    x, y = arrays(n, d, dtype)
                    similarities(x, y)
                    losses(x, y)
        print(backend.name, flush=True)


if __name__ == "__main__":
    main()
