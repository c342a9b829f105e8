"""Reduction of wide layers of a small batch to centred Gram matrices inside the hook, for linear CKA.

If a batch has far more features than examples, its Gram matrix is smaller than its rows, and reading the
activations once in place costs less than copying them. Otherwise the rows are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ._tensors import on_device
from .pooling import Rows, owned_there

Floats = npt.NDArray[np.float64]

LARGEST_BATCH = 512  # examples; 2 MB of float64
WIDER = 4  # the least ratio of features to examples
CHUNK_BYTES = 2**18  # of centred columns at a time, which fit the cache
LEAST, MOST = 2.0**-60, 2.0**100  # of the largest squared length: squares and sums stay normal in float32
MOST_CANCELLED = (
    2**11
)  # the largest ratio of products to centred products; one row far from all others exceeds it
ROUNDING = 1e-15  # of the largest squared length: the rounding error of centring in float64


@dataclass(frozen=True, eq=False)
class CentredGram:
    """The dot products of column-centred rows, (n, n) float64."""

    values: Floats

    def __len__(self) -> int:
        return len(self.values)


def gram_or_rows(tensor: torch.Tensor) -> CentredGram | Rows:
    """The centred Gram matrix of rows (n, d) on the CPU if it is far smaller than they, else a copy of them.

    >>> type(gram_or_rows(torch.ones(4, 100))).__name__, gram_or_rows(torch.ones(4, 3)).shape
    ('CentredGram', (4, 3))
    """
    n, d = tensor.shape
    on_cpu = tensor.device.type == "cpu" and not on_device(tensor)
    exact = on_cpu and torch.get_float32_matmul_precision() == "highest"
    if not exact or n > LARGEST_BATCH or d < WIDER * n:
        return owned_there(tensor)
    return CentredGram(_centred_gram(tensor))


def _centred_gram(tensor: torch.Tensor) -> Floats:
    """The centred Gram matrix, computed in the dtype of the tensor if that is accurate, else in float64."""
    gram = _products(tensor, tensor.dtype)
    if tensor.dtype == torch.float64 or _keeps_digits(gram):
        return gram
    return _products(tensor, torch.float64)


def _products(tensor: torch.Tensor, dtype: torch.dtype) -> Floats:
    """The centred Gram matrix: products of a chunk of columns in `dtype`, sums over chunks in float64."""
    n, d = tensor.shape
    total = torch.zeros(n, n, dtype=torch.float64)
    columns = max(64, CHUNK_BYTES // (n * tensor.element_size()))
    with torch.autocast("cpu", enabled=False):
        for start in range(0, d, columns):
            chunk = tensor[:, start : start + columns].to(dtype)
            if dtype == torch.float64:
                chunk = chunk - chunk[0]  # constant columns are exactly 0
            centred = chunk - chunk.mean(dim=0)
            total += centred @ centred.T
    return total.numpy()


def _keeps_digits(gram: Floats) -> bool:
    """Whether float32 products are in range and not too large relative to their U-centred values."""
    longest = gram.diagonal().max()
    if not LEAST < longest < MOST:
        return False
    kept = _u_centred(CentredGram(gram))
    return bool(longest**2 < MOST_CANCELLED**2 * np.mean(kept * kept))


def unbiased_hsic(xs: Sequence[Any], ys: Sequence[Any] | None) -> tuple[Floats, Floats, Floats]:
    """HSIC of each of xs with each of ys (None: xs), and of each with itself, from Gram matrices or rows.

    <K^, L^> / (n (n - 3)), where K^ is the U-centred K (Szekely and Rizzo 2014), equal to Song et al. 2012,
    eq. 5.

    >>> rows = np.random.default_rng(0).standard_normal((6, 2))
    >>> xy, xx, _ = unbiased_hsic([rows, 2 * rows], None)
    >>> xy.shape, bool(np.isclose(xx[1], 16 * xx[0]))
    ((2, 2), True)
    """
    x = np.stack([_u_centred(layer) for layer in xs])  # (L, n n)
    y = x if ys is None else np.stack([_u_centred(layer) for layer in ys])
    n = len(xs[0])
    xx, yy = (np.einsum("ij,ij->i", side, side) / (n * (n - 3)) for side in (x, y))
    return x @ y.T / (n * (n - 3)), xx, yy


def _u_centred(layer: CentredGram | npt.NDArray[Any]) -> Floats:
    if isinstance(layer, CentredGram):
        k = layer.values.copy()
    else:
        k = np.array(_centred_gram(torch.from_numpy(layer)))
    n, longest = len(k), k.diagonal().max()
    np.fill_diagonal(k, 0)
    sums = k.sum(axis=1)
    k -= (sums / (n - 2))[:, None] + sums / (n - 2) - sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(k, 0)
    if np.abs(k).max() <= ROUNDING * longest:
        k[:] = 0  # all rows are equal, or all but one
    return k.ravel()
