"""HSIC and CKA as losses, differentiable by autograd. No n x n memory in either direction."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from .._docs import documented
from .._evaluate import evaluate
from ..hsic import pair
from ..kernels import Estimator, KernelLike, as_estimator, as_kernel


class _Similarity(nn.Module):
    """A loss of two representations of a batch."""

    function: ClassVar[str]  # whom errors name
    form: ClassVar[str]  # as in `Hsic`

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
    """1 - `gramless.cka`: what makes the representations x (n, p) and y (n, q) of a batch alike.

    loss = 1 - hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)) (Kornblith et al. 2019). Where a representation's HSIC
    with itself is not positive, as that of a constant one, the loss is 1 and the gradient 0. The gradients of
    float16 tensors are float16, and small: scale the loss, as torch.amp.GradScaler does.

    Parameters
    ----------
    {kernel}
        It is found anew for every batch, and a constant for the gradient.
    kernel_y : as kernel, optional
        The kernel of y, where it differs from that of x.
    estimator : {"unbiased", "biased", "debiased"}
        "unbiased" needs batches of 4 rows.

    Raises
    ------
    ValueError
        Where shapes or options do not fit.
    TypeError
        Where types do not fit.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, arXiv:1905.00414.

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


class HSICLoss(_Similarity):
    """`gramless.hsic`: what makes the representations x (n, p) and y (n, q) of a batch independent.

    The Hilbert-Schmidt independence criterion (Gretton et al. 2005; unbiased: Song et al. 2012); its negative
    makes them dependent.

    Parameters
    ----------
    kernel, kernel_y, estimator
        As in `CKALoss`.

    Raises
    ------
    ValueError
        Where shapes or options do not fit.
    TypeError
        Where types do not fit.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).reshape(6, 2).sin()
    >>> HSICLoss("rbf")(x, x.flip(1)).shape
    torch.Size([])
    """

    function, form = "HSICLoss", "hsic"
