"""Estimates of the time and memory of a call: its counted work divided by the speed of this machine."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ._counts import at_least, positive
from ._docs import documented
from ._runtime import get_num_threads, get_workspace_limit
from ._text import duration, short
from .hsic import cka
from .kernels import RBF, Cosine, KernelLike, Linear, OfDistance, as_kernel

__all__ = ["Estimate", "estimate"]

Quantity: TypeAlias = Literal["cka", "nt_xent", "info_nce", "siglip", "mutual_knn"]
DType: TypeAlias = Literal["float32", "float64", "float16", "bfloat16"]

# The cost of a pair of rows beside its dot product, in FLOPs of multiply-adds, fitted once to measurements on
# 2 cores of an AMD EPYC (Zen 4). `tests/test_estimates.py` compares the estimates with every committed
# measurement. A kernel value and its sums cost `value_flops` of the kernel.
PRODUCT = 1.2  # factor of the FLOPs of dot products, for packing and waiting
INNER_PRODUCT = 3.0  # per pair of kernel values of two layers
NUMBER = 110.0  # per number of the input, which one thread reads, centres and packs
DISTANCE = 90.0  # per pair of rows, for the exact median
CANDIDATE = 15.0  # per pair of rows, to compare its similarity with the smallest kept ones of both rows
INSERTION, COMPARISON = 9500.0, 40.0  # per change of a candidate; per column of its final comparison
SOFTMAX = 160.0  # forward and backward
SIGMOID = 110.0  # forward and backward
GRADIENT = 140.0  # per kernel value
CALL_SECONDS = {"cka": 2e-5, "mutual_knn": 1e-4}
LOSS_SECONDS = 4e-4  # with autograd

CANDIDATES_BYTES = 64 << 20  # of all layers in one pass: csrc/ops/neighbors/neighbors.cpp
MOST_TILE_ROWS = {4: 384, 8: 192}  # by the bytes of a number: csrc/engine/tile/tile_rows.hpp
TILES_OF_HALF = 20  # with fewer whole tiles per side of the matrix, tiles have half as many rows
CHUNK = {4: 192, 8: 128}  # columns that are packed at once
KEPT_BYTES = 16 << 20  # of packed rows, per thread
# Samples that are packed at once. This and the next four are from csrc/ops/gram/covariance_sums.cpp.
RUN = {4: 384, 8: 192}
SEGMENT_BYTES = 4 << 20  # of packed samples, for all threads
NARROW_BYTES = 2048  # of a sample; up to this size, products are summed over shares of the samples
SHARES_BYTES = 16 << 20  # of those products
PRODUCT_BYTES = 128 << 20  # of products of features; larger ones are computed in bands
LEAST_KEPT_COLUMNS = 32  # with fewer columns, NT-Xent computes its dot products twice


@dataclass(frozen=True)
class Estimate:
    """The result of `estimate`.

    Attributes
    ----------
    seconds : float
        Elapsed time.
    peak_bytes : int
        Memory beyond the inputs, including the workspace and gradients.
    input_bytes : int
        Memory of the inputs.
    flops : float
        The necessary floating-point operations: every dot product of two rows, or of two features, once.
    gflops : float
        The assumed speed of one thread: float32 multiply-adds, in 10^9 operations per second.
    threads : int
        The assumed number of threads.

    Examples
    --------
    >>> print(Estimate(2.0, 50_000_000, 1_000_000, 4e11, 100.0, 2))
    2 s and 50 MB beside 1 MB of inputs: 400 GFLOP on 2 threads of 100 GFLOP/s each
    """

    seconds: float
    peak_bytes: int
    input_bytes: int
    flops: float
    gflops: float
    threads: int

    def __str__(self) -> str:
        return (
            f"{duration(self.seconds)} and {short(self.peak_bytes / 1e6)} MB beside "
            f"{short(self.input_bytes / 1e6)} MB of inputs: {short(self.flops / 1e9)} GFLOP on "
            f"{self.threads} threads of {short(self.gflops)} GFLOP/s each"
        )


@documented
def estimate(
    n: int,
    d: int,
    layers: int = 2,
    *,
    quantity: Quantity = "cka",
    kernel: KernelLike = "linear",
    dtype: DType = "float32",
    gradients: bool = False,
    threads: int | None = None,
    gflops: float | None = None,
    negatives: int = 0,
    k: int = 10,
) -> Estimate:
    """Estimate the time and memory of a call of `cka`, `mutual_knn`, their matrices or a loss on this CPU.

    The FLOPs and bytes of the call are counted. The speed of this machine is measured once for each number of
    threads, in a few milliseconds. No array with n rows is allocated.

    Parameters
    ----------
    n : int
        The number of rows (examples); for a loss, the rows of one view or one side.
    d : int
        The number of features of a row; for layers of different widths, their mean.
    layers : int
        The number of layers of all models together; 2 is one pair.
    quantity : {"cka", "nt_xent", "info_nce", "siglip", "mutual_knn"}
        "cka" is also valid for `hsic`, and "mutual_knn" for `cknna`. Losses include forward and backward.
    {kernel}
        Each median is part of the estimate.
    dtype : {"float32", "float64", "float16", "bfloat16"}
        The dtype of the inputs. 16-bit inputs are computed in float32.
    gradients : bool
        Whether to include the gradients of one CKA.
    threads : int, optional
        The number of threads; None (default) uses `get_num_threads()`.
    gflops : float, optional
        The speed of one thread in float32, in 10^9 multiply-add operations per second; None (default)
        measures it.
    negatives : int
        For "info_nce", the number of keys besides the positives: negatives and queue together.
    k : int
        For "mutual_knn", the number of neighbours of each row, less than n.

    Returns
    -------
    Estimate
        With seconds, peak_bytes, input_bytes, flops, gflops and threads. Estimated times of 2 ms or more are
        within a factor of 1.6 of measured ones; the page "Memory and time" has the table. Reading from a disk
        is not included.

    Raises
    ------
    ValueError
        If a number is out of range or options contradict each other.
    TypeError
        If an argument has another type.

    Examples
    --------
    >>> expected = estimate(10_000, 1024, 50, kernel=RBF(sigma=1.0), threads=2, gflops=100)
    >>> round(expected.seconds), expected.peak_bytes < 200e6
    (33, True)
    >>> estimate(50_000, 128, quantity="nt_xent").flops
    3840000000000.0
    """
    n, d, layers, negatives, k = (
        at_least(least, "estimate", name, value, "an integer")
        for least, name, value in (
            (2, "n", n), (1, "d", d), (1, "layers", layers), (0, "negatives", negatives), (1, "k", k)
        )
    )  # fmt: skip
    kernel = as_kernel(kernel, "estimate")
    _check(quantity, dtype, gradients, layers, negatives, k)
    if quantity == "mutual_knn" and k >= n:
        raise ValueError(f"estimate: k must be less than n but n is {n} and k is {k}")
    threads = (
        get_num_threads() if threads is None else at_least(1, "estimate", "threads", threads, "an integer")
    )
    wanted = "a number or None"
    speed = _measured_gflops(threads) if gflops is None else positive("estimate", "gflops", gflops, wanted)
    item = 8 if dtype == "float64" and quantity != "mutual_knn" else 4  # of a number of a tile
    if quantity == "cka":
        work, flops, peak = _cka(n, d, layers, kernel, item, threads, gradients)
    elif quantity == "mutual_knn":
        work, flops, peak = _neighbors(n, d, layers, k, threads)
    else:
        work, flops, peak = _loss(quantity, n, negatives, d, item)
    rate, numbers = speed * 1e9 / (item / 4), (layers * n + negatives) * d
    passes = 3 if gradients else 1  # gradients are also read and written
    seconds = (
        work / (rate * threads) + NUMBER * passes * numbers / rate + CALL_SECONDS.get(quantity, LOSS_SECONDS)
    )
    input_bytes = numbers * {"float64": 8, "float32": 4}.get(dtype, 2)
    return Estimate(seconds, round(peak), input_bytes, flops, speed, threads)


def _cka(
    n: int, d: int, layers: int, kernel: Any, item: int, threads: int, gradients: bool
) -> tuple[float, float, float]:
    """The work of CKA in FLOPs of multiply-adds, the necessary FLOPs, and the peak memory in bytes."""
    features = d * layers
    grams = float(n) * n * d * layers + (layers * layers * n * n / 2 if layers > 2 else 0)
    covariances = float(n) * features * features
    products = isinstance(kernel, (Linear, Cosine))
    narrow = products and covariances < grams
    pairs = n * n / 2 * layers
    if narrow:
        work = PRODUCT * covariances * (3 if gradients else 1)
        peak = _covariance_bytes(n, features, item, threads)
    else:
        work = pairs * (2 * PRODUCT * d + kernel.value_flops)
        work += INNER_PRODUCT * layers * layers * n * n / 2 if layers > 2 else 0
        work += pairs * (3 * 2 * PRODUCT * d + GRADIENT) if gradients else 0
        peak = threads * _walk_bytes(n, d, layers, item) + 36 * n * layers
    if isinstance(kernel, OfDistance) and kernel.sigma is None:
        rows = min(n, kernel.median_rows or n)
        dots = rows * rows / 2
        kept = min(layers, get_workspace_limit() // int(dots * item + 1)) if rows == n else 0
        work += layers * dots * DISTANCE + (layers - kept) * dots * 2 * PRODUCT * d
        peak += kept * dots * item
    if gradients:
        peak += n * features * item
        grams *= 3
        covariances *= 3
    return work, min(grams, covariances) if products else grams, peak


def _covariance_bytes(n: int, features: int, item: int, threads: int) -> float:
    products = 8.0 * features * features
    if features * item > NARROW_BYTES:
        return min(products, PRODUCT_BYTES) + min(SEGMENT_BYTES, n * features * item)
    runs = -(-n // RUN[item])
    fit = max(4, int(SHARES_BYTES / products))
    shares = max(1, min(2 * -(-(runs // 3) // 2), 32, fit))
    return shares * products + threads * RUN[item] * features * item


def _walk_bytes(n: int, d: int, layers: int, item: int) -> float:
    """The bytes of one thread for all layers: tiles of kernel values, packed rows of all or some columns."""
    most = MOST_TILE_ROWS[item]
    rows = min(n, most // 2 if n < TILES_OF_HALF * most else most)
    kept = rows * d * layers * item
    packed = kept if kept <= KEPT_BYTES else rows * min(d, CHUNK[item]) * item
    return packed + layers * rows**2 * item


def _neighbors(n: int, d: int, layers: int, k: int, threads: int) -> tuple[float, float, float]:
    """The same three numbers for nearest neighbours, for which tiles find candidates in float32."""
    pairs, kept = n * n / 2 * layers, min(n - 1, k + k // 2 + 8)
    of_row = kept * (INSERTION * math.log(n / kept) + COMPARISON * d)
    work = pairs * (2 * PRODUCT * d + CANDIDATE) + n * layers * of_row
    in_walk = min(layers, 1 + CANDIDATES_BYTES // (12 * n * kept))
    of_layers = n * (in_walk * (12 * kept + 40) + layers * 4 * k)
    return work, 2.0 * pairs * d, of_layers + threads * _walk_bytes(n, d, 1, 4)


def _loss(quantity: Quantity, n: int, negatives: int, d: int, item: int) -> tuple[float, float, float]:
    """The same three numbers for a loss, forward and backward: three products for each pair of rows, or four
    if the dot products of the forward pass are not kept.
    """
    rows = 2 * n + negatives
    pairs = 2.0 * n * n if quantity == "nt_xent" else float(n) * (n + negatives)
    in_one_walk, of_pair = quantity == "siglip", SIGMOID if quantity == "siglip" else SOFTMAX
    kept = not in_one_walk and d >= LEAST_KEPT_COLUMNS and pairs * item <= get_workspace_limit()
    work = pairs * (2 * PRODUCT * d * (3 if kept or in_one_walk else 4) + of_pair)
    return work, 6 * pairs * d, (pairs * item if kept else 0) + 3 * rows * d * item


@functools.cache
def _measured_gflops(threads: int) -> float:
    """The speed of one of `threads` threads, measured with a call whose work is known."""
    rows, columns = 1024, 256
    x, y = np.random.default_rng(0).standard_normal((2, rows, columns), dtype=np.float32)
    fastest = math.inf
    for _ in range(5):
        started = time.perf_counter()
        cka(x, y, kernel=RBF(sigma=20.0))
        fastest = min(fastest, time.perf_counter() - started)
    work, _, _ = _cka(rows, columns, 2, RBF(sigma=20.0), 4, threads, False)
    used = min(threads, get_num_threads())
    return (work / used + NUMBER * 2 * rows * columns) / max(fastest - CALL_SECONDS["cka"], 1e-9) / 1e9


def _check(quantity: Any, dtype: Any, gradients: Any, layers: int, negatives: int, k: int) -> None:
    for name, value, allowed in (
        ("quantity", quantity, get_args(Quantity)),
        ("dtype", dtype, get_args(DType)),
    ):
        if value not in allowed:
            options = ", ".join(f'"{option}"' for option in allowed[:-1])
            raise ValueError(f'estimate: {name} must be {options} or "{allowed[-1]}" but is {value!r}')
    for name, value, usual, of in (("negatives", negatives, 0, "info_nce"), ("k", k, 10, "mutual_knn")):
        if value != usual and quantity != of:
            raise ValueError(
                f'estimate: {name} is an option of quantity="{of}" but quantity is "{quantity}" '
                f"and {name} is {value}"
            )
    if gradients and quantity == "mutual_knn":
        raise ValueError('estimate: quantity="mutual_knn" has no gradients but gradients is True')
    many = "cka", "mutual_knn"
    if layers != 2 and (quantity not in many or gradients):
        what = f'quantity="{quantity}"' if quantity not in many else "gradients=True"
        raise ValueError(f"estimate: {what} needs layers=2 but layers is {layers}")
