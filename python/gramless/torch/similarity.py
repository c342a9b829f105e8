"""HSIC and CKA as losses, differentiable by autograd, without n x n memory in forward and backward."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from .._docs import documented
from .._evaluate import evaluate
from ..hsic import pair
from ..kernels import Estimator, KernelLike, as_estimator, as_kernel


class _Similarity(nn.Module):
    """A loss of two representations of a batch."""

    function: ClassVar[str]  # named in errors
    form: ClassVar[str]  # see `Hsic`

    def __init__(
        self,
        kernel: KernelLike = "linear",
        kernel_y: KernelLike | None = None,
        estimator: Estimator = "unbiased",
    ) -> None:
        super().__init__()
        self.kernel = as_kernel(kernel, self.function)
        self.kernel_y = None if kernel_y is None else as_kernel(kernel_y, self.function, "kernel_y")
        self.estimator: Estimator = as_estimator(estimator, self.function)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        chosen = self.kernel, self.kernel_y, self.estimator, self.form
        return evaluate(pair(self.function, x, y, *chosen))  # type: ignore[no-any-return]


@documented
class CKALoss(_Similarity):
    """1 - `gramless.cka`: minimising it makes the representations x (n, p) and y (n, q) of a batch similar.

    forward(x, y) returns 1 - hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)) (Kornblith et al. 2019). If the HSIC of
    a representation with itself is not positive, as for constant rows, the loss is 1 and the gradient 0. The
    gradients of float16 tensors are float16 and small: scale the loss, as torch.amp.GradScaler does.

    Parameters
    ----------
    {kernel}
        The median is computed for every batch and counts as a constant for the gradient.
    {kernel_y}
    {estimator}

    Raises
    ------
    {errors}

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
    arXiv:1905.00414.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> round(CKALoss()(x, 3 * x + 1).item(), 6)
    0.0
    >>> CKALoss(kernel="rbf")(x, torch.ones(6, 3)).item()
    1.0
    """

    function, form = "CKALoss", "loss"


@documented
class HSICLoss(_Similarity):
    """`gramless.hsic`: minimising it makes the representations x (n, p) and y (n, q) of a batch independent.

    forward(x, y) returns the Hilbert-Schmidt independence criterion; minimising its negative makes the
    representations dependent.

    Parameters
    ----------
    {kernel}
        The median is computed for every batch and counts as a constant for the gradient.
    {kernel_y}
    {estimator}

    Raises
    ------
    {errors}

    References
    ----------
    Gretton, Bousquet, Smola and Schoelkopf 2005, "Measuring statistical dependence with Hilbert-Schmidt
    norms" (biased). Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via dependence
    maximization", JMLR 13 (unbiased).

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> HSICLoss("rbf")(x, x.flip(1)).shape
    torch.Size([])
    """

    function, form = "HSICLoss", "hsic"
