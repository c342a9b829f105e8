"""The class CudaCKA of the widely copied file CKA.py, without its n x n matrices."""

from __future__ import annotations

import math
from typing import Any

from .._arrays import checks
from .._backends import backend_of
from ..hsic import cka, hsic
from ..kernels import RBF, Kernel, Linear
from ._paragraphs import documented

_NAME = "CudaCKA"


@documented
class CudaCKA:
    """Linear and RBF CKA of two representations, as in the file CKA.py, of which many projects hold a copy.

    It uses the biased estimator. Its HSIC is the sum of the elementwise product of the two centred Gram
    matrices, (n - 1)^2 times `gramless.hsic`. For the class `CKA` of the same file, which has the same
    methods for numpy and no device, write CudaCKA("cpu").

    With sigma=None the bandwidth is that of the file: sigma^2 is the median of those squared distances
    between rows that are not 0, of X and of Y separately. For an even number of distances it is the smaller
    of the middle two for tensors, as in torch, and their mean for numpy arrays, as in numpy. Distances within
    rounding of 0 count as 0, where the file compares with 0. On a GPU the bandwidth is that of `RBF()`, over
    all pairs of rows.

    Parameters
    ----------
    device
        Stored, without effect: results are on the device of X and Y.

    Raises
    ------
    ValueError
        By its methods: if X and Y have different numbers of rows or fewer than 2, or sigma is not positive.
    TypeError
        By its methods: if an argument has a type or dtype that is not supported, or sigma needs a gradient.

    Notes
    -----
    Other differences from the file: an offset that all rows share costs no digits; a constant representation
    gives NaN with a RuntimeWarning; float64 inputs are computed in float64; results for numpy arrays are
    floats. `centering` and `rbf`, which return n x n matrices, do not exist. The bandwidth is a constant for
    gradients, as in the file; in transforms of torch.func, sigma must be given.

    References
    ----------
    {kornblith}

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(50, 8, generator=torch.manual_seed(0))
    >>> cka = CudaCKA("cpu")
    >>> round(cka.linear_CKA(x, 3 * x + 1).item(), 4), round(cka.kernel_CKA(x, 3 * x + 1).item(), 4)
    (1.0, 1.0)
    >>> cka.kernel_CKA(x, x.tanh(), sigma=2.0) < 1
    tensor(True)
    """

    def __init__(self, device: Any) -> None:
        self.device = device

    def __repr__(self) -> str:
        return f"{_NAME}({self.device!r})"

    @documented
    def linear_HSIC(self, X: Any, Y: Any) -> Any:
        """The sum of the elementwise product of the centred linear Gram matrices of X (n, p) and Y (n, q).

        Parameters
        ----------
        {hsic_arrays}

        Returns
        -------
        {scalar}

        Raises
        ------
        {errors}
        """
        return _hsic("linear_HSIC", X, Y, Linear(), Linear())

    @documented
    def kernel_HSIC(self, X: Any, Y: Any, sigma: float | None) -> Any:
        """The sum of the elementwise product of the centred RBF Gram matrices of X (n, p) and Y (n, q).

        Parameters
        ----------
        {hsic_arrays}
        {sigma}

        Returns
        -------
        {scalar}

        Raises
        ------
        {pair_errors}
        """
        return _hsic("kernel_HSIC", X, Y, *_kernels("kernel_HSIC", X, Y, sigma))

    @documented
    def linear_CKA(self, X: Any, Y: Any) -> Any:
        """Linear CKA of the rows of X (n, p) with those of Y (n, q).

        Parameters
        ----------
        {hsic_arrays}

        Returns
        -------
        {scalar}

        Raises
        ------
        {errors}
        """
        _checked("linear_CKA", X, Y)
        return cka(X, Y, estimator="biased")

    @documented
    def kernel_CKA(self, X: Any, Y: Any, sigma: float | None = None) -> Any:
        """RBF CKA of the rows of X (n, p) with those of Y (n, q).

        Parameters
        ----------
        {hsic_arrays}
        {sigma}

        Returns
        -------
        {scalar}

        Raises
        ------
        {pair_errors}
        """
        kernel, kernel_y = _kernels("kernel_CKA", X, Y, sigma)
        return cka(X, Y, kernel=kernel, kernel_y=kernel_y, estimator="biased")


def _checked(method: str, x: Any, y: Any) -> tuple[Any, list[Any]]:
    """The library that computes with both, and both as its arrays (n, p) and (n, q)."""
    function = f"{_NAME}.{method}"
    library, arrays = checks.read(function, [("X", x), ("Y", y)])
    checks.same_examples(function, "X", arrays[0], "Y", arrays[1])
    checks.enough_rows(function, "X", arrays[0], "biased")
    return library, arrays


def _kernels(method: str, x: Any, y: Any, sigma: float | None) -> list[RBF]:
    function, names = f"{_NAME}.{method}", ("X", "Y")
    library, arrays = _checked(method, x, y)
    if getattr(sigma, "requires_grad", False):
        raise TypeError(f"{function}: sigma must be a constant number but requires a gradient; detach it")
    if sigma is not None:
        return [RBF(sigma=sigma)] * 2
    lower = library.rank == 2  # torch
    found = []
    for array in library.detached(function, names, arrays):
        backend = backend_of(library, array, function)
        median = backend.median_apart(array, lower) if backend.here else math.nan
        found.append(RBF(sigma=median) if 0 < median < math.inf else RBF())
    return found


def _hsic(method: str, x: Any, y: Any, kernel: Kernel, kernel_y: Kernel) -> Any:
    _, (rows, _) = _checked(method, x, y)
    return (rows.shape[0] - 1) ** 2 * hsic(x, y, kernel=kernel, kernel_y=kernel_y, estimator="biased")
