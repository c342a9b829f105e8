"""Unbiased linear CKA from products of features, for numpy and torch; the module imports neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def feature_cka(xs: Sequence[Any]) -> Any:
    """The CKA from three d x d products."""
    n = len(xs[0])
    x, y = xs[0] - xs[0].mean(0), xs[1] - xs[1].mean(0)
    a, b = (x * x).sum(1), (y * y).sum(1)

    def hsic(x: Any, y: Any, a: Any, b: Any) -> Any:
        c = (x.T @ y).reshape(-1)
        return c @ c - n / (n - 2) * (a @ b) + a.sum() * b.sum() / ((n - 1) * (n - 2))

    return hsic(x, y, a, b) / math.sqrt(hsic(x, x, a, a) * hsic(y, y, b, b))


def feature_sweep(library: Any, stacked: Any, widths: Sequence[int]) -> Any:
    """The CKA of all layers from one D x D product; their features are side by side (n, D)."""
    n, layers = len(stacked), len(widths)
    stacked -= stacked.mean(0)
    rows = (stacked * stacked).reshape(n, layers, widths[0]).sum(-1)
    products = stacked.T @ stacked
    products *= products
    hsic = products.reshape(layers, widths[0], layers, widths[0]).sum((1, 3))
    total = rows.sum(0)
    hsic = hsic - n / (n - 2) * (rows.T @ rows) + total[:, None] * total / ((n - 1) * (n - 2))
    scale = library.sqrt(library.diagonal(hsic))
    return hsic / (scale[:, None] * scale)
