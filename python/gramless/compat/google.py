"""The metric of Google's representation_similarity, with its names of methods; it needs no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import check_copyable, without_tensors
from .._losses import as_array
from ..minibatch import MinibatchCKA as Accumulator
from ._paragraphs import documented


@documented
class MinibatchCKA:
    """Linear CKA between layers from minibatches, each weighted with its pairs, as in the published code.

    cka = sum_t w_t hsic_t(K, L) / sqrt(sum_t w_t hsic_t(K, K) sum_t w_t hsic_t(L, L)), w_t = n_t (n_t - 3)

    with the unbiased HSIC of minibatch t of n_t examples. `gramless.MinibatchCKA` also has other kernels and
    weights, and merges accumulators.

    Parameters
    ----------
    num_layers, num_layers2 : int, optional
        The number of activations in every update, of the first and of the second model; None takes that of
        the first update.
    across_models : bool
        Whether two models are compared, with `update_state_across_models`.
    dtype
        The dtype of `result`; sums are kept in float64.

    Raises
    ------
    ValueError
        From the updates, if a number of activations or of examples does not match.

    References
    ----------
    {nguyen}

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> metric = MinibatchCKA()
    >>> for _ in range(3):
    ...     x = rng.standard_normal((16, 4, 4, 2))
    ...     metric.update_state([x, 2 * x])
    >>> metric.result().round(4)
    array([[1., 1.],
           [1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        num_layers: int | None = None,
        num_layers2: int | None = None,
        across_models: bool = False,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.num_layers, self.across_models = num_layers, across_models
        self.num_layers2 = num_layers if num_layers2 is None else num_layers2
        self.dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
        self._accumulator = Accumulator(weighting="pairs")

    def update_state(self, activations: Sequence[Any]) -> None:
        """Add a minibatch of one model.

        Parameters
        ----------
        activations : sequence of arrays (n, ...)
            One for each layer, row i of all one example; they are flattened to (n, features).

        Raises
        ------
        ValueError
            If their number is not num_layers, or across_models is True.
        """
        if self.across_models:
            raise ValueError(
                "MinibatchCKA.update_state: with across_models=True use update_state_across_models"
            )
        self._accumulator.update(self._rows("update_state", activations, self.num_layers))

    def update_state_across_models(self, activations1: Sequence[Any], activations2: Sequence[Any]) -> None:
        """Add a minibatch of two models.

        Parameters
        ----------
        activations1, activations2 : sequence of arrays (n, ...)
            One for each layer, row i of all one example; they are flattened to (n, features).

        Raises
        ------
        ValueError
            If their numbers are not num_layers and num_layers2, or across_models is False.
        """
        method = "update_state_across_models"
        if not self.across_models:
            raise ValueError(f"MinibatchCKA.{method}: needs across_models=True but across_models is False")
        self._accumulator.update(
            self._rows(method, activations1, self.num_layers),
            self._rows(method, activations2, self.num_layers2),
        )

    def result(self) -> npt.NDArray[Any]:
        """The matrix of CKA of all minibatches so far.

        Returns
        -------
        ndarray of dtype, (num_layers, num_layers2)

        Raises
        ------
        RuntimeError
            Before the first update.
        """
        return self._accumulator.compute().astype(self.dtype)

    def reset_state(self) -> None:
        """Discard all minibatches."""
        self._accumulator.reset()

    reset_states = reset_state

    def _rows(self, method: str, activations: Sequence[Any], count: int | None) -> list[Any]:
        given = [
            _flattened(f"MinibatchCKA.{method}", f"activations[{i}]", a) for i, a in enumerate(activations)
        ]
        if count is not None and len(given) != count:
            raise ValueError(
                f"MinibatchCKA.{method}: {count} activations are expected but {len(given)} are given"
            )
        return given


def _flattened(function: str, name: str, activations: Any) -> Any:
    """Activations (n, ...) as rows (n, features), without a copy where their library can."""
    check_copyable(function, name, activations)
    other = isinstance(activations, type) or not hasattr(activations, "reshape")
    if other and not (hasattr(activations, "columns") and hasattr(activations, "shape")):
        activations = as_array(
            function, name, without_tensors(function, name, activations), "an array (n, ...)"
        )
    shape = tuple(activations.shape)
    if len(shape) in (0, 2):  # the update rejects a 0-d array
        return activations
    return activations.reshape(shape[0], math.prod(shape[1:]))
