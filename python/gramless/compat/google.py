"""The metric of Google's representation_similarity, by its method names; no TensorFlow needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import check_copyable, without_tensors
from .._losses import as_array
from ..minibatch import MinibatchCKA as Accumulator


class MinibatchCKA:
    """CKA between layers from minibatches, each weighted with its pairs, as the published code does.

    Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327. See `gramless.MinibatchCKA` for the formula, other
    kernels and merging.

    Parameters
    ----------
    num_layers, num_layers2
        How many activations every update holds; None takes what the first one holds.
    across_models
        Whether two models are compared, by `update_state_across_models`.
    dtype
        Of what `result` returns; sums are kept in float64.

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
        """Add a minibatch of one model: activations are arrays (n, ...), flattened here.

        Raises
        ------
        ValueError
            Where their number is not num_layers, or across_models was asked for.
        """
        if self.across_models:
            raise ValueError(
                "MinibatchCKA.update_state: with across_models=True use update_state_across_models"
            )
        self._accumulator.update(self._rows("update_state", activations, self.num_layers))

    def update_state_across_models(self, activations1: Sequence[Any], activations2: Sequence[Any]) -> None:
        """Add a minibatch of two models, activations of the same n examples.

        Raises
        ------
        ValueError
            Where their number is not num_layers and num_layers2, or across_models is False.
        """
        method = "update_state_across_models"
        if not self.across_models:
            raise ValueError(f"MinibatchCKA.{method}: needs across_models=True")
        self._accumulator.update(
            self._rows(method, activations1, self.num_layers),
            self._rows(method, activations2, self.num_layers2),
        )

    def result(self) -> npt.NDArray[Any]:
        """The matrix of CKA so far, (num_layers, num_layers2); RuntimeError before the first update."""
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
                f"MinibatchCKA.{method}: {count} activations are expected but {len(given)} given"
            )
        return given


def _flattened(function: str, name: str, activations: Any) -> Any:
    """Activations (n, ...) as rows, in place where their library does that."""
    check_copyable(function, name, activations)
    other = isinstance(activations, type) or not hasattr(activations, "reshape")
    if other and not (hasattr(activations, "columns") and hasattr(activations, "shape")):
        activations = as_array(
            function, name, without_tensors(function, name, activations), "an array (n, ...)"
        )
    shape = tuple(activations.shape)
    if len(shape) in (0, 2):  # what is no array of rows is refused with all others
        return activations
    return activations.reshape(shape[0], math.prod(shape[1:]))
