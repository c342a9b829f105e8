"""CKA of minibatches, from all their Gram matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..kernels import KernelLike
from ._paragraphs import documented
from .gram import Array
from .hsic import matrices, ratio

__all__ = ["MinibatchCKA"]


@documented
class MinibatchCKA:
    """CKA of all pairs of layers from averages of the unbiased HSIC over batches t.

    cka = sum_t w_t hsic_t(K, L) / sqrt(sum_t w_t hsic_t(K, K) sum_t w_t hsic_t(L, L))

    Parameters
    ----------
    {kernel}
    weighting : {"mean", "pairs"}
        w_t is 1 for "mean", and n_t (n_t - 3) for "pairs".

    Raises
    ------
    ValueError
        By `update`: if layers have different numbers of rows or fewer than 4, or kernel is not a name of one.
        By `compute`: if there is no batch.
    TypeError
        By `update`: if a layer does not hold real numbers, or kernel is neither a kernel nor a name.

    References
    ----------
    Nguyen, Raghu and Kornblith 2021, "Do wide and deep networks learn the same things?", arXiv:2010.15327.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> batches = MinibatchCKA()
    >>> batches.update([x[:4]], [x[:4]])
    >>> batches.update([x[4:]], [x[4:]])
    >>> batches.compute()
    array([[1.]])
    """

    def __init__(self, kernel: KernelLike = "linear", weighting: Literal["mean", "pairs"] = "mean") -> None:
        self.kernel = kernel
        self.weighting = weighting
        self.reset()

    def reset(self) -> None:
        """Discard all batches."""
        self.batches: list[tuple[Array, Array, Array]] = []

    def update(self, xs: Sequence[npt.ArrayLike], ys: Sequence[npt.ArrayLike] | None = None) -> None:
        """Add a batch: xs and ys are sequences of layers (n, p); ys=None compares xs with itself."""
        n = len(np.asarray(xs[0]))
        weight = n * (n - 3) if self.weighting == "pairs" else 1
        xy, xx, yy = matrices("MinibatchCKA.update", xs, ys, self.kernel, "unbiased")
        self.batches.append((weight * xy, weight * xx, weight * yy))

    def merge(self, other: MinibatchCKA) -> None:
        """Add the batches of another accumulator."""
        self.batches += other.batches

    def compute(self) -> Array:
        """The matrix of CKA values so far, (len(xs), len(ys))."""
        xy, xx, yy = (np.sum(terms, axis=0) for terms in zip(*self.batches, strict=True))
        return ratio("MinibatchCKA.compute", xy, xx[:, None], yy[None, :])
