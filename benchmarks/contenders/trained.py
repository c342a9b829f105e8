"""A loss whose backward has run; it imports no library that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..problems import Problem


@dataclass(frozen=True)
class Trained:
    """As an array: the loss, then its gradients times the number of rows.

    Made into an array only when it is checked: what is timed, and counts as memory, is forward and backward.
    """

    problem: Problem
    loss: Any
    grads: Sequence[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        grads = [self.problem.n * np.asarray(grad, dtype=np.float64).ravel() for grad in self.grads]
        return np.concatenate([[self.loss.item()], *grads])
