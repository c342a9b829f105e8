"""pytest benchmarks/bench_kernels.py: single operations, with every instruction set of this CPU.

Times gramless only, with pytest-benchmark, to compare two states of the code with --benchmark-autosave and
--benchmark-compare. Every operation is compared with `gramless.reference` first. `python -m benchmarks` times
alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gramless as gl
import numpy as np
import pytest
from gramless import _core, reference

Pair = tuple[Any, Any]

RBF = gl.RBF(sigma=11.0)
SIZES = [(64, 64), (256, 128), (1024, 128)]  # rows and columns
OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "linear CKA": (gl.cka, reference.cka),
    "RBF CKA": (lambda x, y: gl.cka(x, y, kernel=RBF), lambda x, y: reference.cka(x, y, kernel=RBF)),
    "median distance": (lambda x, y: gl.median_distance(x), lambda x, y: reference.median_distance(x)),
    "NT-Xent": (gl.nt_xent, reference.nt_xent),
    "NT-Xent with gradients": (
        lambda x, y: gl.value_and_grad(gl.nt_xent)(x, y)[0],
        lambda x, y: reference.nt_xent_value_and_grad(x, y)[0],
    ),
}


@pytest.fixture(params=[backend.name for backend in gl.backends() if backend.supported])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this CPU, each in turn."""
    _core.set_backend(request.param)
    yield request.param
    _core.set_backend("")


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def pair(request: pytest.FixtureRequest) -> Pair:
    """Two related representations in float32."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(request.param, dtype=np.float32)
    return x, x + generator.standard_normal(request.param, dtype=np.float32)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_time(operation: str, backend: str, pair: Pair, benchmark: Any) -> None:
    ours, obvious = OPERATIONS[operation]
    truth = obvious(*(x.astype(np.float64) for x in pair))
    assert abs(ours(*pair) - truth) <= 1e-5 * abs(truth)
    benchmark(ours, *pair)
